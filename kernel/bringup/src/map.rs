//! From APIC ID to index and back.

#[cfg(test)]
mod tests;

use crate::{
    id::{ApicId, CpuIndex},
    madt::{CpuState, Madt},
};

/// Room for this many CPUs, including those that may be plugged in later: an array, since the map
/// is built before the heap. QEMU 7.2 offers far fewer (255 with TCG, 288 with KVM on q35).
pub const MAX_CPUS: usize = 1024;

/// The CPUs that the firmware lists, numbered without gaps.
///
/// | indices | CPUs |
/// |---|---|
/// | 0 | the BSP |
/// | up to [`enabled()`](Self::enabled) | the other enabled CPUs, by ascending APIC ID |
/// | up to [`len()`](Self::len) | listed CPUs that may be plugged in, by ascending APIC ID |
///
/// The order does not depend on the firmware's, so a machine's CPUs have the same indices on each
/// boot, a core's threads side by side. A CPU keeps its index if it or another fails to start.
///
/// Takes some 4 KiB. Index to ID is one load; ID to index is O(log n). Building it from n entries,
/// whatever they are, takes O(n log n) steps and fewer than [`MAX_CPUS`] moves of at most 4 KiB.
#[derive(Clone, Debug)]
pub struct CpuMap {
    /// APIC IDs by index, each once: the BSP's, the enabled CPUs' ascending, the others' ascending.
    ids: [u32; MAX_CPUS],
    enabled: usize,
    len: usize,
    left_out: usize,
}

impl CpuMap {
    /// Numbers the `enabled` CPUs, among them `bsp`, the running one, and the `pluggable` CPUs,
    /// which are listed but not enabled. An ID that occurs twice counts once (firmware may list a
    /// CPU both as xAPIC and as x2APIC); it is enabled if any of its entries is.
    ///
    /// There is always room for the BSP. Of the others the first enabled ones are taken, then the
    /// first pluggable ones; [`left_out`](Self::left_out) counts the rest.
    ///
    /// `None` if the BSP is not among the enabled CPUs: the list describes another machine.
    pub fn new(
        enabled: impl IntoIterator<Item = ApicId>,
        pluggable: impl IntoIterator<Item = ApicId>,
        bsp: ApicId,
    ) -> Option<Self> {
        let mut map = Self { ids: [0; MAX_CPUS], enabled: 1, len: 1, left_out: 0 };
        map.ids[0] = bsp.get();
        let mut is_bsp_listed = false;
        for id in enabled {
            is_bsp_listed |= id == bsp;
            map.insert(id, 1);
        }
        map.enabled = map.len;
        for id in pluggable {
            map.insert(id, map.enabled);
        }
        is_bsp_listed.then_some(map)
    }

    /// Numbers the CPUs that `madt` lists, as [`new`](Self::new). `fadt` has the version of ACPI,
    /// on which it depends whether a CPU that is neither enabled nor online capable may be plugged
    /// in later, or gets no index.
    #[must_use]
    pub fn from_madt(madt: &Madt<'_>, fadt: Option<&[u8]>, bsp: ApicId) -> Option<Self> {
        let ids = |wanted: fn(CpuState) -> bool| {
            let cpus = madt.cpus().filter(move |cpu| wanted(cpu.state));
            cpus.map(|cpu| cpu.apic_id)
        };
        let enabled = ids(|state| state == CpuState::Enabled);
        let pluggable = match disabled_may_come(fadt) {
            true => ids(|state| state != CpuState::Enabled),
            false => ids(|state| state == CpuState::OnlineCapable),
        };
        Self::new(enabled, pluggable, bsp)
    }

    /// Number of enabled CPUs, 1 to [`len`](Self::len). Their indices are those below it.
    #[must_use]
    pub fn enabled(&self) -> usize {
        self.enabled
    }

    /// Number of CPUs, including those that may be plugged in later: at most [`MAX_CPUS`].
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "the BSP is always there")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Number of entries left out of a full map. A CPU listed twice may be counted twice.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// The APIC ID of a CPU, if there is one with this index.
    #[must_use]
    pub fn apic_id(&self, index: CpuIndex) -> Option<ApicId> {
        let ids = &self.ids[..self.len];
        ids.get(index.get()).map(|id| ApicId::new(*id))
    }

    /// The index of a CPU, if one with this APIC ID is listed. O(log n).
    #[must_use]
    pub fn index_of(&self, id: ApicId) -> Option<CpuIndex> {
        if id.get() == self.ids[0] {
            return Some(CpuIndex::BSP);
        }
        let found = self
            .place_in(id, 1, self.enabled)
            .or_else(|_| self.place_in(id, self.enabled, self.len));
        found.ok().map(index)
    }

    /// All CPUs in index order, including those that may be plugged in later.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (CpuIndex, ApicId)> + Clone {
        let ids = self.ids[..self.len].iter().enumerate();
        ids.map(|(place, id)| (index(place), ApicId::new(*id)))
    }

    /// The enabled CPUs in index order.
    pub fn iter_enabled(&self) -> impl ExactSizeIterator<Item = (CpuIndex, ApicId)> + Clone {
        self.iter().take(self.enabled)
    }

    /// Inserts an AP, unless it is there already, into the ascending part that begins at `from`.
    fn insert(&mut self, id: ApicId, from: usize) {
        if self.index_of(id).is_some() {
            return;
        }
        if self.len == MAX_CPUS {
            self.left_out += 1;
            return;
        }
        let (Ok(place) | Err(place)) = self.place_in(id, from, self.len);
        self.ids.copy_within(place..self.len, place + 1);
        self.ids[place] = id.get();
        self.len += 1;
    }

    /// The place of an ID in the ascending part from `from` to `to`, or (`Err`) where it belongs.
    fn place_in(&self, id: ApicId, from: usize, to: usize) -> Result<usize, usize> {
        let found = self.ids[from..to].binary_search(&id.get());
        found.map(|place| from + place).map_err(|place| from + place)
    }
}

fn index(place: usize) -> CpuIndex {
    // Lossless: places are below MAX_CPUS.
    CpuIndex::new(place as u32)
}

/// Whether a CPU that is neither enabled nor online capable may be plugged in later: before ACPI
/// 6.3, by the FADT's version (ACPI 6.5, section 5.2.9: the major one in byte 8, the minor one in
/// the lower half of byte 131). Firmware often does not update the MADT's own revision.
fn disabled_may_come(fadt: Option<&[u8]>) -> bool {
    let byte = |at: usize| fadt.and_then(|bytes| bytes.get(at)).copied().unwrap_or(0);
    !matches!((byte(8), byte(131) & 0xf), (6, 3..) | (7.., _))
}
