//! From APIC ID to index and back.

use core::fmt;

use crate::{ApicId, CpuIndex, Madt};

/// Room for this many CPUs.
///
/// The map is built before there is a heap and read by CPUs that have no stack yet, so it is an
/// array. 1024 (4 KiB) is far above what QEMU 7.2 offers (255 with TCG, 288 with KVM on q35).
pub const MAX_CPUS: usize = 1024;

/// The CPUs that the firmware lists as enabled, numbered without holes.
///
/// The BSP has index 0. The others follow in ascending order of APIC ID, whatever the order of the
/// firmware's list, so that a machine numbers its CPUs alike on every boot and the threads of one
/// core are neighbours. A CPU keeps its index if it or another one fails to start.
#[derive(Clone, Debug)]
pub struct CpuMap {
    /// APIC IDs by index: the BSP's first, the others ascending, each once.
    ids: [u32; MAX_CPUS],
    len: usize,
}

impl CpuMap {
    /// Numbers the CPUs in `listed`, of which `bsp` is the one that runs. IDs that occur twice
    /// count once: firmware may list a CPU both as xAPIC and as x2APIC.
    ///
    /// # Errors
    /// See [`MapError`].
    pub fn new(listed: impl IntoIterator<Item = ApicId>, bsp: ApicId) -> Result<Self, MapError> {
        let mut map = Self {
            ids: [0; MAX_CPUS],
            len: 1,
        };
        map.ids[0] = bsp.get();
        let mut bsp_listed = false;
        let mut any = false;
        for id in listed {
            any = true;
            if id == bsp {
                bsp_listed = true;
            } else {
                map.insert(id)?;
            }
        }
        match (any, bsp_listed) {
            (false, _) => Err(MapError::NoneListed),
            (true, false) => Err(MapError::BspNotListed { bsp }),
            (true, true) => Ok(map),
        }
    }

    /// Numbers the CPUs that `madt` lists as enabled.
    ///
    /// # Errors
    /// See [`MapError`].
    pub fn from_madt(madt: &Madt<'_>, bsp: ApicId) -> Result<Self, MapError> {
        let enabled = madt.cpus().filter(|cpu| cpu.enabled);
        Self::new(enabled.map(|cpu| cpu.apic_id), bsp)
    }

    /// Number of CPUs: at least 1, at most [`MAX_CPUS`].
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "the BSP is always there")]
    pub fn len(&self) -> usize {
        self.len
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
        let place = self.others().binary_search(&id.get()).ok()?;
        Some(index(place + 1))
    }

    /// All CPUs in index order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (CpuIndex, ApicId)> + Clone {
        let ids = self.raw_ids().iter().enumerate();
        ids.map(|(place, id)| (index(place), ApicId::new(*id)))
    }

    /// The bare APIC IDs by index, for assembly that looks its own up before it has a stack.
    #[must_use]
    pub fn raw_ids(&self) -> &[u32] {
        &self.ids[..self.len]
    }

    fn others(&self) -> &[u32] {
        &self.ids[1..self.len]
    }

    /// Adds an AP at its place in the order, unless it is there already.
    fn insert(&mut self, id: ApicId) -> Result<(), MapError> {
        let Err(place) = self.others().binary_search(&id.get()) else {
            return Ok(());
        };
        if self.len == MAX_CPUS {
            return Err(MapError::TooMany);
        }
        let place = place + 1;
        self.ids.copy_within(place..self.len, place + 1);
        self.ids[place] = id.get();
        self.len += 1;
        Ok(())
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
    /// More than [`MAX_CPUS`] are listed.
    TooMany,
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoneListed => f.write_str("the firmware lists no enabled CPU"),
            Self::BspNotListed { bsp } => {
                write!(f, "the firmware does not list the CPU that runs ({bsp})")
            }
            Self::TooMany => write!(f, "the firmware lists more than {MAX_CPUS} CPUs"),
        }
    }
}

