//! Maps as firmware and loaders report them.

extern crate std;

use std::{vec, vec::Vec};

use bootloader_api::info::MemoryRegion;
use bootloader_api::info::MemoryRegionKind::{self, Bootloader, UnknownBios, Usable};

use super::{MAX_REGIONS, RegionList, keep_usable_pages};
use crate::Failure;

type Piece = (u64, u64, MemoryRegionKind);
const RESERVED: MemoryRegionKind = UnknownBios(2);

fn regions(map: &[Piece]) -> Vec<MemoryRegion> {
    let map = map.iter();
    map.map(|&(start, end, kind)| MemoryRegion { start, end, kind }).collect()
}

fn list(map: &[Piece]) -> Result<RegionList, Failure> {
    RegionList::from_memory_map(regions(map).into_iter())
}

fn pieces(regions: &[MemoryRegion]) -> Vec<Piece> {
    let regions = regions.iter();
    regions.map(|it| (it.start, it.end, it.kind)).collect()
}

/// What QEMU 7.2 hands over for a q35 machine with 64 MiB.
fn q35() -> RegionList {
    list(&[
        (0, 0x9_fc00, Usable),
        (0x9_fc00, 0xa_0000, RESERVED),
        (0xf_0000, 0x10_0000, RESERVED),
        (0x10_0000, 0x3fd_f000, Usable),
        (0x3fd_f000, 0x400_0000, RESERVED),
        (0xfeff_c000, 0xff00_0000, RESERVED),
    ])
    .unwrap()
}

/// Pieces of a map, of which those are usable whose kind says so; and the whole pages that come of it.
type Map<'a> = (&'a [Piece], &'a [(u64, u64)]);

/// Without an overlap of what is usable and what is not.
const DISJOINT: [Map<'_>; 5] = [
    // As a BIOS reports them, with a piece of less than a page, and one of a page across a boundary.
    (
        &[
            (0x3000_0400, 0x3000_1c00, Usable),
            (0x9_fc00, 0xa_0000, RESERVED),
            (0, 0x9_fc00, Usable),
            (0x10_0000, 0x3fd_f000, Usable),
            (0x2000_0400, 0x2000_0c00, Usable),
        ],
        &[(0, 0x9_f000), (0x10_0000, 0x3fd_f000)],
    ),
    // Neighbours share a page.
    (
        &[
            (0x10_0800, 0x20_0000, Usable),
            (0x10_0000, 0x10_0800, Usable),
            (0x20_0000, 0x20_0800, Bootloader),
            (0x20_0800, 0x30_0000, Usable),
            (0x2f_0000, 0x31_0000, Usable),
        ],
        &[(0x10_0000, 0x20_0000), (0x20_1000, 0x31_0000)],
    ),
    // The end of the address space.
    (&[(!0x800, u64::MAX, Usable)], &[]),
    (&[], &[]),
    (&[(0, 0x1000, Bootloader)], &[]),
];

/// Reserved memory wins.
const OVERLAPPING: [Map<'_>; 3] = [
    // Entries out of order, the reserved one inside the other.
    (
        &[(0x20_0000, 0x20_1000, RESERVED), (0x10_0000, 0x30_0000, Usable)],
        &[(0x10_0000, 0x20_0000), (0x20_1000, 0x30_0000)],
    ),
    // Beside a part of a page, whole pages are left.
    (
        &[(0x10_0000, 0x30_0000, Usable), (0x20_0800, 0x20_0c00, RESERVED)],
        &[(0x10_0000, 0x20_0000), (0x20_1000, 0x30_0000)],
    ),
    (&[(!0x800, u64::MAX, Usable), (!0x400, u64::MAX, RESERVED)], &[]),
];

#[test]
fn usable_memory_is_whole_pages_of_what_nothing_reserves() {
    for (map, usable) in DISJOINT.iter().chain(&OVERLAPPING) {
        let usable = usable.iter().map(|&(start, end)| (start, end, Usable));
        let usable: Vec<_> = usable.collect();
        let list = list(map).unwrap();
        assert_eq!(pieces(list.as_slice()), usable, "{map:x?}");
    }
    for (map, usable) in DISJOINT {
        let mut regions = regions(map);
        let pages = keep_usable_pages(&mut regions);
        let kept = regions[..pages].iter().map(|it| (it.start, it.end));
        assert_eq!(kept.collect::<Vec<_>>(), usable, "{map:x?}");
    }
}

#[test]
fn all_of_a_long_map_is_kept_up_to_a_limit() {
    let map = |count: u64| (1..=count).map(|n| (n * 0x2000, n * 0x2000 + 0x1000, Usable));
    let most: Vec<_> = map(MAX_REGIONS as u64).collect();
    assert_eq!(pieces(list(&most).unwrap().as_slice()), most);
    let more: Vec<_> = map(MAX_REGIONS as u64 + 1).collect();
    assert!(list(&more).is_err());
    // For the kernel there is none.
    assert_eq!(keep_usable_pages(&mut regions(&more)), more.len());
    // OVMF's map is of this kind: long, but most of its descriptors are neighbours.
    let many = 4 * MAX_REGIONS as u64;
    let neighbours: Vec<_> =
        (0..many).map(|n| ((many - n) * 0x1000, (many - n + 1) * 0x1000, Usable)).collect();
    let merged = list(&neighbours).expect("one region");
    let all = vec![(0x1000, (many + 1) * 0x1000, Usable)];
    assert_eq!(pieces(merged.as_slice()), all);
}

#[test]
fn reservations_split_regions_and_may_touch_and_overlap() {
    let mut list = q35();
    list.reserve(0x20_0010, 0x2f_fff0).unwrap();
    list.reserve(0x28_0000, 0x40_0000).unwrap();
    list.reserve(0x40_0000, 0x41_0000).unwrap();
    let found = pieces(list.as_slice());
    assert_eq!(found[1], (0x10_0000, 0x20_0000, Usable));
    assert_eq!(found.last(), Some(&(0x41_0000, 0x3fd_f000, Usable)));
    let reserved = &found[2..found.len() - 1];
    assert!(reserved.iter().all(|(_, _, kind)| *kind == Bootloader));
    assert!(found[1..].windows(2).all(|w| w[0].1 == w[1].0), "{found:x?}");
}

#[test]
fn usable_memory_is_found_within_limits_and_counted() {
    let list = q35();
    assert_eq!(list.find_usable(0x1000, 0x1001, u64::MAX), Some(0x2000));
    assert_eq!(list.find_usable(0x10_0000, 0, u64::MAX), Some(0x10_0000));
    assert_eq!(list.find_usable(0x10_0000, 0, 0x1f_f000), None, "limit");
    assert_eq!(list.find_usable(0x1000_0000, 0, u64::MAX), None, "size");
    assert_eq!(list.end_of_memory(), 0x3fd_f000);
    assert_eq!(list.usable_bytes(), 0x9_f000 + 0x3ed_f000);
}
