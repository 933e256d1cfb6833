//! AMD's CPUs of family 15h, by the layouts of the BKDG (42301, CPUID; models 00h to 0Fh): packages
//! of two nodes, which are no bits of the APIC ID, and compute units of two cores.

extern crate std;

use std::collections::BTreeSet;
use std::vec;
use std::vec::Vec;

use super::super::{CacheKind, Topology};
use super::{AMD, CpuidLeaf, topology};

/// Leaves of an Opteron with `cores` per node, on a core of this node of the machine. `size` is the
/// width of the field for cores.
fn opteron(cores: u32, node: u32, size: u32) -> Vec<CpuidLeaf> {
    let l3 = (cores - 1) << 14 | 0x163;
    vec![
        // Family 15h, model 1, stepping 2.
        (1, 0, [0x0060_0f12, 0, 0, 1 << 28]),
        (0x8000_0000, 0, [0x8000_001e, 0, 0, 0]),
        (0x8000_0008, 0, [0x3030, 0, size << 12 | (2 * cores - 1), 0]),
        // The L1 data cache is a core's; the L1 instruction cache and L2 are a compute unit's.
        (0x8000_001d, 0, [0x121, 0x00c0_003f, 0x3f, 0]),
        (0x8000_001d, 1, [0x4122, 0x0040_003f, 0x1ff, 0]),
        (0x8000_001d, 2, [0x4143, 0x03c0_003f, 0x7ff, 0]),
        (0x8000_001d, 3, [l3, 0x0fc0_003f, 0x7ff, 1]),
        (0x8000_001e, 0, [0, 0x100, 0x100 | node, 0]),
    ]
}

/// All CPUs of a machine with two such packages, by ascending APIC ID.
fn two_packages(cores: u32, size: u32) -> Vec<(u32, Topology)> {
    let mut all = vec![];
    for package in 0..2 {
        for core in 0..2 * cores {
            let id = package << size | core;
            let answers = opteron(cores, package * 2 + core / cores, size);
            all.push((id, topology(0xd, AMD, &answers, id)));
        }
    }
    all
}

/// How many caches of this sort the machine has, and how many CPUs share each.
fn sharers(all: &[(u32, Topology)], level: u8, kind: CacheKind) -> (usize, usize) {
    let of = |topology: &Topology| {
        let mut caches = topology.caches();
        let cache = caches.find(|it| (it.level, it.kind) == (level, kind));
        cache.expect("one")
    };
    let firsts: BTreeSet<_> = all.iter().map(|(_, it)| of(it).first).collect();
    for first in &firsts {
        let own = all.iter().filter(|(_, it)| of(it).first == *first);
        assert_eq!(own.clone().map(|(id, _)| *id).min(), Some(first.get()));
        assert_eq!(own.count() * firsts.len(), all.len());
    }
    (firsts.len(), all.len() / firsts.len())
}

#[test]
fn die_and_l3_cache_of_opterons_are_the_nodes() {
    // Opteron 6274 with 8 cores a node, 6234 with 6: there, APIC IDs 6 and 7 are the next node's.
    for (cores, size) in [(8, 4), (6, 4), (4, 3), (2, 2)] {
        let all = two_packages(cores, size);
        for (id, topology) in &all {
            let core = id & ((1 << size) - 1);
            let place = (topology.place.package, topology.place.die);
            assert_eq!(place, (id >> size, core / cores), "{cores} cores, APIC {id}");
            let place = (topology.place.core, topology.place.thread);
            assert_eq!(place, (core / 2, core % 2), "{cores} cores, APIC {id}");
        }
        assert_eq!(sharers(&all, 3, CacheKind::Unified), (4, cores as usize));
        assert_eq!(sharers(&all, 2, CacheKind::Unified).1, 2);
        assert_eq!(sharers(&all, 1, CacheKind::Instruction).1, 2);
        assert_eq!(sharers(&all, 1, CacheKind::Data).1, 1);
    }
}

#[test]
fn the_first_level_of_an_apu_is_each_cores_own_for_data() {
    // Family 15h, model 13h (A10-6800K): leaf 0x8000_001D is there, and empty.
    let answers = [
        (1, 0, [0x0061_0f31, 0, 0, 1 << 28]),
        (0x8000_0000, 0, [0x8000_001e, 0, 0, 0]),
        (0x8000_0005, 0, [0, 0, 0x1004_0140, 0x4002_0140]),
        (0x8000_0006, 0, [0, 0, 0x0800_8140, 0]),
        (0x8000_0008, 0, [0x3030, 0, 0x2003, 0]),
        (0x8000_001e, 0, [0, 0x100, 0, 0]),
    ];
    let all = [0, 1, 2, 3].map(|id| (id, topology(0xd, AMD, &answers, id)));
    assert_eq!(sharers(&all, 1, CacheKind::Data), (4, 1));
    assert_eq!(sharers(&all, 1, CacheKind::Instruction), (2, 2));
    assert_eq!(sharers(&all, 2, CacheKind::Unified), (2, 2));
    assert!(all.iter().all(|(_, topology)| topology.place.die == 0));
}

#[test]
fn before_family_15h_a_package_counts_as_one_die() {
    // An Opteron 6174, of family 10h, has two nodes of 6 cores, and no leaf that says so.
    let answers = [
        (1, 0, [0x0010_0f91, 0, 0, 1 << 28]),
        (0x8000_0000, 0, [0x8000_001b, 0, 0, 0]),
        (0x8000_0005, 0, [0, 0, 0x4002_0140, 0x4002_0140]),
        (0x8000_0006, 0, [0, 0, 0x0200_8140, 0x0030_b140]),
        (0x8000_0008, 0, [0x3030, 0, 0x400b, 0]),
        (0x8000_001e, 0, [0, 0, 0x101, 0]),
    ];
    for id in [0, 5, 6, 11] {
        let topology = topology(5, AMD, &answers, 0x10 | id);
        assert_eq!((topology.place.package, topology.place.die), (1, 0));
        // No compute units: each core has caches of its own.
        let firsts: Vec<_> = topology.caches().map(|it| it.first.get()).collect();
        assert_eq!(firsts, [0x10 | id, 0x10 | id, 0x10 | id, 0x10]);
    }
}
