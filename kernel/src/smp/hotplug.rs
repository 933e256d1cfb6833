//! CPUs that come and go while the kernel runs.
//!
//! A CPU that is taken out leaves its area behind, and with it its part of every per-CPU count.
//! Bringing it back is a start like any other; so is the start of a CPU that has been plugged in.

use core::sync::atomic::Ordering;

use bringup::{CannotStart, Event, SlotState, Steps};

use super::starter::{NO_MEMORY, STARTER, plan, run};
use crate::{
    apic, barrier,
    cpu::{self, CpuIndex},
    interrupts, ipi,
    platform::Halt,
    report,
    work::{self, LEAVE},
};

/// Takes a CPU out: it halts, and takes neither interrupts nor work.
///
/// Returns when it has left. Calls to it are run, or refused if they come too late; barriers do not
/// wait for it. Its periodic timer stops.
///
/// BSP, thread context, not while [`run_on_each`](super::run_on_each) is at work. Panics if called
/// on an AP, from interrupt context, with interrupts off, or from within `run_on_each`.
pub fn offline(cpu: CpuIndex) -> Result<(), OfflineError> {
    let _exclusive = work::exclusive("offline");
    if cpu == CpuIndex::BSP {
        return Err(OfflineError::Bsp);
    }
    let leave = LEAVE.of(cpu).filter(|_| cpu::is_online(cpu));
    let leave = leave.ok_or(OfflineError::NotOnline)?;
    // Release: pairs with the swap in `work::idle`.
    leave.store(true, Ordering::Release);
    ipi::wake(cpu);
    let has_left = || STARTER.state(cpu) == SlotState::Offline;
    // Acquire: pairs with the swap in `work::idle`; of the two, one takes the wish back.
    if !Halt.until_or_for(plan().timeout_ns, &mut || has_left())
        && leave.swap(false, Ordering::Acquire)
    {
        return Err(OfflineError::Silent);
    }
    // If it has begun to leave, it waits for nothing on the way.
    interrupts::halt_until(has_left);
    crate::log!("{cpu} ({}) is offline", cpu::apic_id(cpu));
    Ok(())
}

/// Brings a CPU online: one taken out, given up, or plugged in (indices from
/// [`cpu::enabled`](crate::cpu::enabled) up to [`cpu::possible`](crate::cpu::possible)). Takes about
/// a millisecond; if the CPU does not answer, twice the timeout.
///
/// BSP, thread context, not during [`run_on_each`](super::run_on_each). Panics as [`offline`].
pub fn online(cpu: CpuIndex) -> Result<(), StartError> {
    let _exclusive = work::exclusive("online");
    let id = cpu::map().apic_id(cpu).ok_or(StartError::NotListed)?;
    if cpu::is_online(cpu) {
        return Err(StartError::AlreadyOnline);
    }
    if !apic::local().can_address(id) {
        return Err(StartError::NotAddressable);
    }
    let before = report::events().len();
    let has_faulted = |event: &Event| matches!(event, Event::Faulted(fault) if fault.apic_id == id);
    let without_memory = NO_MEMORY.load(Ordering::Relaxed);
    let started = run(|other| other.cpu == cpu, false, &mut Steps::default());
    started.map_err(StartError::Refused)?;
    if STARTER.state(cpu) == SlotState::Online {
        cpu::set_online(cpu);
        barrier::catch_up(cpu);
        crate::log!("{cpu} ({id}) is online");
        report::differences(&[(cpu, super::clock_of(cpu))], STARTER.progress());
        Ok(())
    } else if NO_MEMORY.load(Ordering::Relaxed) > without_memory {
        Err(StartError::NoMemory)
    } else if report::events()[before..].iter().any(has_faulted) {
        Err(StartError::Faulted)
    } else {
        Err(StartError::Silent)
    }
}

/// Why a CPU is not taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfflineError {
    /// It is the BSP, which runs the main function.
    Bsp,
    /// It is not online.
    NotOnline,
    /// It has not begun to leave within the timeout of a start. It stays online.
    Silent,
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
    Refused(CannotStart),
    /// There is no memory for its stacks.
    NoMemory,
    /// It has not answered: perhaps it is not plugged in.
    Silent,
    /// It has answered, and faulted. The log says how.
    Faulted,
}
