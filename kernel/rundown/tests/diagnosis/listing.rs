//! The entries in the list of holders.
#![expect(
    clippy::boxed_local,
    reason = "an object that is moved would be another one, and some tests drop theirs"
)]

use std::sync::Arc;

use rundown::diagnosis::{CAPACITY, HolderReport, holders, unlisted};
use rundown::{Guard, ObjectId, Protected, Rundown, Tag};

use crate::platform::{Make, Plain, facts, lines, on, on_every_variant, printed};

on_every_variant!(
    the_location_is_the_callers_line,
    the_location_is_the_callers_line_behind_a_value,
    cpu_tick_and_count_are_those_of_the_acquire,
    split_and_merged_guards_count_right,
    raw_releases_end_raw_entries_of_their_cpu_first,
    tagged_releases_end_entries_of_their_tag,
    a_wrong_tag_is_misuse_and_releases_nevertheless,
    a_full_table_grants_protection_and_says_so,
);

fn the_location_is_the_callers_line<R: Make>(object: Box<Rundown<R>>) {
    let (_one, first) = (object.try_acquire(), line!());
    let (many, second) = (object.try_acquire_many(4), line!());
    let mut many = many.expect("open");
    let (_split, third) = (many.split_off(1), line!());
    let (_taken, fourth) = (many.take_one(), line!());
    let (_, fifth) = (object.acquire().expect("open"), line!());
    let (_, sixth) = (object.acquire_many(2).expect("open"), line!());
    let expected = [first, second, third, fourth, fifth, sixth];
    assert_eq!(lines(object.id(), file!()), expected);
    // SAFETY: the three taken above.
    unsafe { object.release_many(3) };
}

fn the_location_is_the_callers_line_behind_a_value<R: Make>(object: Box<Rundown<R>>) {
    let object = Arc::new(Protected::new(*object, 7));
    let (guard, line_1) = (object.try_acquire().expect("open"), line!());
    let (many, line_2) = (object.try_acquire_many(2).expect("open"), line!());
    let (owned, line_3) = (object.try_acquire_owned().expect("open"), line!());
    let (clone, line_4) = (owned.clone(), line!());
    let mapped = Guard::map(guard, |value| value);
    assert_eq!(lines(object.id(), file!()), [line_1, line_2, line_3, line_4]);
    drop((mapped, many, owned, clone));
    assert_eq!(lines(object.id(), file!()), []);
}

fn cpu_tick_and_count_are_those_of_the_acquire<R: Make>(object: Box<Rundown<R>>) {
    on(3, 100);
    let one = object.try_acquire();
    on(2, 200);
    let many = object.try_acquire_many(5);
    on(usize::MAX, u64::MAX);
    object.acquire_many(7).expect("open");
    on(0, 0);
    let expected = [(2, 200, 5, false), (3, 100, 1, false), (usize::MAX, u64::MAX, 7, true)];
    assert_eq!(facts(object.id()), expected);
    drop((one, many));
    // SAFETY: the seven taken above.
    unsafe { object.release_many(7) };
    // A refused acquire is not listed.
    object.close();
    assert!(object.try_acquire().is_none());
    assert!(object.acquire_many(2).is_err());
    assert_eq!(facts(object.id()), []);
}

fn split_and_merged_guards_count_right<R: Make>(object: Box<Rundown<R>>) {
    let counts = || -> Vec<u32> { facts(object.id()).iter().map(|fact| fact.2).collect() };
    on(0, 1);
    let mut many = object.try_acquire_many(5).expect("open");
    on(0, 0);
    let mut none = object.try_acquire_many(0).expect("open");
    assert_eq!(counts(), [5]);
    on(0, 2);
    let split = many.split_off(2);
    assert_eq!(counts(), [3, 2]);
    on(0, 3);
    let one = many.take_one();
    assert_eq!(counts(), [2, 2, 1]);
    none.merge(many).expect("the same object");
    assert_eq!(counts(), [2, 2, 1]);
    none.merge(split).expect("the same object");
    assert_eq!(counts(), [4, 1]);
    drop(one);
    let all = none.split_off(4);
    drop(none);
    assert_eq!(counts(), [4]);
    drop(all);
    assert_eq!(counts(), []);
}

