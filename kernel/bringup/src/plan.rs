//! How CPUs are started, and how far they have come.

use core::fmt;

use crate::{
    cpuid::Cpuid,
    id::{ApicId, CpuIndex},
    slot::{STAMPS, SlotState},
};

/// How CPUs are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// By interrupts to all others at once, if all that are enabled are wanted and none is online.
    /// CPUs that the firmware does not list then start as well, and park.
    pub broadcast: bool,
    /// Between INIT and SIPI, in which the stacks are asked for: at least so long. 10 ms by the
    /// book (Intel SDM 3A, 9.4.4.1), of which the CPUs that [`default`](Self::default) knows need
    /// nothing. A CPU that was given up before gets them in any case.
    pub init_ns: u64,
    /// After so long without any CPU coming online, those that are not are given up.
    pub timeout_ns: u64,
}

impl Default for Plan {
    /// As is right for this CPU, which CPUID names.
    fn default() -> Self {
        Self { broadcast: true, init_ns: usual_pause_ns(&Cpuid::here()), timeout_ns: 3_000_000_000 }
    }
}

impl Plan {
    /// The pause between INIT and SIPI for CPUs whose boot slots are in these states.
    ///
    /// A CPU that was given up may still be on its way when the INIT is sent, and would claim its
    /// boot slot if it found it EXPECTED before the INIT stops it; or a SIPI of that attempt may
    /// outlast the INIT, as it does in QEMU. So it gets time by the book.
    pub(crate) fn pause_ns(&self, mut states: impl Iterator<Item = SlotState>) -> u64 {
        let was_given_up = states.any(|state| state == SlotState::Withdrawn);
        self.init_ns.max(if was_given_up { LONG_PAUSE_NS } else { 0 })
    }
}

/// The pause by the book.
const LONG_PAUSE_NS: u64 = 10_000_000;

/// The pause that this CPU and its like need. The 10 ms are for separate APICs (MultiProcessor
/// Specification 1.4, B.4). Linux makes no pause for Intel's CPUs from family 6 on, AMD's from 0xf
/// and Hygon's (`smp_set_init_udelay`, `arch/x86/kernel/smpboot.c`).
fn usual_pause_ns(cpuid: &Cpuid<'_>) -> u64 {
    let family = cpuid.family();
    let needs_none = cpuid.is_intel() && family >= 6 || cpuid.is_amd() && family >= 0xf;
    if needs_none { 0 } else { LONG_PAUSE_NS }
}

/// Times of one or more starts: `begin` by [`Kernel::nanos`](crate::Kernel::nanos), others since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Just after the first INIT; 0 if none was sent.
    pub begin: u64,
    /// All stacks were there.
    pub prepared_ns: u64,
    /// The first SIPI was sent.
    pub sipi_ns: u64,
    /// The second SIPIs were sent; 0 if no CPU needed one.
    pub second_sipi_ns: u64,
    /// How many CPUs needed one.
    pub seconds: u32,
    /// All were online, or given up.
    pub all_ns: u64,
}

/// How far a CPU has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Its index.
    pub cpu: CpuIndex,
    /// Its APIC ID.
    pub apic_id: ApicId,
    /// The firmware lists it as enabled: it is missing if it is not online.
    pub is_enabled: bool,
    /// The state of its boot slot.
    pub state: SlotState,
    /// The first of its memory type range registers (by number as a model-specific register) that
    /// differs from that of the CPU that started it.
    pub mtrr: Option<u32>,
    /// How many times it was started, when last asked to.
    pub attempts: u32,
    /// Its time-stamp counter at its first instruction; in the kernel's address space; its first
    /// line of Rust; [two places of the kernel's](crate::Arrival::stamp); online. 0: not yet.
    pub stamps: [u64; STAMPS],
}

/// Why no CPU is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CannotStart {
    /// [`Kernel::low_pages`](crate::Kernel::low_pages) has none, or what it names does not lie
    /// below 1 MiB or is not a page's address.
    NoLowPages,
    /// This [`Starter`](crate::Starter) has been prepared before, or another one has.
    AlreadyPrepared,
    /// [`Starter::prepare`](crate::Starter::prepare) comes first.
    NotPrepared,
    /// CPUs are being started.
    Busy,
}

impl fmt::Display for CannotStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoLowPages => {
                "too few usable pages below 1 MiB side by side for CPUs to wake up in"
            }
            Self::AlreadyPrepared => "a starter has been prepared before",
            Self::NotPrepared => "the starter has not been prepared",
            Self::Busy => "CPUs are being started",
        })
    }
}

impl core::error::Error for CannotStart {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpuid::{AMD, HYGON, INTEL, tests::cpuid};

    #[test]
    fn a_pause_after_init_is_for_cpus_that_are_not_known_to_do_without() {
        let via = [0x746e_6543, 0x4872_7561, 0x736c_7561];
        // Leaf 1 EAX has the family in bits 11:8, and what is added to 0xf in 27:20.
        for (vendor, leaf_1, expected) in [
            (INTEL, 0x600, 0),
            (INTEL, 0xf00, 0),
            (AMD, 0xf00, 0),
            (HYGON, 0x90_0f00, 0),
            (INTEL, 0x500, LONG_PAUSE_NS),
            (AMD, 0x600, LONG_PAUSE_NS),
            (via, 0x600, LONG_PAUSE_NS),
            (via, 0xf00, LONG_PAUSE_NS),
        ] {
            let answers = [(1, 0, [leaf_1, 0, 0, 0])];
            let read = cpuid(1, vendor, &answers);
            let pause = usual_pause_ns(&Cpuid::by(&read));
            assert_eq!(pause, expected, "{vendor:x?} {leaf_1:#x}");
        }
    }

    #[test]
    fn a_cpu_that_was_given_up_gets_the_long_pause() {
        use SlotState::{Offline, Vacant, Withdrawn};
        let pause_ns = |init_ns, states: &[SlotState]| {
            let plan = Plan { init_ns, ..Plan::default() };
            plan.pause_ns(states.iter().copied())
        };
        assert_eq!(pause_ns(0, &[Vacant, Offline]), 0);
        assert_eq!(pause_ns(0, &[Vacant, Withdrawn]), LONG_PAUSE_NS);
        assert_eq!(pause_ns(2 * LONG_PAUSE_NS, &[Withdrawn]), 2 * LONG_PAUSE_NS);
    }
}
