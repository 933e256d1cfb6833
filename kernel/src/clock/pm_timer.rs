//! ACPI's power management timer: counts at 3.58 MHz from power-on, whatever happens.

use bringup::rate::{Counter, tables};
use x86_64::instructions::port::Port;

use crate::acpi;

/// The timer.
pub(super) struct PmTimer(tables::PmTimer);

impl PmTimer {
    /// The timer that the ACPI tables tell of, if they do.
    pub(super) fn find() -> Option<Self> {
        tables::PmTimer::from_fadt(acpi::table(b"FACP")?).map(Self)
    }

    pub(super) fn counter(&self) -> Counter {
        Counter::pm_timer(self.0.is_32_bit)
    }

    /// Its count.
    pub(super) fn read(&self) -> u64 {
        // SAFETY: the firmware says that the timer is there; reading an I/O port touches no memory.
        unsafe { Port::<u32>::new(self.0.port).read() }.into()
    }
}
