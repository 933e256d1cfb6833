//! The table of holders by itself, and so small that everybody meets everybody.

extern crate std;

use std::thread;
use std::vec::Vec;

use super::*;

/// Two objects: only their addresses count.
static OBJECTS: [u64; 2] = [0; 2];

fn object(index: usize) -> ObjectId {
    ObjectId::of(&OBJECTS[index])
}

#[track_caller]
fn guard(cpu: usize, count: u32) -> Holder {
    Holder { location: Location::caller(), cpu, tick: 0, count, raw: false, tag: Tag::NONE }
}

#[track_caller]
fn raw(cpu: usize, count: u32) -> Holder {
    let raw = true;
    Holder { raw, ..guard(cpu, count) }
}

/// There is room for it.
fn add<'a, const N: usize>(
    table: &'a HolderTable<N>,
    object: ObjectId,
    holder: &Holder,
) -> Claim<'a, N> {
    let claim = table.add(object, holder);
    assert!(claim.entry.is_some());
    claim
}

fn listed<const N: usize>(table: &HolderTable<N>, object: ObjectId) -> Vec<Holder> {
    table.holders(object).collect()
}

/// CPU and count of each holder, sorted.
fn counts<const N: usize>(table: &HolderTable<N>, object: ObjectId) -> Vec<(usize, u32)> {
    let holders = listed(table, object).into_iter();
    let mut counts: Vec<_> = holders.map(|holder| (holder.cpu, holder.count)).collect();
    counts.sort_unstable();
    counts
}

#[test]
fn a_handler_that_interrupts_the_filling_in_finds_a_sound_table() {
    let table = HolderTable::<2>::new();
    let half = table.entries[0].claim().expect("free");
    // As a handler might do just then.
    let mut claim = add(&table, object(0), &guard(0, 1));
    assert!(claim.entry.is_some_and(|entry| ptr::eq(entry, &table.entries[1])));
    assert_eq!(listed(&table, object(0)).len(), 1);
    let _ = table.take_raw(object(0), 0, 1, Tag::NONE);
    claim.end();
    table.clear(object(0), 0);
    // Back from the handler.
    table.entries[0].fill(half.with(EntryPhase::Raw, 1), object(0), &raw(0, 1));
    assert_eq!(counts(&table, object(0)), [(0, 1)]);
}

fn tagged(cpu: usize, tag: usize, count: u32) -> Holder {
    Holder { tag: Tag(tag), ..raw(cpu, count) }
}

#[test]
fn a_wrong_tag_goes_unnoticed_while_something_is_unlisted() {
    let table = HolderTable::<1>::new();
    let listed_one = tagged(0, 7, 1);
    add(&table, object(0), &listed_one);
    assert!(table.add(object(0), &tagged(0, 8, 1)).entry.is_none());
    assert_eq!(table.take_raw(object(0), 0, 1, Tag(8)), 0);
    assert_eq!((listed(&table, object(0)), table.unlisted()), (Vec::from([listed_one]), 0));
    assert_eq!(table.take_raw(object(0), 0, 1, Tag(8)), 1);
}

#[test]
fn a_dropped_object_leaves_nothing() {
    let table = HolderTable::<2>::new();
    let mut claim = add(&table, object(0), &guard(0, 1));
    add(&table, object(1), &guard(0, 1));
    table.add(object(0), &raw(0, 4));
    table.add(object(1), &raw(0, 2));
    assert_eq!(table.unlisted(), 6);
    table.clear(object(0), 5);
    assert_eq!((table.unlisted(), counts(&table, object(0)).len()), (2, 0));
    // The late end of a guard of the dropped object does not touch the next one's entry.
    add(&table, object(1), &guard(5, 1));
    claim.end();
    claim.recount(7);
    assert_eq!(counts(&table, object(1)), [(0, 1), (5, 1)]);
}

/// A holder all of whose parts follow from one number, so that a mixture of two shows.
fn genuine(number: u32) -> Holder {
    let (cpu, count) = (number as usize, number + 1);
    let holder = if number < 2 { guard(cpu, count) } else { raw(cpu, count) };
    Holder { tick: u64::from(number), tag: Tag(cpu), ..holder }
}

#[test]
fn no_reader_sees_a_mixture_of_two_holders() {
    let table = HolderTable::<1>::new();
    let hammer = &|index: u32| {
        for round in 0..300_000 {
            // The first object has the even numbers, the second the odd ones.
            let holder = genuine(round % 2 * 2 + index);
            let object = object(index as usize);
            let mut claim = table.add(object, &holder);
            if claim.entry.is_some() && holder.raw {
                let other = table.take_raw(object, holder.cpu, holder.count, holder.tag);
                assert_eq!(other, 0);
            } else {
                claim.recount(holder.count);
                claim.end();
            }
        }
    };
    thread::scope(|scope| {
        let hammers = [0, 1].map(|index| scope.spawn(move || hammer(index)));
        let mut seen = 0_u32;
        while !hammers.iter().all(|hammer| hammer.is_finished()) {
            for index in [0, 1] {
                for holder in listed(&table, object(index)) {
                    assert_eq!(holder.cpu % 2, index, "of the other object: {holder:?}");
                    assert_eq!(holder, genuine(holder.cpu as u32), "a mixture");
                    seen += 1;
                }
            }
        }
        assert!(seen > 0, "nothing was ever listed");
    });
    assert_eq!(listed(&table, object(0)), []);
    assert_eq!(listed(&table, object(1)), []);
    assert_eq!(table.unlisted(), 0);
}

/// With tags they find their own.
#[test]
fn releases_that_chase_each_other_leave_nothing() {
    let table = HolderTable::<16>::new();
    thread::scope(|scope| {
        for cpu in 0..3 {
            let table = &table;
            scope.spawn(move || {
                for round in 0..100_000 {
                    table.add(object(0), &tagged(cpu, cpu + 1, 2));
                    table.add(object(1), &raw(cpu, 2));
                    table.add(object(1), &raw(cpu, 1));
                    // As if on another CPU.
                    let other = table.take_raw(object(0), cpu + 1, 2, Tag(cpu + 1));
                    assert_eq!(other, 0);
                    let _ = table.take_raw(object(1), (cpu + round) % 3, 3, Tag::NONE);
                }
            });
        }
    });
    let left = [0, 1].map(|index| listed(&table, object(index)).len());
    assert_eq!((left, table.unlisted()), ([0; 2], 0));
}
