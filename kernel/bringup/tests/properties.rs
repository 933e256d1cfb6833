//! What holds for tables of any bytes, for any well-formed table, and for any lists of CPUs.

mod support;

use std::collections::BTreeSet;

use bringup::{ApicId, CpuMap, CpuState, Disabled, LintUse, MAX_CPUS, Madt, MapError, NmiPins};
use proptest::{collection::vec, prelude::*};
use support::{
    exercise::{check_order, exercise, seal},
    tables::{Entry, entry, shapeless_entry, table},
};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    /// Most are no table at all; with a header set right, most break off at some entry.
    #[test]
    fn any_bytes_are_read_to_an_end(mut bytes in vec(any::<u8>(), 0..700)) {
        let _ = exercise(&bytes);
        if bytes.len() >= 44 {
            seal(&mut bytes);
            exercise(&bytes).expect("a header");
        }
    }

    /// Lengths that are often right, so that the walk comes far.
    #[test]
    fn entries_of_any_content_are_read_to_an_end(entries in vec(shapeless_entry(), 0..40)) {
        exercise(&table(&entries.concat())).expect("a header");
    }

    #[test]
    fn what_is_listed_is_what_is_read(entries in vec(entry(), 0..60)) {
        let bytes: Vec<u8> = entries.iter().flat_map(Entry::write).collect();
        let bytes = table(&bytes);
        let madt = Madt::parse(&bytes).expect("well-formed");

        let cpus: Vec<_> = entries.iter().filter_map(Entry::cpu).collect();
        prop_assert_eq!(madt.cpus().collect::<Vec<_>>(), &cpus[..]);
        let io_apics = entries.iter().filter_map(|entry| match entry {
            Entry::IoApic(it) => Some(*it),
            _ => None,
        });
        prop_assert!(madt.io_apics().eq(io_apics));

        if let Some(bsp) = cpus.iter().find(|cpu| cpu.state == CpuState::Enabled) {
            check_nmi_pins(&entries, &madt, bsp.apic_id);
        }
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

/// In the worst order, and with as many entries about pins. That takes a moment; 2^16 steps for each
/// would take minutes.
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
    let map = CpuMap::from_madt(&madt, Disabled::MayCome, last).expect("listed");
    check_order(&map, last);
    assert_eq!(
        (map.len(), map.left_out()),
        (MAX_CPUS, (1 << 16) - MAX_CPUS)
    );
    assert_eq!(NmiPins::new(&madt, &map).not_covered(), 0);
}

/// Of each CPU: the first entry about each pin counts that says what can be; if there is one about
/// either pin, the other one is masked.
fn check_nmi_pins(entries: &[Entry], madt: &Madt<'_>, bsp: ApicId) {
    let map = CpuMap::from_madt(madt, Disabled::MayCome, bsp).expect("listed");
    let pins = NmiPins::new(madt, &map);
    for (index, id) in map.iter() {
        let same = || madt.cpus().filter(|cpu| cpu.apic_id == id);
        let states = [
            CpuState::Enabled,
            CpuState::OnlineCapable,
            CpuState::Disabled,
        ];
        let mut own = states
            .iter()
            .filter_map(|state| same().find(|cpu| cpu.state == *state));
        let own = own.next().map(|cpu| cpu.uid);
        let all = || entries.iter().filter_map(|entry| entry.nmi_pin(own));
        let first = |lint| all().find(|(pin, _)| *pin == lint).map(|(_, it)| it);
        let unknown = match id == bsp {
            true => LintUse::Nmi { active_low: false },
            false => LintUse::AsFound,
        };
        let expected = match [first(0), first(1)] {
            [None, None] => [LintUse::Masked, unknown],
            pins => pins.map(|pin| pin.unwrap_or(LintUse::Masked)),
        };
        assert_eq!(pins.of(index), expected, "{id}");
    }
}

/// The map of these, against sets.
fn check_map(enabled: Vec<u32>, pluggable: Vec<u32>, bsp: u32) {
    let ids = |ids: &[u32]| ids.iter().copied().map(ApicId::new).collect::<Vec<_>>();
    let map = match CpuMap::new(ids(&enabled), ids(&pluggable), ApicId::new(bsp)) {
        Err(MapError::NoneListed) => return assert!(enabled.is_empty()),
        Err(MapError::BspNotListed { .. }) => return assert!(!enabled.contains(&bsp)),
        Ok(map) => map,
    };
    assert!(enabled.contains(&bsp));
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
    let (map_first, map_second) = map.raw_ids().split_at(map.enabled());
    assert_eq!(map_first.iter().copied().collect::<BTreeSet<_>>(), first);
    assert_eq!(map_second.iter().copied().collect::<BTreeSet<_>>(), second);
    assert_eq!(map.left_out(), left_out);
}

fn id() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..32, any::<u32>()]
}
