//! Which memory is whose: a loader's memory map less what is already taken.

use bootloader_api::info::{MemoryRegion, MemoryRegionKind};

use crate::start_info::{MemoryMapEntry, TYPE_RAM};

/// Most regions that a [`RegionList`] holds. QEMU's maps have fewer than 10 entries.
pub const MAX_REGIONS: usize = 64;

/// Page size; usable regions consist of whole pages.
const PAGE: u64 = 4096;

/// A memory map in the making: sorted, without overlap.
#[derive(Clone, Debug)]
pub struct RegionList {
    regions: [MemoryRegion; MAX_REGIONS],
    len: usize,
}

/// The memory map has more pieces than [`MAX_REGIONS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyRegions;

impl RegionList {
    const EMPTY: Self = Self {
        regions: [MemoryRegion::empty(); MAX_REGIONS],
        len: 0,
    };

    /// The list of what the loader reports. Usable regions are cut to whole pages; where entries
    /// overlap, the one that is not usable wins.
    ///
    /// # Errors
    /// [`TooManyRegions`].
    pub fn from_memory_map(entries: &[MemoryMapEntry]) -> Result<Self, TooManyRegions> {
        let mut raw = Self::EMPTY;
        let (ram, other) = (
            entries.iter().filter(|entry| entry.kind == TYPE_RAM),
            entries.iter().filter(|entry| entry.kind != TYPE_RAM),
        );
        for entry in ram.chain(other).filter(|entry| entry.size > 0) {
            let end = entry.addr.saturating_add(entry.size);
            let kind = match entry.kind {
                TYPE_RAM => MemoryRegionKind::Usable,
                kind => MemoryRegionKind::UnknownBios(kind),
            };
            raw.carve(entry.addr, end, kind)?;
        }
        // Last, since the others may have cut usable regions anywhere.
        let mut list = Self::EMPTY;
        for region in raw.as_slice() {
            list.push(match region.kind {
                MemoryRegionKind::Usable => MemoryRegion {
                    start: region
                        .start
                        .checked_next_multiple_of(PAGE)
                        .unwrap_or(u64::MAX),
                    end: region.end & !(PAGE - 1),
                    ..*region
                },
                _ => *region,
            })?;
        }
        Ok(list)
    }

    /// Gives `start..end` to the boot code, so that the kernel leaves it alone. Whole pages are taken.
    ///
    /// # Errors
    /// [`TooManyRegions`].
    pub fn reserve(&mut self, start: u64, end: u64) -> Result<(), TooManyRegions> {
        let (start, end) = (start & !(PAGE - 1), end.next_multiple_of(PAGE));
        self.carve(start, end, MemoryRegionKind::Bootloader)
    }

    /// The lowest usable, page-aligned piece of `len` bytes (whole pages) within `from..to`.
    #[must_use]
    pub fn find_usable(&self, len: u64, from: u64, to: u64) -> Option<u64> {
        let len = len.next_multiple_of(PAGE);
        self.as_slice()
            .iter()
            .filter(|region| region.kind == MemoryRegionKind::Usable)
            .find_map(|region| {
                let start = region.start.max(from.next_multiple_of(PAGE));
                let end = region.end.min(to);
                (start < end && end - start >= len).then_some(start)
            })
    }

    /// End of the highest region that is usable or was.
    #[must_use]
    pub fn end_of_memory(&self) -> u64 {
        self.as_slice()
            .iter()
            .filter(|region| !matches!(region.kind, MemoryRegionKind::UnknownBios(_)))
            .map(|region| region.end)
            .max()
            .unwrap_or(0)
    }

    /// Bytes that the kernel may use.
    #[must_use]
    pub fn usable_bytes(&self) -> u64 {
        self.as_slice()
            .iter()
            .filter(|region| region.kind == MemoryRegionKind::Usable)
            .map(|region| region.end - region.start)
            .sum()
    }

    /// The regions by ascending address.
    #[must_use]
    pub fn as_slice(&self) -> &[MemoryRegion] {
        &self.regions[..self.len]
    }

    /// The same, mutable: what `BootInfo` wants.
    pub fn as_mut_slice(&mut self) -> &mut [MemoryRegion] {
        &mut self.regions[..self.len]
    }

