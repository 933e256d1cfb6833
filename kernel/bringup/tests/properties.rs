//! Properties of damaged and well-formed tables, and of lists of CPUs. `.ci/fuzz` tries any bytes.

#[path = "support/exercise.rs"]
mod exercise;

use std::collections::BTreeSet;

use bringup::{ApicId, CpuMap, CpuState, IoApic, MAX_CPUS, Madt, MadtCpu, NmiPins};
use exercise::{check_order, exercise, seal};
use proptest::{collection::vec, prelude::*, sample::select};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    /// Lengths that are often right, so that the walk comes far.
    #[test]
    fn entries_of_any_content_are_read_to_an_end(entries in vec(shapeless_entry(), 0..40)) {
        exercise(&table(&entries.concat())).expect("a header");
    }

    #[test]
    fn what_is_listed_is_what_is_read(entries in vec(entry(), 0..60)) {
        let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.0.clone()).collect();
        let bytes = table(&bytes);
        let madt = Madt::parse(&bytes).expect("well-formed");
        prop_assert!(madt.cpus().eq(entries.iter().filter_map(|entry| entry.1)));
        prop_assert!(madt.io_apics().eq(entries.iter().filter_map(|entry| entry.2)));
        exercise(&bytes).expect("well-formed");
    }

    #[test]
    fn a_map_has_each_cpu_once_and_in_order(
        enabled in vec(id(), 0..40),
        pluggable in vec(id(), 0..40),
        bsp in id(),
        listed: bool,
    ) {
        check_map(enabled.into_iter().chain(listed.then_some(bsp)).collect(), pluggable, bsp);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..Default::default() })]

    /// Around [`MAX_CPUS`], and far beyond.
    #[test]
    fn a_map_that_is_full_counts_what_it_leaves_out(
        enabled in vec(0u32..3000, 0..2 * MAX_CPUS),
        pluggable in vec(0u32..3000, 0..2 * MAX_CPUS),
        bsp in 0u32..3000,
    ) {
        check_map(enabled.into_iter().chain([bsp]).collect(), pluggable, bsp);
    }
}

/// In the worst order, with as many entries about pins. 2^16 steps for each would take minutes.
#[test]
fn a_table_of_64_ki_cpus_is_no_burden() {
    let entry = |place: u32| {
        // Descending, so that every new one goes to the front; NMI entries for each.
        let id = (u32::MAX - 1 - place).to_le_bytes();
        let uid = place.to_le_bytes();
        let cpu = [&[9, 16, 0, 0], &id[..], &[1, 0, 0, 0], &uid].concat();
        let nmi = [&[0xa, 12, 0, 0], &uid[..], &[1, 0, 0, 0]].concat();
        cpu.into_iter().chain(nmi)
    };
    let bytes = table(&(0..1 << 16).flat_map(entry).collect::<Vec<_>>());
    let madt = Madt::parse(&bytes).expect("well-formed");
    let last = ApicId::new(u32::MAX - (1 << 16));
    let map = CpuMap::from_madt(&madt, None, last).expect("listed");
    check_order(&map, last);
    let left_out = (1 << 16) - MAX_CPUS;
    assert_eq!((map.len(), map.left_out()), (MAX_CPUS, left_out));
    assert_eq!(NmiPins::new(&madt, &map).not_covered(), 0);
}

/// MADTs of QEMU 7.2: the board, CPUs present of how many, options (`kvm`: with an IOMMU and
/// `eim=on`; `microvm`: `pit=on,pic=on,rtc=on`). From memory, by the monitor's `pmemsave`.
#[test]
fn the_tables_of_qemu_say_what_was_asked_for() {
    for (name, enabled, listed, last, io_apics) in [
        ("q35-12-sockets-2-dies-2-cores-3", 12, 12, 14, 1),
        ("q35-7-of-30-sockets-3-cores-5-threads-2", 7, 30, 41, 1),
        ("pc-2-of-255", 2, 255, 254, 1),
        ("microvm-9-sockets-3-cores-3", 9, 9, 10, 2),
        ("kvm-288", 288, 288, 287, 1),
    ] {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus");
        let bytes = std::fs::read(format!("{folder}/{name}.madt")).expect("readable");
        exercise(&bytes).expect(name);
        let madt = Madt::parse(&bytes).expect(name);
        assert_eq!((madt.bad_entries().count(), madt.io_apics().count()), (0, io_apics), "{name}");
        let map = CpuMap::from_madt(&madt, None, ApicId::new(0)).expect(name);
        assert_eq!((map.enabled(), map.len()), (enabled, listed), "{name}");
        assert_eq!(map.iter().last().map(|(_, id)| id.get()), Some(last), "{name}");
        assert_eq!(NmiPins::new(&madt, &map).not_covered(), 0, "{name}");
    }
}