impl core::error::Error for MapError {}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::{CpuMap, MAX_CPUS, MapError};
    use crate::madt::tests::{table, x2apic, xapic};
    use crate::{ApicId, CpuIndex, Madt};

    fn map(ids: &[u32], bsp: u32) -> Result<CpuMap, MapError> {
        CpuMap::new(ids.iter().copied().map(ApicId::new), ApicId::new(bsp))
    }

    /// Both directions agree, for every ID and for IDs that are not there.
    fn check(map: &CpuMap, expected: &[u32]) {
        assert_eq!(map.raw_ids(), expected);
        assert_eq!(map.len(), expected.len());
        for (place, (index, id)) in map.iter().enumerate() {
            assert_eq!(index.get(), place);
            assert_eq!(map.apic_id(index), Some(id));
            assert_eq!(map.index_of(id), Some(index), "{id}");
        }
        assert_eq!(map.apic_id(CpuIndex::new(expected.len() as u32)), None);
        for id in 0..400 {
            let known = map.index_of(ApicId::new(id)).is_some();
            assert_eq!(known, expected.contains(&id), "APIC {id}");
        }
    }

    #[test]
    fn sparse_ids_get_dense_indices() {
        let ids = [0, 1, 2, 4, 5, 6, 8, 9, 10];
        check(&map(&ids, 0).expect("valid"), &ids);
    }

    #[test]
    fn one_cpu_is_a_machine() {
        check(&map(&[3], 3).expect("valid"), &[3]);
    }

    #[test]
    fn the_bsp_is_index_0_wherever_it_is_listed() {
        for ids in [[6, 0, 2, 4], [0, 6, 4, 2], [4, 2, 0, 6]] {
            check(&map(&ids, 6).expect("valid"), &[6, 0, 2, 4]);
            check(&map(&ids, 2).expect("valid"), &[2, 0, 4, 6]);
            check(&map(&ids, 0).expect("valid"), &[0, 2, 4, 6]);
        }
    }

    #[test]
    fn a_cpu_listed_twice_counts_once() {
        check(&map(&[0, 1, 1, 0, 5, 1, 5], 1).expect("valid"), &[1, 0, 5]);
    }

    #[test]
    fn disabled_cpus_are_left_out() {
        let cpus = [xapic(0, 1), xapic(1, 0), xapic(2, 1), x2apic(3, 2)];
        let bytes = table(&cpus);
        let madt = Madt::parse(&bytes).expect("well-formed");
        let map = CpuMap::from_madt(&madt, ApicId::new(0)).expect("valid");
        check(&map, &[0, 2]);
    }

    #[test]
    fn ids_beyond_8_bits_come_from_x2apic_entries() {
        let mut cpus: Vec<_> = (0..255).map(|id| xapic(id, 1)).collect();
        // Listed both ways, as ACPI allows for IDs below 255.
        cpus.extend((250..288).map(|id| x2apic(id, 1)));
        let bytes = table(&cpus);
        let madt = Madt::parse(&bytes).expect("well-formed");
        let map = CpuMap::from_madt(&madt, ApicId::new(0)).expect("valid");
        check(&map, &(0..288).collect::<Vec<_>>());
    }

    #[test]
    fn impossible_lists_are_refused() {
        let bsp = ApicId::new(9);
        assert_eq!(map(&[], 9).unwrap_err(), MapError::NoneListed);
        let error = map(&[0, 1], 9).unwrap_err();
        assert_eq!(error, MapError::BspNotListed { bsp });
    }

    #[test]
    fn a_disabled_bsp_is_refused() {
        let bytes = table(&[xapic(0, 0), xapic(1, 1)]);
        let madt = Madt::parse(&bytes).expect("well-formed");
        let error = CpuMap::from_madt(&madt, ApicId::new(0)).unwrap_err();
        let bsp = ApicId::new(0);
        assert_eq!(error, MapError::BspNotListed { bsp });
    }

    #[test]
    fn full_is_fine_and_one_more_is_too_many() {
        let most = MAX_CPUS as u32;
        let ids: Vec<_> = (0..most).rev().collect();
        assert_eq!(map(&ids, 0).expect("valid").len(), MAX_CPUS);
        let twice: Vec<_> = ids.iter().chain(&ids).copied().collect();
        assert_eq!(map(&twice, 0).expect("valid").len(), MAX_CPUS);
        let ids: Vec<_> = (0..=most).collect();
        assert_eq!(map(&ids, 0).unwrap_err(), MapError::TooMany);
        assert_eq!(map(&ids, most).unwrap_err(), MapError::TooMany);
    }
}
