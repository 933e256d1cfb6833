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

use alloc::vec::Vec;
use spin::Mutex;

use super::{
    Parked, entry,
    records::Reason,
    report,
    seat::{self, Seat, State},
    start::{How, NoLowMemory, Starter},
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
    let seat = seat::of(cpu).filter(|_| cpu::is_online(cpu));
    let seat = seat.ok_or(OfflineError::NotOnline)?;
    hand_over_devices(cpu)?;
    // Release: pairs with the swap in `work::idle`.
    seat.area().leave.store(true, Ordering::Release);
    ipi::wake(cpu);
    interrupts::halt_until(|| seat.state() == State::Offline);
    // Once more, for a line that was routed to it in the meantime; from here on none is.
    hand_over_devices(cpu)?;
    crate::log!("{cpu} ({}) is offline", seat.apic_id());
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
    let seat = seat::of(cpu).ok_or(StartError::NotListed)?;
    if cpu::is_online(cpu) {
        return Err(StartError::AlreadyOnline);
    }
    if !apic::can_address(seat.apic_id()) {
        return Err(StartError::NotAddressable);
    }
    let mut starter = Starter::new();
    let started = starter.start(&[seat], How::Each);
    started.map_err(|NoLowMemory| StartError::NoLowMemory)?;
    let bring_up = starter.finish(&[seat]);
    note(&bring_up.parked);
    if bring_up.missing.is_empty() {
        barrier::catch_up(cpu);
        crate::log!("{cpu} ({}) is online", seat.apic_id());
        Ok(())
    } else if bring_up.faults.is_empty() {
        Err(StartError::Silent)
    } else {
        Err(StartError::Faulted)
    }
}

/// CPUs that have parked themselves since boot, as far as they have come. BSP, thread context.
#[must_use]
pub fn parked() -> Parked {
    let mut seen = SEEN.lock();
    while let Some(note) = entry::next_note() {
        match note.reason {
            // It had been given up before.
            Reason::Fault { .. } => report::stray_fault(note),
            Reason::Unlisted | Reason::Late => seen.parked.add(note.apic_id),
        }
    }
    seen.parked.clone()
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
    /// There are no two usable pages below 1 MiB side by side, for it to wake up in.
    NoLowMemory,
    /// It has not answered: perhaps it is not plugged in.
    Silent,
    /// It has answered, and gone wrong. The log says how.
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
            Self::NoLowMemory => {
                "there are no two usable pages below 1 MiB for the CPU to wake up in"
            }
            Self::Silent => "the CPU does not answer: is it plugged in?",
            Self::Faulted => "the CPU has gone wrong while it started",
        })
    }
}

impl core::error::Error for StartError {}

/// Who has parked himself, as far as it has been read, and how many of them have been told of.
struct Seen {
    parked: Parked,
    told: (usize, usize),
}

static SEEN: Mutex<Seen> = Mutex::new(Seen {
    parked: Parked {
        unlisted: Vec::new(),
        late: Vec::new(),
    },
    told: (0, 0),
});

/// Has the BSP take the interrupts of devices that are routed to this CPU.
fn hand_over_devices(cpu: CpuIndex) -> Result<(), OfflineError> {
    let moved = ioapic::move_away(cpu, CpuIndex::BSP);
    moved.map(drop).map_err(|_| OfflineError::InterruptsStay)
}

/// Remembers who has parked himself.
pub(super) fn note(parked: &Parked) {
    let mut seen = SEEN.lock();
    seen.parked.unlisted.extend(&parked.unlisted);
    seen.parked.late.extend(&parked.late);
}

/// Those who have not been told of; they are from now on.
pub(super) fn untold() -> Parked {
    let now = parked();
    let (unlisted, late) =
        core::mem::replace(&mut SEEN.lock().told, (now.unlisted.len(), now.late.len()));
    Parked {
        unlisted: now.unlisted[unlisted..].to_vec(),
        late: now.late[late..].to_vec(),
    }
}

/// The way out of the idle loop of a CPU that is to leave. Thread context, interrupts on.
pub(super) fn leave(seat: &'static Seat) -> ! {
    timer::stop();
    // What devices have sent here before they were moved. Interrupts are off when it returns.
    ioapic::drain();
    // As long as barriers still reach this CPU: a call's function may use objects that they guard.
    interrupts::as_handler(ipi::serve_calls);
    // From here on nobody begins to wait for this CPU. Release: pairs with the load in `cpu::is_online`;
    // what it has counted is visible to who finds it gone, and does not wait for it.
    seat.area().online.store(false, Ordering::Release);
    // Who has begun before: either he sees, when he looks again, that this CPU is gone, or what he has asked
    // is seen here. Pairs with the fences in `ipi::call` and `barrier::Call::begin`.
    fence(Ordering::SeqCst);
    ipi::refuse_calls(&seat.area().calls);
    barrier::serve();
    apic::silence();
    seat.go(State::Online, State::Offline);
    ipi::wake(CpuIndex::BSP);
    entry::park()
}
