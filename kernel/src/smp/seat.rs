//! A seat: what is prepared for a CPU before it is started, and how far it has come.

use core::{
    ptr,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering},
};

use alloc::{boxed::Box, vec::Vec};
use protocol::{
    options::{Fault, FaultKind},
    start::PHASES,
};
use spin::Once;

use crate::{
    cpu::{self, ApicId, CpuIndex, Descriptors},
    memory::{FRAMES, stack},
    per_cpu::per_cpu,
    time,
};

per_cpu! {
    /// The idle loop is to end: see `offline`.
    pub(super) static LEAVE: AtomicBool = AtomicBool::new(false);
}

/// What a CPU finds when it has looked itself up.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Seat {
    /// The state: only by its own CPU and the BSP, see [`State`].
    pub(super) state: AtomicU32,
    /// Written before the CPU is started for the first time, like `descriptors`.
    pub(super) stack_top: AtomicU64,
    /// When it had reached each phase: ticks of the time-stamp counter.
    pub(super) stamps: [AtomicU64; PHASES.len()],
    descriptors: AtomicPtr<Descriptors>,
    apic_id: ApicId,
    index: CpuIndex,
    /// How many times it was sent a SIPI for. By the BSP only.
    attempts: AtomicU32,
    /// How many times it came before the seat was free. By the BSP only.
    too_early: AtomicU32,
    /// By how many ticks its clock was found to be behind that of another CPU.
    behind: AtomicU64,
    fault: Option<Fault>,
}

/// How far a CPU has come.
///
/// ```text
///            BSP: INIT, SIPI        CPU: claims it            CPU: is ready
/// VACANT  -------------------> EXPECTED ----------> ARRIVED -------------> ONLINE
///    ^                            |                    |                      |
///    |   BSP: gives it up         v                    v                      v
///    +-- WITHDRAWN <--------------+--------------------+        CPU: leaves, OFFLINE
/// ```
///
/// Only who finds it EXPECTED may use the stack. A fault on the way moves it to WITHDRAWN; one of a CPU that is
/// ONLINE ends the kernel. From WITHDRAWN and OFFLINE the BSP may expect the CPU again, after an INIT, which
/// ends whatever it was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum State {
    /// Nobody has been started for it.
    Vacant,
    /// Its CPU is being started.
    Expected,
    /// Its CPU uses what lies there.
    Arrived,
    /// Its CPU is ready for work.
    Online,
    /// Not waiting for anybody: its CPU was too late, or has gone wrong.
    Withdrawn,
    /// Its CPU has been taken out, and halts.
    Offline,
}

impl State {
    const ALL: [Self; 6] = [
        Self::Vacant,
        Self::Expected,
        Self::Arrived,
        Self::Online,
        Self::Withdrawn,
        Self::Offline,
    ];
}

impl Seat {
    pub(super) fn apic_id(&self) -> ApicId {
        self.apic_id
    }

    pub(super) fn cpu(&self) -> CpuIndex {
        self.index
    }

