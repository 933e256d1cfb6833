//! The system below the component, as the component needs it, and how a waiter passes the time.

use core::fmt;

use crate::primitive::spin_loop;
use crate::state::{Misuse, ObjectId};
use crate::wakers::Wakers;

/// The services a system provides to rundown protection. Two are required, the rest have defaults.
/// They are static functions, since a release may have to call
/// [`wake_waiters`](Platform::wake_waiters) when the object no longer exists (S3).
///
/// `cpu_hint`, `wake_waiters` and `tick` are called in whatever context acquires or releases. If
/// that may be an interrupt or NMI handler, they must work there: no lock that the interrupted code
/// may hold, no allocation, no blocking.
pub trait Platform: 'static {
    /// A number that is different on each CPU, ideally the dense index of the running CPU. Only a
    /// hint (S11): it may be stale, too large, even random. That costs speed, never correctness.
    fn cpu_hint() -> usize;

    /// Makes every waiter of `object` look again. Others may look, too: spurious wake-ups are
    /// harmless. The object may be gone, or another one may live at its address.
    ///
    /// Contract: each [`Wait::wait_until`] for this object whose `ready` returned `false`, and
    /// could not yet see what the caller did before this call, calls `ready` again after it. A
    /// waiter may be anywhere between that `false` and its sleep. An implementation that first
    /// checks for sleepers therefore needs a `SeqCst` fence (or a lock) between the caller's last
    /// write and that look, and another one on the waiter's side between announcing itself and
    /// calling `ready`. A platform whose waiters only ever spin does nothing here.
    fn wake_waiters(object: ObjectId);

    /// A caller has broken the contract (S7). Called in the context that found it, after the last
    /// touch of the object, which may be gone. Panics unless implemented otherwise. If it returns,
    /// the object is as [`Misuse`] says.
    fn misuse(what: &Misuse) {
        panic!("{what}");
    }

    /// A time stamp for feature `diagnosis`: since when protection is held. Any unit.
    fn tick() -> u64 {
        0
    }

    /// Prints a report of feature `diagnosis`, in the context of the call that found something.
    /// Unless implemented, reports are lost.
    fn report(text: fmt::Arguments<'_>) {
        let _ = text;
    }
}

/// A platform with a clock, as [`wait_deadline`](crate::Rundown::wait_deadline) needs one.
pub trait Clock: Platform {
    /// The time now, in the platform's unit, as deadlines are. Never goes backwards, on any CPU.
    fn now() -> u64;
}

/// A platform whose waiters may also be futures.
///
/// Its [`wake_waiters`](Platform::wake_waiters) must also [ring](Wakers::ring) this table, and the
/// executor must [deliver](Wakers::deliver) the rings before it looks for work. An executor that is
/// about to halt the CPU asks [`is_rung`](Wakers::is_rung) with interrupts off, and enables them
/// only by the instruction that halts (`sti; hlt`): otherwise a ring in between would not wake it.
pub trait AsyncPlatform: Platform {
    /// The platform's one table of wakers.
    fn wakers() -> &'static Wakers;
}

/// The condition that a waiter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// The object to be drained: [`Platform::wake_waiters`] will name it.
    pub object: ObjectId,
    /// When the wait times out, by the platform's [`Clock`].
    pub deadline: Option<u64>,
}

impl Waiting {
    /// For a policy that passes its work on to another, or its test.
    pub const fn new(object: ObjectId, deadline: Option<u64>) -> Self {
        Self { object, deadline }
    }
}

/// How a waiter passes the time until an object is drained.
///
/// A policy that sleeps belongs to the [`Platform`] whose `wake_waiters` ends that sleep; with an
/// object of another platform it sleeps for ever.
pub trait Wait {
    /// Returns once `ready()` has returned `true`.
    ///
    /// Calls `ready` at least once, again after each [`Platform::wake_waiters`] for
    /// `waiting.object`, and soon after `waiting.deadline`, if there is one (`ready` returns `true`
    /// then). `ready` takes a few loads, never blocks, and may run with interrupts off.
    fn wait_until(&self, waiting: Waiting, ready: &mut dyn FnMut() -> bool);
}

/// Spins with the CPU's pause hint, on any platform. Not for a context that keeps the last holder
/// from running: a handler that spins above the code that holds a guard waits for ever. Nor, in a
/// kernel whose barriers are interrupts, for one that keeps those out: it answers none, so the last
/// holder may wait in a barrier for this CPU.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spin;

impl Wait for Spin {
    fn wait_until(&self, _: Waiting, ready: &mut dyn FnMut() -> bool) {
        while !ready() {
            spin_loop();
        }
    }
}
