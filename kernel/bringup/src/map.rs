//! From APIC ID to index and back.

#[cfg(test)]
mod tests;

use core::fmt;

use crate::{
    id::{ApicId, CpuIndex},
    madt::{CpuState, Madt},
};

/// The meaning of an entry for a CPU that is neither enabled nor online capable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disabled {
    /// It may be plugged in later: firmware from before ACPI 6.3 knows no other way to say so.
    MayCome,
    /// It must never be used: firmware would have marked one that may come as online capable.
    StaysAway,
}

impl Disabled {
    /// Decides by the version of ACPI in the FADT, given as its bytes (ACPI 6.5, section 5.2.9: the
    /// major version in byte 8, the minor one in the lower half of byte 131). The MADT's own
    /// revision is not reliable: firmware often leaves it as it was. Linux goes by the FADT, too.
    #[must_use]
    pub fn by_fadt(fadt: Option<&[u8]>) -> Self {
        const MAJOR: usize = 8;
        const MINOR: usize = 131;
        let byte = |at| fadt.and_then(|bytes| bytes.get(at)).copied().unwrap_or(0);
        match (byte(MAJOR), byte(MINOR) & 0xf) {
            (6, 3..) | (7.., _) => Self::StaysAway,
            _ => Self::MayCome,
        }
    }
}

/// Room for this many CPUs, those that may be plugged in later included.
///
/// The map is built before there is a heap and read by CPUs that have no stack yet, so it is an
/// array. 1024 is far above what QEMU 7.2 offers (255 with TCG, 288 with KVM on q35).
pub const MAX_CPUS: usize = 1024;

/// The CPUs that the firmware lists, numbered without holes.
///
/// | indices | CPUs |
/// |---|---|
/// | 0 | the BSP |
/// | to [`enabled()`](Self::enabled) | the other enabled ones, by ascending APIC ID |
/// | to [`len()`](Self::len) | those that are listed, but not enabled, by ascending APIC ID |
///
/// The order does not depend on the firmware's, so a machine numbers its CPUs alike on every boot, and
/// the threads of one core are neighbours. A CPU keeps its index if it or another one fails to start,
/// and one that is plugged in later has its index already.
///
/// # Cost
/// 4 bytes per CPU that there is room for, and three numbers: 4120 bytes. APIC IDs may be any 32-bit
/// numbers, however far apart. From index to ID is one load; from ID to index is O(log n), at most some
/// 20 steps. To build the map from n entries takes O(n log n) steps and fewer than [`MAX_CPUS`] moves of
/// at most 4 KiB, whatever the firmware lists.
#[derive(Clone, Debug)]
pub struct CpuMap {
    /// APIC IDs by index: the BSP's, enabled ones ascending, others ascending; each once.
    ids: [u32; MAX_CPUS],
    enabled: usize,
    len: usize,
    left_out: usize,
}

impl CpuMap {
    /// Numbers the CPUs that are `enabled`, of which `bsp` is the one that runs, and those that are
    /// `pluggable`: listed, but not enabled. IDs that occur twice count once (firmware may list a CPU
    /// both as xAPIC and as x2APIC), and as enabled if they are that once.
    ///
    /// There is always room for the BSP; of the others, the first that are enabled come in, then the
    /// first that are not. How many stay out, [`left_out`](Self::left_out) tells.
    ///
    /// # Errors
    /// See [`MapError`].
    pub fn new(
        enabled: impl IntoIterator<Item = ApicId>,
        pluggable: impl IntoIterator<Item = ApicId>,
        bsp: ApicId,
    ) -> Result<Self, MapError> {
        let mut map = Self {
            ids: [0; MAX_CPUS],
            enabled: 1,
            len: 1,
            left_out: 0,
        };
        map.ids[0] = bsp.get();
        let mut bsp_listed = false;
        let mut any = false;
        for id in enabled {
            any = true;
            bsp_listed |= id == bsp;
            map.insert(id, 1);
        }
        match (any, bsp_listed) {
            (false, _) => return Err(MapError::NoneListed),
            (true, false) => return Err(MapError::BspNotListed { bsp }),
            (true, true) => {}
        }
        map.enabled = map.len;
        for id in pluggable {
            map.insert(id, map.enabled);
        }
        Ok(map)
    }

