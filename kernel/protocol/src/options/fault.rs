//! Faults injected on purpose.

use core::fmt;

use super::FaultKind;

/// Something that fails on purpose while CPUs start. Written `kind`, `kind:<APIC ID>` (where it
/// [concerns a CPU](FaultKind::has_a_cpu)) or, for [`FaultKind::Late`] and [`FaultKind::Slow`],
/// `late:<APIC ID>:<milliseconds>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    /// On the CPU with this APIC ID; without one, on every CPU that is started.
    pub apic_id: Option<u32>,
    /// By how many milliseconds a CPU is late, or slow.
    pub millis: u32,
}

impl Fault {
    /// Whether it delays a CPU so long that it is given up first, with this
    /// [`start_timeout`](super::Options::start_timeout): a CPU has two attempts.
    #[must_use]
    pub fn outlasts(self, timeout: u32) -> bool {
        self.kind.is_a_delay() && self.millis > timeout.saturating_mul(2)
    }

    /// Whether it happens to the CPU with this APIC ID.
    #[must_use]
    pub fn is_for(&self, apic_id: u32) -> bool {
        self.apic_id.is_none_or(|id| id == apic_id)
    }
}

impl FaultKind {
    /// Whether it happens to CPUs that start, of which one may be chosen.
    #[must_use]
    pub fn has_a_cpu(self) -> bool {
        !matches!(self, Self::Memory | Self::Bsp)
    }

    /// Whether it takes a time.
    #[must_use]
    pub fn is_a_delay(self) -> bool {
        matches!(self, Self::Late | Self::Slow)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        if let Some(id) = self.apic_id {
            write!(f, ":{id}")?;
        }
        if self.kind.is_a_delay() {
            write!(f, ":{}", self.millis)?;
        }
        Ok(())
    }
}
