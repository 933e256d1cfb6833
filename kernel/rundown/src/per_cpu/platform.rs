//! What the per-CPU kind needs of the system.

use core::fmt;

use crate::platform::Platform;
use crate::switch::Switch;

/// A platform with per-CPU counters: 8 bytes on every CPU under one name, an add to the running
/// CPU's that restarts when it is interrupted, and a barrier.
///
/// # Safety
/// `PerCpuRundown` relies on what each function promises. The heart of it:
///
/// - `add_if_open` is a *sequence*: look at the switch, then add to the counter of the CPU that
///   runs it, by one instruction. If anything comes in between (an interrupt, an NMI, the thread
///   moving to another CPU), the sequence starts again at its look. So between a look that found the
///   switch open and the add there is nothing but these instructions.
/// - `barrier` returns when every CPU has, since the call, been outside of all sequences, or been
///   interrupted (which makes a sequence look again).
///
/// Together: after a switch is closed and a barrier has returned, every add that found it open is
/// done and visible, and none is to come.
pub unsafe trait PerCpu: Platform {
    /// Reserves a counter: the same on all CPUs, zero on each, and visible as such to whoever learns
    /// of it. In the contexts in which objects are made; says which.
    ///
    /// # Errors
    /// [`Unavailable`] if there is none.
    fn allocate() -> Result<CounterId, Unavailable>;

    /// Gives a counter back.
    ///
    /// # Safety
    /// It came from `allocate`, is given back once, and nobody uses it any more.
    unsafe fn free(counter: CounterId);

    /// The sequence: if `switch` is open, adds `n` to the running CPU's counter, wrapping, and says
    /// `true`.
    ///
    /// The look acquires what made the switch open or closed; the add releases what was done
    /// before, to the barrier. Any context, NMI included. No call of `barrier` may be
    /// missed: see the trait.
    ///
    /// # Safety
    /// `counter` is allocated, and not given back until a barrier after `switch` was closed.
    unsafe fn add_if_open(switch: &Switch, counter: CounterId, n: i64) -> bool;

    /// Returns when all CPUs have left or restarted their sequences: see the trait. What was done
    /// before the call happens-before what those CPUs do in and after the restarted sequence; what
    /// they did before happens-before the return.
    ///
    /// Says in which contexts it may be called; those are the contexts of
    /// [`close`](crate::Rundown::close).
    fn barrier();

    /// How many CPUs can ever have counted. Does not change once there is a counter.
    fn cpus() -> usize;

    /// What `cpu` has counted. Racy unless after a barrier. Any context.
    ///
    /// # Safety
    /// `counter` is allocated, and `cpu` below [`cpus`](Self::cpus).
    unsafe fn count(counter: CounterId, cpu: usize) -> i64;

    /// What the running CPU has counted. It may be another CPU's number, if the caller moves. Any
    /// context.
    ///
    /// # Safety
    /// `counter` is allocated.
    unsafe fn racy_own_count(counter: CounterId) -> i64;

    /// Sets to zero what `cpu` has counted. To be published by the caller.
    ///
    /// # Safety
    /// The counter's switch is closed, and there has been a barrier since: nobody adds to it.
    unsafe fn clear(counter: CounterId, cpu: usize);
}

/// The name of a counter: the same for all CPUs. What the number means (an offset, an address) is
/// the platform's affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CounterId(usize);

impl CounterId {
    /// The counter that the platform calls `id`.
    #[must_use]
    pub const fn new(id: usize) -> Self {
        Self(id)
    }

    /// What the platform calls it.
    #[inline]
    #[must_use]
    pub const fn get(self) -> usize {
        self.0
    }
}

/// Why there is no per-CPU counter to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unavailable {
    /// All of them are in use: this many.
    Exhausted(usize),
    /// The system does not have what they need: what, and what to do about it.
    Unsupported(&'static str),
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exhausted(counters) => {
                write!(f, "all {counters} per-CPU counters are in use")
            }
            Self::Unsupported(why) => write!(f, "no per-CPU counters here: {why}"),
        }
    }
}

impl core::error::Error for Unavailable {}
