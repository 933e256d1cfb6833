//! Maps as firmware and loaders report them.

extern crate std;

use std::vec::Vec;

use bootloader_api::info::MemoryRegionKind::{self, Bootloader, UnknownBios, Usable};

use bootloader_api::info::MemoryRegion;

use super::{MAX_REGIONS, RegionList, TooManyRegions, keep_usable_pages};

fn region(start: u64, size: u64, kind: MemoryRegionKind) -> MemoryRegion {
    let end = start.saturating_add(size);
    MemoryRegion { start, end, kind }
}

fn list(map: &[MemoryRegion]) -> Result<RegionList, TooManyRegions> {
    RegionList::from_memory_map(map.iter().copied())
}

/// What QEMU 7.2 hands over for a q35 machine with 64 MiB.
fn q35() -> RegionList {
    list(&[
        region(0, 0x9_fc00, Usable),
        region(0x9_fc00, 0x400, UnknownBios(2)),
        region(0xf_0000, 0x1_0000, UnknownBios(2)),
        region(0x10_0000, 0x3ed_f000, Usable),
        region(0x3fd_f000, 0x2_1000, UnknownBios(2)),
        region(0xfeff_c000, 0x4000, UnknownBios(2)),
    ])
    .unwrap()
}

fn pieces(list: &RegionList) -> Vec<(u64, u64, MemoryRegionKind)> {
    list.as_slice()
        .iter()
        .map(|r| (r.start, r.end, r.kind))
        .collect()
}

fn kept(regions: &[(u64, u64, MemoryRegionKind)]) -> Vec<(u64, u64)> {
    let regions = regions.iter();
    let mut regions: Vec<_> = regions
        .map(|&(start, end, kind)| MemoryRegion { start, end, kind })
        .collect();
    let pages = keep_usable_pages(&mut regions);
    let kept = regions[..pages].iter();
    kept.map(|region| (region.start, region.end)).collect()
}

#[test]
fn usable_pages_are_whole() {
    // As a BIOS reports them, with a piece of less than a page, and one of a page across a boundary.
    let map = [
        (0x3000_0400, 0x3000_1c00, Usable),
        (0x9_fc00, 0xa_0000, UnknownBios(2)),
        (0, 0x9_fc00, Usable),
        (0x10_0000, 0x3fd_f000, Usable),
        (0x2000_0400, 0x2000_0c00, Usable),
    ];
    assert_eq!(kept(&map), [(0, 0x9_f000), (0x10_0000, 0x3fd_f000)]);
}

#[test]
fn neighbours_share_a_page() {
    let map = [
        (0x10_0800, 0x20_0000, Usable),
        (0x10_0000, 0x10_0800, Usable),
        (0x20_0000, 0x20_0800, Bootloader),
        (0x20_0800, 0x30_0000, Usable),
        (0x2f_0000, 0x31_0000, Usable),
    ];
    assert_eq!(kept(&map), [(0x10_0000, 0x20_0000), (0x20_1000, 0x31_0000)]);
}

#[test]
fn all_of_a_long_map_is_kept() {
    let piece = |n: u64| (n * 0x2000, n * 0x2000 + 0x1000);
    let map: Vec<_> = (1..=136).map(piece).collect();
    let usable = map.iter().map(|&(start, end)| (start, end, Usable));
    assert_eq!(kept(&usable.collect::<Vec<_>>()), map);
    assert_eq!(kept(&[]), []);
    assert_eq!(kept(&[(0, 0x1000, Bootloader)]), []);
}

#[test]
fn a_reservation_splits_a_region() {
    let mut list = q35();
    list.reserve(0x20_0010, 0x2f_fff0).unwrap();
    assert_eq!(
        pieces(&list)[1..],
        [
            (0x10_0000, 0x20_0000, Usable),
            (0x20_0000, 0x30_0000, Bootloader),
            (0x30_0000, 0x3fd_f000, Usable),
        ]
    );
}

