//! A boot slot: the set-up of one CPU, prepared before it is started, and the CPU's progress.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// See [`Progress::stamps`](crate::Progress::stamps).
pub const STAMPS: usize = 6;

/// The boot slot of one CPU.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct BootSlot {
    /// Changed by its own CPU and the one that starts it only, see [`SlotState`].
    pub(crate) state: AtomicU32,
    /// How many times it was sent a SIPI for. By the CPU that starts it only, like the next two.
    attempts: AtomicU32,
    /// How many times it came before the slot was free.
    too_early: AtomicU32,
    wanted: AtomicBool,
    /// Written before the CPU is expected for the first time; 0 before.
    pub(crate) stack_top: AtomicU64,
    /// The first MTRR that differs from that of the CPU that starts it; 0 if none does.
    pub(crate) mtrr: AtomicU32,
    /// When it had reached each place on its way: ticks of the time-stamp counter.
    pub(crate) stamps: [AtomicU64; STAMPS],
}

/// How far a CPU has come.
///
/// ```text
///            INIT, SIPI           CPU: claims it            CPU: is ready
/// VACANT  -------------------> EXPECTED ----------> ARRIVED -------------> ONLINE
///                                 |                    |                      |
///         times out or faults     v                    v                      v
///        WITHDRAWN <--------------+--------------------+        CPU: leaves, OFFLINE
/// ```
///
/// Only the CPU that finds it EXPECTED may use the stack. From WITHDRAWN and OFFLINE the CPU may be
/// expected again, after an INIT, which ends whatever it was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum SlotState {
    /// Its CPU has never been started.
    Vacant,
    /// Its CPU is being started.
    Expected,
    /// Its CPU uses the stack.
    Arrived,
    /// Its CPU is ready for work.
    Online,
    /// Its CPU has timed out or faulted.
    Withdrawn,
    /// Its CPU has left, and halts.
    Offline,
}

impl SlotState {
    const ALL: [Self; 6] =
        [Self::Vacant, Self::Expected, Self::Arrived, Self::Online, Self::Withdrawn, Self::Offline];
}

impl BootSlot {
    pub(crate) const fn new() -> Self {
        Self {
            state: AtomicU32::new(SlotState::Vacant as u32),
            attempts: AtomicU32::new(0),
            too_early: AtomicU32::new(0),
            wanted: AtomicBool::new(false),
            stack_top: AtomicU64::new(0),
            mtrr: AtomicU32::new(0),
            stamps: [const { AtomicU64::new(0) }; STAMPS],
        }
    }

    pub(crate) fn state(&self) -> SlotState {
        // Acquire: pairs with `transition`; the CPU's earlier writes are visible.
        SlotState::ALL[self.state.load(Ordering::Acquire) as usize]
    }

    /// Moves on, if it is still where it was. Whether it has moved.
    pub(crate) fn transition(&self, from: SlotState, to: SlotState) -> bool {
        // AcqRel: pairs with `state` and with the other side's `transition`.
        let moved = self.state.compare_exchange(
            from as u32,
            to as u32,
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        moved.is_ok()
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Begins a series of attempts, or does not.
    pub(crate) fn want(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Relaxed);
        if wanted {
            self.attempts.store(0, Ordering::Relaxed);
            self.too_early.store(0, Ordering::Relaxed);
        }
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// Takes the slot away from a CPU that is not online.
    pub(crate) fn withdraw(&self) {
        for from in [SlotState::Expected, SlotState::Arrived] {
            self.transition(from, SlotState::Withdrawn);
        }
    }

    /// Whether the CPU, which has parked without its slot, is expected by now, so came too early.
    /// Then the attempt is over, and does not count, at most eight times.
    pub(crate) fn was_too_early(&self) -> bool {
        const MOST: u32 = 8;
        let too_early = self.transition(SlotState::Expected, SlotState::Withdrawn);
        if too_early && self.too_early.fetch_add(1, Ordering::Relaxed) < MOST {
            self.attempts.fetch_sub(1, Ordering::Relaxed);
        }
        too_early
    }

    /// Waits for its CPU from now on. After an INIT has stopped it.
    pub(crate) fn expect(&self) {
        for stamp in &self.stamps {
            stamp.store(0, Ordering::Relaxed);
        }
        self.attempts.fetch_add(1, Ordering::Relaxed);
        // Release: pairs with the exchange in `entry.S`; the CPU sees all that was prepared.
        self.state.store(SlotState::Expected as u32, Ordering::Release);
    }

    pub(crate) fn stamps(&self) -> [u64; STAMPS] {
        let load = |ticks: &AtomicU64| ticks.load(Ordering::Relaxed);
        self.stamps.each_ref().map(load)
    }

    pub(crate) fn stamp(&self, place: usize) {
        // SAFETY: every CPU with long mode has it, and ring 0 may always use it.
        let ticks = unsafe { core::arch::x86_64::_rdtsc() };
        self.stamps[place].store(ticks, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_that_comes_too_early_has_its_attempt_back_but_not_for_ever() {
        let slot = BootSlot::new();
        slot.want(true);
        assert!(!slot.was_too_early(), "it was not expected");
        for _ in 0..8 {
            slot.expect();
            assert!(slot.was_too_early());
            assert_eq!(slot.attempts(), 0);
        }
        slot.expect();
        assert!(slot.was_too_early());
        assert_eq!(slot.attempts(), 1);
    }

    #[test]
    fn neither_online_nor_offline_is_withdrawn() {
        for state in SlotState::ALL {
            let slot = BootSlot::new();
            slot.state.store(state as u32, Ordering::Relaxed);
            slot.withdraw();
            let expected = match state {
                SlotState::Expected | SlotState::Arrived => SlotState::Withdrawn,
                other => other,
            };
            assert_eq!(slot.state(), expected);
        }
    }
}
