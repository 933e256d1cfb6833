//! Which memory is whose: a loader's memory map less what is already taken.

use bootloader_api::info::{MemoryRegion, MemoryRegionKind};

use crate::Failure;

/// Most regions of a [`RegionList`]. QEMU's maps have fewer than 10 entries, OVMF's up to 136.
pub const MAX_REGIONS: usize = 256;

const PAGE: u64 = 4096;

/// Leaves of `regions` the usable ones, in whole pages: sorted, neighbours merged, rounded inwards.
/// They come first; returns their number. (A BIOS reports low memory as `0..0x9fc00`.)
pub fn keep_usable_pages(regions: &mut [MemoryRegion]) -> usize {
    let kept = merge_usable(regions);
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

/// As [`keep_usable_pages`], but not rounded.
fn merge_usable(regions: &mut [MemoryRegion]) -> usize {
    regions.sort_unstable_by_key(|region| (!is_usable(region), region.start));
    let mut kept = 0;
    for next in 0..regions.len() {
        let region = regions[next];
        if !is_usable(&region) {
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
    kept
}

fn is_usable(region: &MemoryRegion) -> bool {
    region.kind == MemoryRegionKind::Usable
}

/// The memory that there is, in the making: sorted, without overlap.
#[derive(Clone, Debug)]
pub struct RegionList {
    regions: [MemoryRegion; MAX_REGIONS],
    len: usize,
}

const TOO_MANY: Failure = "the memory map has more than 256 regions";
const _: () = assert!(MAX_REGIONS == 256);

impl RegionList {
    const EMPTY: Self = Self { regions: [MemoryRegion::empty(); MAX_REGIONS], len: 0 };

    /// The usable memory that firmware reports, in [whole pages](keep_usable_pages), whatever the
    /// order. Where regions overlap, the one that is not usable wins.
    pub fn from_memory_map(
        map: impl Iterator<Item = MemoryRegion> + Clone,
    ) -> Result<Self, Failure> {
        let mut list = Self::EMPTY;
        let usable = map.clone().filter(is_usable);
        for region in usable.chain(map.filter(|region| !is_usable(region))) {
            list.carve(region)?;
            // At once: firmware's maps are long, since neighbours differ in what it used them for.
            list.len = merge_usable(list.as_mut_slice());
        }
        list.len = keep_usable_pages(list.as_mut_slice());
        Ok(list)
    }

    /// Gives `start..end`, in whole pages, to the boot code, so that the kernel leaves it alone.
    pub fn reserve(&mut self, start: u64, end: u64) -> Result<(), Failure> {
        let (start, end) = (start & !(PAGE - 1), end.next_multiple_of(PAGE));
        let kind = MemoryRegionKind::Bootloader;
        self.carve(MemoryRegion { start, end, kind })
    }

    /// The lowest usable, page-aligned piece of `len` bytes (whole pages) within `from..to`.
    #[must_use]
    pub fn find_usable(&self, len: u64, from: u64, to: u64) -> Option<u64> {
        let len = len.next_multiple_of(PAGE);
        self.as_slice().iter().filter(|region| is_usable(region)).find_map(|region| {
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
        let usable = self.as_slice().iter().filter(|region| is_usable(region));
        usable.map(|region| region.end - region.start).sum()
    }

    /// By ascending address.
    #[must_use]
    pub fn as_slice(&self) -> &[MemoryRegion] {
        &self.regions[..self.len]
    }

    pub fn as_mut_slice(&mut self) -> &mut [MemoryRegion] {
        &mut self.regions[..self.len]
    }

    /// Makes `new` a region, whatever was there before: neighbours are cut, covered regions go.
    fn carve(&mut self, new: MemoryRegion) -> Result<(), Failure> {
        let MemoryRegion { start, end, .. } = new;
        let old = core::mem::replace(self, Self::EMPTY);
        for region in old.as_slice() {
            self.push(MemoryRegion { end: region.end.min(start), ..*region })?;
        }
        self.push(new)?;
        for region in old.as_slice() {
            self.push(MemoryRegion { start: region.start.max(end), ..*region })?;
        }
        Ok(())
    }

    /// Appends a region unless it is empty.
    fn push(&mut self, region: MemoryRegion) -> Result<(), Failure> {
        if region.start >= region.end {
            return Ok(());
        }
        let place = self.regions.get_mut(self.len).ok_or(TOO_MANY)?;
        *place = region;
        self.len += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
