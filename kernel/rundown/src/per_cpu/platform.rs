//! What the per-CPU variant needs of the system.

use super::gate::PerCpuGate;
use crate::ids::{CounterId, Unavailable};
use crate::platform::Platform;
use crate::state::IllegalContext;

/// A platform with per-CPU counters: 8 bytes on every CPU under one name, an add to the running
/// CPU's that restarts when it is interrupted, and a barrier.
///
/// # Safety
/// `PerCpuRundown` relies on what each function promises. The heart of it:
///
/// - `add_if_open` is a *sequence*: look at the state word, then add to the counter of the CPU that
///   runs it, by one instruction. If anything comes in between (an interrupt, an NMI, the thread
///   moving to another CPU), the sequence starts again at its look. So between a look that found the
///   object open and the add there is nothing but these instructions.
/// - `barrier` returns once each CPU, at some moment after the call, was either interrupted (which makes
///   a sequence look again) or not inside a sequence.
///
/// Together: after an object is closed and a barrier has returned, every add that found it open is
/// done and visible, and none is to come.
///
/// A kernel's whole implementation is about 80 lines: `kernel/src/platform/per_cpu.rs` in this crate's
/// repository, on [`gs`](super::gs) and [`Rounds`](super::Rounds).
pub unsafe trait PerCpuPlatform: Platform + Sized {
    /// Reserves a counter: the same on all CPUs, zero on each, and visible as such to every CPU that learns
    /// of it. The implementation says in which contexts it may be called: they are those of
    /// [`PerCpuRundown::new`](super::PerCpuRundown), and of the first opening of a lazy object.
    ///
    /// # Errors
    /// [`Unavailable`] if there is none.
    fn allocate() -> Result<CounterId, Unavailable>;

    /// Gives a counter back.
    ///
    /// # Safety
    /// It came from `allocate`, is given back once, and is not used any more.
    unsafe fn free(counter: CounterId);

    /// The sequence: if the gate is open, adds `n` to the running CPU's counter of the gate, wrapping, and
    /// returns `true`.
    ///
    /// The look acquires what made the gate open or closed; the [counter](PerCpuGate::counter) is read
    /// only after it, inside the sequence; the add releases what was done before, to the barrier. Any
    /// context, NMI included. No call of `barrier` may be missed: see the trait.
    ///
    /// # Safety
    /// An open gate's counter is allocated, and not given back until a barrier after the gate was closed.
    unsafe fn add_if_open(gate: &PerCpuGate, n: i64) -> bool;

    /// Whether a barrier is legal in the calling context. Asked before anything changes by every call
    /// that finds an object open and would close it; the context does not change until that call's `barrier`.
    ///
    /// # Errors
    /// [`IllegalContext`] if not: for example in an NMI handler, when the code that it interrupted may be
    /// what the barrier would wait for.
    fn check_barrier() -> Result<(), IllegalContext> {
        Ok(())
    }

    /// Returns when all CPUs have left or restarted their sequences: see the trait. What was done
    /// before the call happens-before what those CPUs do in and after the restarted sequence; what
    /// they did before happens-before the return.
    ///
    /// Called only after [`check_barrier`](Self::check_barrier) has said that it is legal.
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
    /// The counter's gate is closed, and there has been a barrier since: nothing is added to it.
    unsafe fn clear(counter: CounterId, cpu: usize);
}