fn raw_releases_end_raw_entries_of_their_cpu_first<R: Make>(object: Box<Rundown<R>>) {
    on(1, 1);
    let guard = object.try_acquire();
    object.acquire_many(3).expect("open");
    // Its entries come after those of the other one, from the same place on.
    let cpu = 1 + CAPACITY;
    on(cpu, 2);
    object.acquire_many(2).expect("open");
    let release = |n| {
        // SAFETY: five are taken above, and five released here in all.
        unsafe { object.release_many(n) }
    };
    let (kept, first) = ((1, 1, 1, false), (1, 1, 3, true));
    release(1);
    assert_eq!(facts(object.id()), [kept, first, (cpu, 2, 1, true)]);
    release(2);
    assert_eq!(facts(object.id()), [kept, (1, 1, 2, true)]);
    release(2);
    assert_eq!(facts(object.id()), [kept]);
    drop(guard);
}

/// The tag and the count of each holder, sorted.
fn tags(object: ObjectId) -> Vec<(usize, u32)> {
    let mut tags: Vec<_> = holders(object).map(|it| (it.tag.0, it.count)).collect();
    tags.sort_unstable();
    tags
}

fn tagged_releases_end_entries_of_their_tag<R: Make>(object: Box<Rundown<R>>) {
    let (read, write) = (Tag(7), Tag(8));
    on(1, 1);
    object.acquire_tagged(2, read).expect("open");
    // Its tag comes before its CPU.
    on(2, 2);
    object.acquire_tagged(2, write).expect("open");
    on(3, 3);
    // SAFETY: four are held.
    unsafe { object.acquire_held_tagged(1, Tag::NONE) }.expect("room");
    on(2, 2);
    let release = |n, tag| {
        // SAFETY: five are taken above, and five released here in all.
        unsafe { object.release_tagged(n, tag) }
    };
    release(1, write);
    assert_eq!(tags(object.id()), [(0, 1), (7, 2), (8, 1)]);
    release(2, read);
    assert_eq!(tags(object.id()), [(0, 1), (8, 1)]);
    // Without a tag: its own first, then any.
    release(1, Tag::NONE);
    assert_eq!(tags(object.id()), [(8, 1)]);
    release(1, Tag::NONE);
    assert_eq!((tags(object.id()), printed()), (vec![], vec![]));
}

fn a_wrong_tag_is_misuse_and_releases_nevertheless<R: Make>(object: Box<Rundown<R>>) {
    object.acquire_tagged(2, Tag(7)).expect("open");
    // SAFETY: two are held.
    unsafe { object.release_tagged(2, Tag(8)) };
    assert_eq!((object.racy_held(), tags(object.id())), (0, vec![]));
    let text = format!(
        "rundown: 2 more released under tag 0x8 than held under it, on the object at {}",
        object.id()
    );
    assert_eq!(printed(), [text]);
}

fn a_full_table_grants_protection_and_says_so<R: Make>(object: Box<Rundown<R>>) {
    let other = Plain::new();
    let fill: Vec<_> = (0..CAPACITY).map(|_| other.try_acquire()).collect();
    assert_eq!(holders(other.id()).count(), CAPACITY);
    assert_eq!(unlisted(), 0);
    let mut guards = object.try_acquire_many(4).expect("granted all the same");
    object.acquire_many(3).expect("granted all the same");
    assert_eq!((unlisted(), holders(object.id()).count()), (7, 0));
    let text = HolderReport(&*object).to_string();
    assert!(text.contains("7 held"), "{text}");
    let end = "\n  not listed, of this or other objects, because the table was full: 7";
    assert!(text.ends_with(end), "{text}");
    // A holder that ends is no longer counted, listed or not.
    let split = guards.split_off(1);
    drop(guards);
    assert_eq!(unlisted(), 4);
    // SAFETY: two of the three taken above.
    unsafe { object.release_many(2) };
    assert_eq!(unlisted(), 2);
    drop(split);
    // There is room again.
    drop(fill);
    let guard = object.try_acquire();
    assert_eq!(holders(object.id()).count(), 1);
    drop(guard);
    // The last one is lost with its object.
    drop(object);
    assert_eq!(unlisted(), 0);
    assert_eq!(printed().len(), 1);
}