    /// Makes `start..end` a region of `kind`, whatever it was before: neighbours are cut, covered
    /// regions go.
    fn carve(
        &mut self,
        start: u64,
        end: u64,
        kind: MemoryRegionKind,
    ) -> Result<(), TooManyRegions> {
        let old = core::mem::replace(self, Self::EMPTY);
        for region in old.as_slice() {
            self.push(MemoryRegion {
                end: region.end.min(start),
                ..*region
            })?;
        }
        self.push(MemoryRegion { start, end, kind })?;
        for region in old.as_slice() {
            self.push(MemoryRegion {
                start: region.start.max(end),
                ..*region
            })?;
        }
        Ok(())
    }

    /// Appends a region unless it is empty.
    fn push(&mut self, region: MemoryRegion) -> Result<(), TooManyRegions> {
        if region.start >= region.end {
            return Ok(());
        }
        let place = self.regions.get_mut(self.len).ok_or(TooManyRegions)?;
        *place = region;
        self.len += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use bootloader_api::info::MemoryRegionKind::{self, Bootloader, UnknownBios, Usable};

    use super::{MAX_REGIONS, RegionList, TooManyRegions};
    use crate::start_info::{MemoryMapEntry, TYPE_RAM};

    fn entry(addr: u64, size: u64, kind: u32) -> MemoryMapEntry {
        MemoryMapEntry {
            addr,
            size,
            kind,
            reserved: 0,
        }
    }

    /// What QEMU 7.2 hands over for a q35 machine with 64 MiB.
    fn q35() -> RegionList {
        RegionList::from_memory_map(&[
            entry(0, 0x9_fc00, TYPE_RAM),
            entry(0x9_fc00, 0x400, 2),
            entry(0xf_0000, 0x1_0000, 2),
            entry(0x10_0000, 0x3ed_f000, TYPE_RAM),
            entry(0x3fd_f000, 0x2_1000, 2),
            entry(0xfeff_c000, 0x4000, 2),
        ])
        .unwrap()
    }

    fn pieces(list: &RegionList) -> Vec<(u64, u64, MemoryRegionKind)> {
        list.as_slice()
            .iter()
            .map(|r| (r.start, r.end, r.kind))
            .collect()
    }

    #[test]
    fn usable_regions_are_whole_pages() {
        assert_eq!(
            pieces(&q35()),
            [
                (0, 0x9_f000, Usable),
                (0x9_fc00, 0xa_0000, UnknownBios(2)),
                (0xf_0000, 0x10_0000, UnknownBios(2)),
                (0x10_0000, 0x3fd_f000, Usable),
                (0x3fd_f000, 0x400_0000, UnknownBios(2)),
                (0xfeff_c000, 0xff00_0000, UnknownBios(2)),
            ]
        );
    }

    #[test]
    fn a_reservation_splits_a_region() {
        let mut list = q35();
        list.reserve(0x20_0010, 0x2f_fff0).unwrap();
        assert_eq!(
            pieces(&list)[3..6],
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
        // Entries out of order, the reserved one inside the other.
        let list = RegionList::from_memory_map(&[
            entry(0x20_0000, 0x1000, 2),
            entry(0x10_0000, 0x20_0000, TYPE_RAM),
        ])
        .unwrap();
        assert_eq!(
            pieces(&list),
            [
                (0x10_0000, 0x20_0000, Usable),
                (0x20_0000, 0x20_1000, UnknownBios(2)),
                (0x20_1000, 0x30_0000, Usable),
            ]
        );
    }

    #[test]
    fn what_is_left_beside_a_part_of_a_page_is_whole_pages() {
        let list = RegionList::from_memory_map(&[
            entry(0x10_0000, 0x20_0000, TYPE_RAM),
            entry(0x20_0800, 0x400, 2),
        ])
        .unwrap();
        assert_eq!(
            pieces(&list),
            [
                (0x10_0000, 0x20_0000, Usable),
                (0x20_0800, 0x20_0c00, UnknownBios(2)),
                (0x20_1000, 0x30_0000, Usable),
            ]
        );
    }

    #[test]
    fn the_end_of_the_address_space_is_no_trap() {
        let list = RegionList::from_memory_map(&[
            entry(u64::MAX - 0x800, u64::MAX, TYPE_RAM),
            entry(u64::MAX - 0x400, u64::MAX, 2),
        ])
        .unwrap();
        assert_eq!(
            pieces(&list),
            [(u64::MAX - 0x400, u64::MAX, UnknownBios(2))]
        );
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
            .map(|n| entry(n * 0x2000, 0x1000, TYPE_RAM))
            .collect();
        assert!(RegionList::from_memory_map(&entries[1..]).is_ok());
        assert_eq!(
            RegionList::from_memory_map(&entries).unwrap_err(),
            TooManyRegions
        );
    }
}
