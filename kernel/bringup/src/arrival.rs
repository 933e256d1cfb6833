//! A CPU on its own stack, which the kernel takes over.

use crate::{
    entry::SHARED,
    id::{ApicId, CpuIndex},
    record::NOT_EXPECTED,
    slot::{BootSlot, SlotState},
};

/// A CPU that has arrived in the kernel, on its own stack, interrupts off. See
/// [`Kernel::enter`](crate::Kernel::enter).
#[derive(Debug)]
pub struct Arrival {
    pub(crate) slot: &'static BootSlot,
    pub(crate) cpu: CpuIndex,
    pub(crate) apic_id: ApicId,
}

impl Arrival {
    /// This CPU's index.
    #[must_use]
    pub fn cpu(&self) -> CpuIndex {
        self.cpu
    }

    /// This CPU's APIC ID.
    #[must_use]
    pub fn apic_id(&self) -> ApicId {
        self.apic_id
    }

    /// Which attempt to start it this is: 1, or 2.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.slot.attempts()
    }

    /// Records when the kernel's own set-up reached point 0 or 1: stamps 3 and 4 of
    /// [`Progress::stamps`](crate::Progress::stamps).
    ///
    /// # Panics
    /// If there is no such place.
    pub fn stamp(&self, place: usize) {
        assert!(place < 2, "the kernel has two stamps");
        self.slot.stamp(3 + place);
    }

    /// Marks the CPU as ready for work, or parks it if it has been given up meanwhile.
    pub fn online(self) {
        self.slot.stamp(5);
        if !self.slot.transition(SlotState::Arrived, SlotState::Online) {
            SHARED.record_and_park(self.apic_id, NOT_EXPECTED, 0);
        }
    }
}