    /// Numbers the CPUs that `madt` lists. Those that are `disabled` for good have no index.
    ///
    /// # Errors
    /// See [`MapError`].
    pub fn from_madt(madt: &Madt<'_>, disabled: Disabled, bsp: ApicId) -> Result<Self, MapError> {
        let ids = |wanted: fn(CpuState, Disabled) -> bool| {
            let cpus = madt.cpus().filter(move |cpu| wanted(cpu.state, disabled));
            cpus.map(|cpu| cpu.apic_id)
        };
        let enabled = ids(|state, _| state == CpuState::Enabled);
        let pluggable = ids(|state, disabled| match state {
            CpuState::Enabled => false,
            CpuState::OnlineCapable => true,
            CpuState::Disabled => disabled == Disabled::MayCome,
        });
        Self::new(enabled, pluggable, bsp)
    }

    /// Number of enabled CPUs, which have the indices below it: at least 1, at most [`len`](Self::len).
    #[must_use]
    pub fn enabled(&self) -> usize {
        self.enabled
    }

    /// Number of CPUs, those that may be plugged in later included: at most [`MAX_CPUS`].
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "the BSP is always there")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Number of entries that were not taken because the map was full. A CPU that is listed twice may
    /// be counted twice.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Whether the firmware lists this CPU as enabled.
    #[must_use]
    pub fn is_enabled(&self, index: CpuIndex) -> bool {
        index.get() < self.enabled
    }

    /// The APIC ID of a CPU, if there is one with this index.
    #[must_use]
    pub fn apic_id(&self, index: CpuIndex) -> Option<ApicId> {
        self.raw_ids().get(index.get()).map(|id| ApicId::new(*id))
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

    /// All CPUs in index order, those that may be plugged in later included.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (CpuIndex, ApicId)> + Clone {
        let ids = self.raw_ids().iter().enumerate();
        ids.map(|(place, id)| (index(place), ApicId::new(*id)))
    }

    /// The enabled CPUs in index order.
    pub fn iter_enabled(&self) -> impl ExactSizeIterator<Item = (CpuIndex, ApicId)> + Clone {
        self.iter().take(self.enabled)
    }

    /// The CPUs that are listed, but not enabled, in index order.
    pub fn iter_pluggable(&self) -> impl ExactSizeIterator<Item = (CpuIndex, ApicId)> + Clone {
        self.iter().skip(self.enabled)
    }

    /// The bare APIC IDs by index, for assembly that looks its own up before it has a stack.
    #[must_use]
    pub fn raw_ids(&self) -> &[u32] {
        &self.ids[..self.len]
    }

    /// Adds an AP at its place in the order, which begins at `from`, unless it is there already.
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

    /// Where an ID is among those from `from` to `to`, which ascend, or (`Err`) where it belongs.
    fn place_in(&self, id: ApicId, from: usize, to: usize) -> Result<usize, usize> {
        match self.ids[from..to].binary_search(&id.get()) {
            Ok(place) => Ok(from + place),
            Err(place) => Err(from + place),
        }
    }
}

fn index(place: usize) -> CpuIndex {
    // Lossless: places are below MAX_CPUS.
    CpuIndex::new(place as u32)
}

/// Why there is no map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// No CPU is listed as enabled.
    NoneListed,
    /// The CPU that runs is not among the enabled ones, so the list is not about this machine.
    BspNotListed {
        /// Its APIC ID.
        bsp: ApicId,
    },
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoneListed => f.write_str("the firmware lists no enabled CPU"),
            Self::BspNotListed { bsp } => {
                write!(f, "the firmware does not list the CPU that runs ({bsp})")
            }
        }
    }
}

impl core::error::Error for MapError {}