/// The map of these, against sets.
fn check_map(enabled: Vec<u32>, pluggable: Vec<u32>, bsp: u32) {
    let ids = |ids: &[u32]| ids.iter().copied().map(ApicId::new).collect::<Vec<_>>();
    let map = CpuMap::new(ids(&enabled), ids(&pluggable), ApicId::new(bsp));
    assert_eq!(map.is_some(), enabled.contains(&bsp));
    let Some(map) = map else { return };
    check_order(&map, ApicId::new(bsp));

    // The first ones, as long as there is room.
    let mut left_out = 0;
    let mut first = BTreeSet::from([bsp]);
    for id in &enabled {
        match first.len() < MAX_CPUS {
            true => _ = first.insert(*id),
            false => left_out += usize::from(!first.contains(id)),
        }
    }
    let mut second = BTreeSet::new();
    for id in pluggable.iter().filter(|id| !first.contains(id)) {
        match first.len() + second.len() < MAX_CPUS {
            true => _ = second.insert(*id),
            false => left_out += usize::from(!second.contains(id)),
        }
    }
    let is_known = |id: &u32| map.index_of(ApicId::new(*id)).is_some();
    assert!((0..40).all(|id| is_known(&id) == (first.contains(&id) || second.contains(&id))));
    let found: Vec<_> = map.iter().map(|(_, id)| id.get()).collect();
    let (enabled, pluggable) = found.split_at(map.enabled());
    assert!(first.iter().eq(&BTreeSet::from_iter(enabled.iter().copied())));
    assert!(second.iter().eq(pluggable));
    assert_eq!(map.left_out(), left_out);
}

fn id() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..32, any::<u32>()]
}

/// A table with these entries.
fn table(entries: &[u8]) -> Vec<u8> {
    // The header, signature and length still to come; the local APIC's address; the flags.
    let mut bytes = vec![5; 44];
    bytes.extend(entries);
    seal(&mut bytes);
    bytes
}

/// A well-formed entry, and what it lists.
type Entry = (Vec<u8>, Option<MadtCpu>, Option<IoApic>);

/// Few different IDs and UIDs, so that some are there twice and some refer to each other.
fn entry() -> impl Strategy<Value = Entry> {
    let x2_id = || prop_oneof![0u32..20, 250u32..260, Just(!0), any::<u32>()];
    let x_id = || prop_oneof![0u8..20, 250u8..];
    let content = vec(any::<u8>(), 0..30);
    prop_oneof![
        4 => (x_id(), x_id(), any::<u32>()).prop_map(|(id, uid, flags)| {
            let bytes = [&[0, 8, uid, id], &flags.to_le_bytes()[..]].concat();
            (bytes, (id != 0xff).then(|| cpu(id.into(), uid.into(), flags)), None)
        }),
        4 => (x2_id(), x2_id(), any::<u32>()).prop_map(|(id, uid, flags)| {
            let numbers = [id, flags, uid].map(u32::to_le_bytes).concat();
            ([&[9, 16, 0, 0], &numbers[..]].concat(), (id != !0).then(|| cpu(id, uid, flags)), None)
        }),
        1 => (any::<u8>(), any::<u32>(), any::<u32>()).prop_map(|(id, address, gsi_base)| {
            let numbers = [address, gsi_base].map(u32::to_le_bytes).concat();
            ([&[1, 12, id, 0], &numbers[..]].concat(), None, Some(IoApic { id, address, gsi_base }))
        }),
        2 => (x_id(), 0u8..3, 0u8..18)
            .prop_map(|(uid, lint, inti)| (vec![4, 6, uid, inti, 0, lint], None, None)),
        2 => (x2_id(), 0u8..3, 0u8..18).prop_map(|(uid, lint, inti)| {
            ([&[0xa, 12, inti, 0], &uid.to_le_bytes()[..], &[lint, 0, 0, 0]].concat(), None, None)
        }),
        1 => (select(&[2, 3, 5, 6, 7, 8, 0xb, 0x10, 0x7f, 0x80, 0xff]), content).prop_map(
            |(kind, content)| ([&[kind, content.len() as u8 + 2], &content[..]].concat(), None, None)
        ),
    ]
}

fn cpu(id: u32, uid: u32, flags: u32) -> MadtCpu {
    let state = match flags % 4 {
        0 => CpuState::Disabled,
        2 => CpuState::OnlineCapable,
        _ => CpuState::Enabled,
    };
    let apic_id = ApicId::new(id);
    MadtCpu { apic_id, uid, state }
}

/// A type that usually means something, any content, and a length that may be another's.
fn shapeless_entry() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![20 => Just(None), 1 => any::<u8>().prop_map(Some)];
    let kind = prop_oneof![0u8..12, any::<u8>()];
    (kind, length, vec(any::<u8>(), 4..20)).prop_map(|(kind, length, content)| {
        let own = content.len() as u8 + 2;
        [&[kind, length.unwrap_or(own)], &content[..]].concat()
    })
}
