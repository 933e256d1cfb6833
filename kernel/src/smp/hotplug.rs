//! CPUs that come and go while the kernel runs.
//!
//! Taking one out: its idle loop leaves the set of online CPUs, answers what it has been asked, and halts
//! with interrupts off. Its area stays, and with it its part of every per-CPU count: a reference that was
//! taken there is released elsewhere as always. Bringing it back is a start like any other, by INIT and
//! SIPI; so is the start of a CPU that has been plugged in, if the firmware lists it as one that may be.

use core::{
    fmt,
    sync::atomic::{Ordering, fence},
};

use bringup::{Refused, SlotState, Steps};

use super::{
    report,
    starter::{STARTER, run},
    work,
};
use crate::{
    apic, barrier,
    cpu::{self, CpuIndex},
    interrupts, ioapic, ipi, timer,
};

/// Takes a CPU out: it halts, and takes neither interrupts nor work.
///
/// Returns when it has left. What others have asked of it is answered: calls are run, or refused if they come
/// too late; barriers do not wait for it. Its periodic timer stops; interrupts of devices that were routed to it go to the BSP.
///
/// BSP, thread context, not while [`run_on_each`](super::run_on_each) is at work.
///
/// # Errors
/// See [`OfflineError`].
///
/// # Panics
/// If called on an AP, from interrupt context, with interrupts off, or from within `run_on_each`.
pub fn offline(cpu: CpuIndex) -> Result<(), OfflineError> {
    let _exclusive = work::exclusive("offline");
    if cpu == CpuIndex::BSP {
        return Err(OfflineError::Bsp);
    }
    let area = cpu::area(cpu).filter(|_| cpu::is_online(cpu));
    let area = area.ok_or(OfflineError::NotOnline)?;
    hand_over_devices(cpu)?;
    // Release: pairs with the swap in `work::idle`.
    area.leave.store(true, Ordering::Release);
    ipi::wake(cpu);
    interrupts::halt_until(|| STARTER.state(cpu) == SlotState::Offline);
    // Once more, for a line that was routed to it in the meantime; from here on none is.
    hand_over_devices(cpu)?;
    crate::log!("{cpu} ({}) is offline", cpu::apic_id(cpu));
    Ok(())
}

/// Brings a CPU online: one that was taken out, that was given up, or that has been plugged in since the
/// start. For the latter, the firmware must list it: indices from [`cpu::listed`](crate::cpu::listed) up to
/// [`cpu::possible`](crate::cpu::possible).
///
/// Takes some 10 ms; if the CPU does not answer, twice the patience that the kernel was told to have.
///
/// BSP, thread context, not while [`run_on_each`](super::run_on_each) is at work.
///
/// # Errors
/// See [`StartError`].
///
/// # Panics
/// As [`offline`], and if memory runs out for a CPU that has never been online.
pub fn online(cpu: CpuIndex) -> Result<(), StartError> {
    let _exclusive = work::exclusive("online");
    let id = cpu::map().apic_id(cpu).ok_or(StartError::NotListed)?;
    if cpu::is_online(cpu) {
        return Err(StartError::AlreadyOnline);
    }
    if !apic::can_address(id) {
        return Err(StartError::NotAddressable);
    }
    let faults = report::faults().len();
    let started = run(|other| other.cpu == cpu, false, &mut Steps::default());
    started.map_err(StartError::Refused)?;
    if STARTER.state(cpu) == SlotState::Online {
        cpu::set_online(cpu::area(cpu).expect("it was made before the start"));
        barrier::catch_up(cpu);
        crate::log!("{cpu} ({id}) is online");
        Ok(())
    } else if report::faults().len() == faults {
        Err(StartError::Silent)
    } else {
        Err(StartError::Faulted)
    }
}

/// Why a CPU is not taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfflineError {
    /// It is the BSP, which runs the main function.
    Bsp,
    /// It is not online.
    NotOnline,
    /// A device interrupts it, and cannot interrupt the BSP, whose APIC ID an I/O APIC cannot name.
    InterruptsStay,
}

/// Why a CPU is not brought online.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartError {
    /// The firmware lists no CPU with this index.
    NotListed,
    /// It runs.
    AlreadyOnline,
    /// Its APIC ID does not fit into 8 bits, and the APICs are not in x2APIC mode.
    NotAddressable,
    /// No CPU can be started.
    Refused(Refused),
    /// It has not answered: perhaps it is not plugged in.
    Silent,
    /// It has answered, and faulted. The log says how.
    Faulted,
}

impl fmt::Display for OfflineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bsp => "the BSP cannot be taken out: it runs the main function",
            Self::NotOnline => "the CPU is not online",
            Self::InterruptsStay => "devices interrupt the CPU, and cannot interrupt the BSP",
        })
    }
}

impl core::error::Error for OfflineError {}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotListed => "the firmware lists no CPU with this index",
            Self::AlreadyOnline => "the CPU is online already",
            Self::NotAddressable => "the CPU's APIC ID needs x2APIC mode",
            Self::Refused(refused) => return refused.fmt(f),
            Self::Silent => "the CPU does not answer: is it plugged in?",
            Self::Faulted => "the CPU has faulted while it started",
        })
    }
}

impl core::error::Error for StartError {}

/// Has the BSP take the interrupts of devices that are routed to this CPU.
fn hand_over_devices(cpu: CpuIndex) -> Result<(), OfflineError> {
    let moved = ioapic::move_away(cpu, CpuIndex::BSP);
    moved.map(drop).map_err(|_| OfflineError::InterruptsStay)
}

/// The way out of the idle loop of a CPU that is to leave. Thread context, interrupts on.
pub(super) fn leave() -> ! {
    let me = cpu::current();
    let area = cpu::local();
    timer::stop();
    // What devices have sent here before they were moved. Interrupts are off when it returns.
    ioapic::drain();
    // As long as barriers still reach this CPU: a call's function may use objects that they guard.
    interrupts::as_handler(ipi::serve_calls);
    // From here on nobody begins to wait for this CPU. Release: pairs with the load in `cpu::is_online`;
    // what it has counted is visible to who finds it gone, and does not wait for it.
    area.online.store(false, Ordering::Release);
    // Who has begun before: either he sees, when he looks again, that this CPU is gone, or what he has asked
    // is seen here. Pairs with the fences in `ipi::call` and `barrier::Call::begin`.
    fence(Ordering::SeqCst);
    ipi::refuse_calls(&area.calls);
    barrier::serve();
    apic::silence();
    STARTER.leave(me);
    ipi::wake(CpuIndex::BSP);
    // SAFETY: this CPU has left; whatever would wait for it has seen that.
    unsafe { bringup::park() }
}
