//! Maps as firmware and loaders report them.

extern crate std;

use std::vec::Vec;

use bootloader_api::info::MemoryRegion;
use bootloader_api::info::MemoryRegionKind::{self, Bootloader, UnknownBios, Usable};

use super::{MAX_REGIONS, RegionList, keep_usable_pages};
use crate::Failure;

type Piece = (u64, u64, MemoryRegionKind);
const RESERVED: MemoryRegionKind = UnknownBios(2);

fn regions(map: &[Piece]) -> Vec<MemoryRegion> {
    map.iter().map(|&(start, end, kind)| MemoryRegion { start, end, kind }).collect()
}

fn list(map: &[Piece]) -> Result<RegionList, Failure> {
    RegionList::from_memory_map(regions(map).into_iter())
}

fn pieces(regions: &[MemoryRegion]) -> Vec<Piece> {
    regions.iter().map(|it| (it.start, it.end, it.kind)).collect()
}

/// Pieces of a map, those usable whose kind says so; and the whole pages that come of it.
type Map<'a> = (&'a [Piece], &'a [(u64, u64)]);

/// Without an overlap of what is usable and what is not.
const DISJOINT: [Map<'_>; 4] = [
    // As a BIOS reports them, with a piece below a page, and one of a page across a boundary.
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
    let expected = |pages: &[(u64, u64)]| -> Vec<_> {
        pages.iter().map(|&(start, end)| (start, end, Usable)).collect()
    };
    for (map, usable) in DISJOINT.iter().chain(&OVERLAPPING) {
        assert_eq!(pieces(list(map).unwrap().as_slice()), expected(usable), "{map:x?}");
    }
    for (map, usable) in DISJOINT {
        let mut regions = regions(map);
        let kept = keep_usable_pages(&mut regions);
        assert_eq!(pieces(&regions[..kept]), expected(usable), "{map:x?}");
    }
}

#[test]
fn all_of_a_long_map_is_kept_up_to_a_limit() {
    let more: Vec<_> =
        (1..=MAX_REGIONS as u64 + 1).map(|n| (n * 0x2000, n * 0x2000 + 0x1000, Usable)).collect();
    let most = &more[1..];
    assert_eq!(pieces(list(most).unwrap().as_slice()), most);
    assert!(list(&more).is_err());
    // For the kernel there is none.
    assert_eq!(keep_usable_pages(&mut regions(&more)), more.len());
    // OVMF's map is of this kind: long, but most of its descriptors are neighbours.
    let many = 4 * MAX_REGIONS as u64;
    let neighbours: Vec<_> =
        (1..=many).rev().map(|n| (n * 0x1000, (n + 1) * 0x1000, Usable)).collect();
    let merged = list(&neighbours).expect("one region");
    assert_eq!(pieces(merged.as_slice()), [(0x1000, (many + 1) * 0x1000, Usable)]);
}

/// On what QEMU 7.2 hands over for a q35 machine with 64 MiB.
#[test]
fn memory_is_found_within_limits_and_reservations_split_regions_and_may_touch_and_overlap() {
    let mut list = list(&[
        (0, 0x9_fc00, Usable),
        (0x9_fc00, 0xa_0000, RESERVED),
        (0xf_0000, 0x10_0000, RESERVED),
        (0x10_0000, 0x3fd_f000, Usable),
        (0x3fd_f000, 0x400_0000, RESERVED),
        (0xfeff_c000, 0xff00_0000, RESERVED),
    ])
    .unwrap();
    assert_eq!(list.find_usable(0x1000, 0x1001, u64::MAX), Some(0x2000));
    assert_eq!(list.find_usable(0x10_0000, 0, u64::MAX), Some(0x10_0000));
    assert_eq!(list.find_usable(0x10_0000, 0, 0x1f_f000), None, "limit");
    assert_eq!(list.find_usable(0x1000_0000, 0, u64::MAX), None, "size");
    assert_eq!(list.end_of_memory(), 0x3fd_f000);
    assert_eq!(list.usable_bytes(), 0x9_f000 + 0x3ed_f000);
    list.reserve(0x20_0010, 0x2f_fff0).unwrap();
    list.reserve(0x28_0000, 0x40_0000).unwrap();
    list.reserve(0x40_0000, 0x41_0000).unwrap();
    let expected = [
        (0, 0x9_f000, Usable),
        (0x10_0000, 0x20_0000, Usable),
        (0x20_0000, 0x28_0000, Bootloader),
        (0x28_0000, 0x40_0000, Bootloader),
        (0x40_0000, 0x41_0000, Bootloader),
        (0x41_0000, 0x3fd_f000, Usable),
    ];
    assert_eq!(pieces(list.as_slice()), expected);
}
