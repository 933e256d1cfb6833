//! What the `rundown` crate needs of a kernel: a CPU's number, and a way to sleep and be woken.

use core::sync::atomic::{AtomicU64, Ordering, fence};

use cpumap::MAX_CPUS;
use rundown::{ObjectId, Waiting};

use crate::{
    cpu::{self, CpuIndex},
    interrupts, ipi,
};

/// This kernel, as `rundown` sees it.
#[derive(Clone, Copy, Debug)]
pub struct KernelPlatform;

impl rundown::Platform for KernelPlatform {
    fn cpu_hint() -> usize {
        cpu::current().get()
    }

    fn wake_waiters(_: ObjectId) {
        Self::wake_all();
    }
}

impl KernelPlatform {
    /// Wakes the CPUs that sleep in [`Halt`].
    pub fn wake_all() {
        // Pairs with the fence in `Halt`: either the sleeper sees what was done before this call, or
        // this sees its bit.
        fence(Ordering::SeqCst);
        for (word, sleepers) in SLEEPERS.iter().enumerate() {
            let mut sleepers = sleepers.load(Ordering::Relaxed);
            while sleepers != 0 {
                let bit = sleepers.trailing_zeros();
                sleepers &= sleepers - 1;
                ipi::wake(CpuIndex::new(word as u32 * u64::BITS + bit));
            }
        }
    }
}

/// Waits in `hlt`, woken by [`KernelPlatform`] or by any other interrupt.
///
/// Interrupts must be on and the code not in a handler, since `hlt` needs them on; where they are
/// not, it spins.
#[derive(Clone, Copy, Debug, Default)]
pub struct Halt;

impl rundown::Wait for Halt {
    fn wait_until(&self, _: Waiting, ready: &mut dyn FnMut() -> bool) {
        self.until(ready);
    }
}

impl Halt {
    /// Returns once `ready()` has returned `true`; asks again after every interrupt.
    pub fn until(&self, ready: &mut dyn FnMut() -> bool) {
        if !interrupts::enabled() || interrupts::in_handler() {
            while !ready() {
                core::hint::spin_loop();
            }
            return;
        }
        let me = cpu::current().get();
        let (word, bit) = (&SLEEPERS[me / 64], 1 << (me % 64));
        word.fetch_or(bit, Ordering::Relaxed);
        // Pairs with the fence in `wake_all`.
        fence(Ordering::SeqCst);
        interrupts::halt_until(ready);
        word.fetch_and(!bit, Ordering::Relaxed);
    }
}

/// A bit per CPU that sleeps in [`Halt`], or is about to. Outlives every rundown object, so waking
/// touches none (S3).
static SLEEPERS: [AtomicU64; MAX_CPUS / 64] = [const { AtomicU64::new(0) }; MAX_CPUS / 64];
