//! What the component needs from the system it runs on, and how a waiter passes the time.

use crate::primitive::spin_loop;

/// The two services a system lends to rundown protection.
///
/// They are static functions, not methods of a stored value: a release may have to call
/// [`wake_waiters`](Platform::wake_waiters) when the object it released no longer exists (S3).
///
/// Both are called from whatever context acquires or releases, so if references are taken or
/// dropped in interrupt handlers or in an NMI handler, both must work there: no lock that the
/// interrupted code may hold, no allocation, no blocking.
pub trait Platform: 'static {
    /// A number that tells the CPUs apart, best the dense index of the running CPU (0, 1, 2...).
    ///
    /// It is only a hint (S11): the caller may migrate right after it, the answer may be stale or
    /// too large, even random. A wrong hint costs speed, never correctness.
    fn cpu_hint() -> usize;

    /// Makes every waiter look again.
    ///
    /// Contract: each [`Wait::wait_until`] whose `ready` returned `false`, and could not yet see
    /// what the caller did before this call, calls `ready` again after it. A waiter may be anywhere
    /// between that `false` and its sleep. An implementation that first looks whether anybody
    /// sleeps therefore needs a `SeqCst` fence (or a lock) between the caller's last write and that
    /// look, and another one on the waiter's side between announcing itself and calling `ready`.
    /// Spurious wake-ups are harmless. A platform whose waiters only ever spin does nothing here.
    fn wake_waiters();
}

/// How a waiter passes the time until an object is drained.
///
/// A policy that sleeps belongs to the [`Platform`] whose `wake_waiters` ends that sleep.
pub trait Wait {
    /// Returns once `ready()` has returned `true`.
    ///
    /// Calls `ready` at least once, and again after each [`Platform::wake_waiters`]. `ready` takes
    /// a few loads, never blocks, and may run with interrupts disabled.
    fn wait_until(&self, ready: &mut dyn FnMut() -> bool);
}

/// Spins with the CPU's pause hint. Needs no wake-up, works on every platform, burns the CPU.
///
/// Not for a context that keeps the last holder from running: a handler that spins above the code
/// that holds a guard on the same CPU waits for ever.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spin;

impl Wait for Spin {
    fn wait_until(&self, ready: &mut dyn FnMut() -> bool) {
        while !ready() {
            spin_loop();
        }
    }
}