    pub(super) fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// What is to go wrong with it on purpose.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault
    }

    pub(super) fn has_fault(&self, kind: FaultKind) -> bool {
        self.fault.is_some_and(|fault| fault.kind == kind)
    }

    pub(super) fn state(&self) -> State {
        // Acquire: pairs with `go`; what the CPU has done before is visible.
        State::ALL[self.state.load(Ordering::Acquire) as usize]
    }

    /// Moves on, if it is still where it was. Whether it has moved.
    pub(super) fn go(&self, from: State, to: State) -> bool {
        // AcqRel: pairs with `state` and with the other side's `go`.
        let moved = self.state.compare_exchange(
            from as u32,
            to as u32,
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        moved.is_ok()
    }

    /// Takes the seat away from a CPU that is not online. BSP only.
    pub(super) fn withdraw(&self) {
        for from in [State::Expected, State::Arrived] {
            self.go(from, State::Withdrawn);
        }
    }

    /// A CPU has found the seat not waiting, and has parked. If by now it is expected, then it came too early:
    /// the attempt is over, and does not count. Whether it is so. (Not for ever: a CPU that does so time and
    /// again is given up in the end.) BSP only.
    pub(super) fn was_too_early(&self) -> bool {
        /// Each costs a SIPI that is served late, so even a second one is rare.
        const MOST: u32 = 8;
        let too_early = self.go(State::Expected, State::Withdrawn);
        if too_early && self.too_early.fetch_add(1, Ordering::Relaxed) < MOST {
            self.attempts.fetch_sub(1, Ordering::Relaxed);
        }
        too_early
    }

    /// Waits for its CPU from now on. BSP only, after the CPU has been sent an INIT.
    ///
    /// # Panics
    /// If the CPU is still to leave: it might have done so when it is declared online.
    pub(super) fn expect(&self) {
        // Relaxed: the CPU has taken it back before it left, which the BSP has seen.
        let leave = LEAVE.of(self.index).expect("prepared");
        assert!(
            !leave.load(Ordering::Relaxed),
            "{} is to leave before it has come",
            self.index
        );
        for stamp in &self.stamps {
            stamp.store(0, Ordering::Relaxed);
        }
        self.attempts.fetch_add(1, Ordering::Relaxed);
        // Release: pairs with the exchange in `ap_entry.S`; what is prepared is visible to the CPU.
        self.state.store(State::Expected as u32, Ordering::Release);
    }

    /// Begins a new series of attempts. BSP only.
    pub(super) fn forget_attempts(&self) {
        self.attempts.store(0, Ordering::Relaxed);
        self.too_early.store(0, Ordering::Relaxed);
    }

    /// Notes the time. Own CPU only.
    pub(super) fn stamp(&self, phase: usize) {
        self.stamps[phase].store(time::ticks(), Ordering::Relaxed);
    }

    /// When it was online, in ticks.
    pub(super) fn last_stamp(&self) -> u64 {
        self.stamps[PHASES.len() - 1].load(Ordering::Relaxed)
    }

    /// By how many ticks its clock is behind. Set by its own CPU.
    pub(super) fn behind(&self) -> u64 {
        self.behind.load(Ordering::Relaxed)
    }

    pub(super) fn set_behind(&self, ticks: u64) {
        self.behind.store(ticks, Ordering::Relaxed);
    }

    /// The CPU's descriptors; `None` for the BSP, which has loaded its own.
    pub(super) fn descriptors(&self) -> Option<&'static Descriptors> {
        // SAFETY: null, or what `prepare` got from a `&'static`.
        unsafe { self.descriptors.load(Ordering::Relaxed).as_ref() }
    }

    /// Takes memory for the CPU's stacks, area and descriptors, unless it has them. `false` if there is not
    /// enough; then nothing is taken. BSP, thread context.
    pub(super) fn prepare(&self) -> bool {
        if self.stack_top.load(Ordering::Relaxed) != 0 {
            return true;
        }
        if FRAMES.largest() < cpu::bytes_up_to(self.index) + stack::BYTES_PER_CPU {
            return false;
        }
        cpu::allocate_up_to(self.index);
        let descriptors = Descriptors::allocate(self.index);
        self.descriptors
            .store(ptr::from_ref(descriptors).cast_mut(), Ordering::Relaxed);
        let top = stack::allocate(self.index, stack::Purpose::Main);
        // Published by `expect`.
        self.stack_top.store(top.as_u64(), Ordering::Relaxed);
        true
    }
}

static SEATS: Once<Box<[Seat]>> = Once::new();

/// All seats by index, of CPUs that are not there (yet), too.
pub(super) fn all() -> &'static [Seat] {
    SEATS.get().expect("the seats are made first")
}

/// Whether no CPU may still be in a trampoline: each has left it for the kernel, or was never started.
pub(super) fn all_have_left() -> bool {
    all().iter().all(|seat| {
        let state = seat.state();
        matches!(state, State::Vacant | State::Online | State::Offline)
    })
}

/// The seat of a CPU.
pub(super) fn of(cpu: CpuIndex) -> Option<&'static Seat> {
    SEATS.get()?.get(cpu.get())
}

/// Makes the seats: the BSP's, which it has already, and for every other listed CPU an empty one.
pub(super) fn init(fault: Option<Fault>) -> &'static [Seat] {
    SEATS.call_once(|| {
        let seats: Vec<Seat> = cpu::map()
            .iter()
            .map(|(index, apic_id)| Seat {
                state: AtomicU32::new(match index {
                    CpuIndex::BSP => State::Online as u32,
                    _ => State::Vacant as u32,
                }),
                stack_top: AtomicU64::new(0),
                stamps: [const { AtomicU64::new(0) }; PHASES.len()],
                descriptors: AtomicPtr::new(ptr::null_mut()),
                apic_id,
                index,
                attempts: AtomicU32::new(0),
                too_early: AtomicU32::new(0),
                behind: AtomicU64::new(0),
                fault: fault.filter(|fault| index != CpuIndex::BSP && fault.is_for(apic_id.get())),
            })
            .collect();
        seats.into_boxed_slice()
    })
}