#[test]
fn reservations_may_touch_and_overlap() {
    let mut list = q35();
    list.reserve(0x20_0000, 0x30_0000).unwrap();
    list.reserve(0x28_0000, 0x40_0000).unwrap();
    list.reserve(0x40_0000, 0x41_0000).unwrap();
    let reserved: u64 = pieces(&list)
        .iter()
        .filter(|(_, _, kind)| *kind == Bootloader)
        .map(|(start, end, _)| end - start)
        .sum();
    assert_eq!(reserved, 0x21_0000);
    assert!(
        pieces(&list).windows(2).all(|w| w[0].1 <= w[1].0),
        "sorted, disjoint"
    );
}

#[test]
fn what_is_reserved_by_the_firmware_is_never_usable() {
    type Map<'a> = (&'a [(u64, u64, MemoryRegionKind)], &'a [(u64, u64)]);
    let maps: [Map<'_>; 4] = [
        // Entries out of order, the reserved one inside the other.
        (
            &[
                (0x20_0000, 0x1000, UnknownBios(2)),
                (0x10_0000, 0x20_0000, Usable),
            ],
            &[(0x10_0000, 0x20_0000), (0x20_1000, 0x30_0000)],
        ),
        // What is left beside a part of a page is whole pages.
        (
            &[
                (0x10_0000, 0x20_0000, Usable),
                (0x20_0800, 0x400, UnknownBios(2)),
            ],
            &[(0x10_0000, 0x20_0000), (0x20_1000, 0x30_0000)],
        ),
        // Neighbours share a page.
        (
            &[(0x10_0000, 0x800, Usable), (0x10_0800, 0xf800, Usable)],
            &[(0x10_0000, 0x11_0000)],
        ),
        // The end of the address space.
        (
            &[
                (!0x800, u64::MAX, Usable),
                (!0x400, u64::MAX, UnknownBios(2)),
            ],
            &[],
        ),
    ];
    for (map, expected) in maps {
        let entries: Vec<_> = map
            .iter()
            .map(|&(at, size, kind)| region(at, size, kind))
            .collect();
        let list = list(&entries).unwrap();
        let usable: Vec<_> = list.as_slice().iter().map(|r| (r.start, r.end)).collect();
        assert_eq!(usable, expected, "{map:x?}");
    }
}

#[test]
fn find_usable_respects_limits_and_alignment() {
    let list = q35();
    assert_eq!(list.find_usable(0x1000, 0x1001, u64::MAX), Some(0x2000));
    assert_eq!(list.find_usable(0x10_0000, 0, u64::MAX), Some(0x10_0000));
    assert_eq!(
        list.find_usable(0x10_0000, 0, 0x1f_f000),
        None,
        "upper limit"
    );
    assert_eq!(
        list.find_usable(0x1000_0000, 0, u64::MAX),
        None,
        "larger than any"
    );
}

#[test]
fn memory_ends_where_ram_ends() {
    assert_eq!(q35().end_of_memory(), 0x3fd_f000);
    assert_eq!(q35().usable_bytes(), 0x9_f000 + 0x3ed_f000);
}

#[test]
fn too_many_regions_are_an_error() {
    let entries: Vec<_> = (0..=MAX_REGIONS as u64)
        .map(|n| region(n * 0x2000, 0x1000, Usable))
        .collect();
    assert!(list(&entries[1..]).is_ok());
    assert_eq!(list(&entries).unwrap_err(), TooManyRegions);
}

/// OVMF's map is of this kind: long, but most of its descriptors are neighbours.
#[test]
fn neighbours_count_once() {
    let many = 4 * MAX_REGIONS as u64;
    let map: Vec<_> = (0..many)
        .map(|n| region((many - n) * 0x1000, 0x1000, Usable))
        .collect();
    let merged = list(&map).expect("one region");
    assert_eq!(pieces(&merged), [(0x1000, (many + 1) * 0x1000, Usable)]);
}
