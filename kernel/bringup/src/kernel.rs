//! The start's needs of a kernel, and its reports to it.

use core::fmt;

use crate::{
    apic::ApicErrors,
    arrival::Arrival,
    id::{ApicId, CpuIndex},
    record::Fault,
};

/// The kernel whose CPUs are started.
///
/// # Safety
/// - [`low_pages`](Self::low_pages) are usable memory that nothing else uses from then on.
/// - [`virt`](Self::virt) is right for those pages and for the page tables of the CPU that starts
///   others, and both are mapped writable there.
/// - A [`stack`](Self::stack) belongs to its CPU from then on, and is mapped in the page tables
///   that are in use when CPUs are started. So are the crate's code and statics, and what
///   [`enter`](Self::enter) uses until it changes tables.
/// - Until it is [online](Arrival::online), a CPU may be reset at any moment, and `enter` is then
///   called again on the same stack: until then nothing else refers to what is on that stack.
pub unsafe trait Kernel: Sync + 'static {
    /// Nanoseconds since a fixed moment. Never goes back and never stops.
    fn nanos(&self) -> u64;

    /// Lets time pass while other CPUs start: anything from nothing to a few milliseconds.
    fn pause(&self) {
        core::hint::spin_loop();
    }

    /// The physical address of [`LOW_PAGES`](crate::LOW_PAGES) pages below 1 MiB, side by side;
    /// `None` if there are none. Asked by [`Starter::prepare`](crate::Starter::prepare).
    fn low_pages(&self) -> Option<u64>;

    /// The virtual address at which the kernel has mapped this physical address.
    fn virt(&self, physical: u64) -> *mut u8;

    /// The top of a stack for this CPU; `None` leaves the CPU out. Called once per CPU, before its
    /// first start, on the CPU that starts it, with interrupts off: a place to allocate for it.
    fn stack(&self, cpu: CpuIndex) -> Option<*mut u8>;

    /// INIT has stopped this CPU, wherever it was: a lock that it held in an earlier attempt can be
    /// released. Called with interrupts off.
    fn stopped(&self, cpu: CpuIndex) {
        let _ = cpu;
    }

    /// Reports an event. Called where [`poll`](crate::Starter::poll) is: with
    /// [`notify`](crate::Starter::notify) also in that interrupt's handler, which may interrupt
    /// anything, this function included. So a lock that it takes must be taken elsewhere only with
    /// interrupts off.
    fn report(&self, event: Event) {
        let _ = event;
    }

    /// A CPU has arrived: on its stack, with the page tables, CR0, CR4, EFER and PAT of the CPU
    /// that started it; a GDT with code at 0x08 and data at 0x10; an IDT that records every
    /// exception and parks the CPU; interrupts off; APIC in the right mode but disabled by
    /// software. Nothing else: no TSS, FS and GS base 0, no FPU state. Calls [`Arrival::online`].
    fn enter(&'static self, arrival: Arrival) -> !;
}

/// An event while CPUs start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A CPU has faulted and parked.
    Faulted(Fault),
    /// A CPU has not come online and is started a second time.
    Retried(ApicId),
    /// A CPU that the firmware does not list as enabled has started. It has parked.
    Unlisted(ApicId),
    /// A CPU has started after it was given up. It has parked.
    Late(ApicId),
    /// The local APIC that sent INIT and SIPI has found an error: CPUs may be missing for that.
    NotSent(ApicErrors),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Faulted(fault) => fault.fmt(f),
            Self::Retried(id) => write!(f, "{id} has not started: trying again"),
            Self::Unlisted(id) => {
                write!(f, "{id} has started, but the firmware does not list it as enabled: parked")
            }
            Self::Late(id) => write!(f, "{id} has started after it was given up: parked"),
            Self::NotSent(errors) => {
                write!(f, "the APIC that has sent INIT and SIPI reports {errors}")
            }
        }
    }
}
