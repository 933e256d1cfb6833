//! Which memory is whose: a loader's memory map less what is already taken.

use bootloader_api::info::{MemoryRegion, MemoryRegionKind};

use crate::start_info::{MemoryMapEntry, TYPE_RAM};

/// Most regions that a [`RegionList`] holds. QEMU's maps have fewer than 10 entries, OVMF's up to 136.
pub const MAX_REGIONS: usize = 256;

/// Page size; usable regions consist of whole pages.
const PAGE: u64 = 4096;

/// Leaves of `regions` the usable ones, in whole pages: sorted, neighbours merged, rounded inwards. They come
/// first; returns how many there are. (A BIOS reports conventional memory as `0..0x9fc00`.)
pub fn keep_usable_pages(regions: &mut [MemoryRegion]) -> usize {
    let usable = |region: &MemoryRegion| region.kind == MemoryRegionKind::Usable;
    regions.sort_unstable_by_key(|region| (!usable(region), region.start));
    let mut kept = 0;
    for next in 0..regions.len() {
        let region = regions[next];
        if !usable(&region) {
            break;
        }
        match regions[..kept].last_mut() {
            Some(last) if region.start <= last.end => last.end = last.end.max(region.end),
            _ => {
                regions[kept] = region;
                kept += 1;
            }
        }
    }
    // Only now: two neighbours may share a page.
    let mut pages = 0;
    for next in 0..kept {
        let MemoryRegion { start, end, kind } = regions[next];
        let start = start.checked_next_multiple_of(PAGE).unwrap_or(u64::MAX);
        let end = end & !(PAGE - 1);
        if start < end {
            regions[pages] = MemoryRegion { start, end, kind };
            pages += 1;
        }
    }
    pages
}

/// The memory that there is, in the making: sorted, without overlap.
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

    /// The usable memory that the loader reports, in [whole pages](keep_usable_pages). Where entries
    /// overlap, the one that is not usable wins.
    ///
    /// # Errors
    /// [`TooManyRegions`].
    pub fn from_memory_map(entries: &[MemoryMapEntry]) -> Result<Self, TooManyRegions> {
        let mut list = Self::EMPTY;
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
            list.carve(entry.addr, end, kind)?;
        }
        // Last, since the others may have cut usable regions anywhere.
        list.len = keep_usable_pages(list.as_mut_slice());
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
        self.as_slice().last().map_or(0, |region| region.end)
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
mod tests;
