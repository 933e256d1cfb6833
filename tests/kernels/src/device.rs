//! Something that is torn down while it is used.
//!
//! `unsafe` in this module: protection that is taken in one context and released in another.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use kernel::cpu::CpuIndex;
use kernel::platform::Halt;
use rundown::{CloseOutcome, Rundown, Variant};

use crate::EachCpu;

/// Notices when it is used after its teardown. Contexts hand protections on through a pocket of
/// each CPU, without a lock.
pub struct Device<V: Variant> {
    /// The protection that guards it.
    pub rundown: Rundown<V>,
    alive: AtomicBool,
    /// Protections in each CPU's pocket.
    pockets: EachCpu<AtomicUsize>,
}

impl<V: Variant> Device<V> {
    /// A living one that this guards, with empty pockets.
    #[must_use]
    pub fn new(rundown: Rundown<V>) -> Self {
        Self {
            rundown,
            alive: AtomicBool::new(true),
            pockets: EachCpu::new(|| AtomicUsize::new(0)),
        }
    }

    fn touch(&self) {
        assert!(self.alive.load(Ordering::Relaxed), "used after its teardown");
    }

    /// Takes protection and lets it go; whether it was granted.
    pub fn use_once(&self) -> bool {
        let guard = self.rundown.try_acquire();
        guard.as_ref().inspect(|_| self.touch()).is_some()
    }

    /// Takes protection and puts it into this CPU's pocket; whether it was granted.
    pub fn fill_pocket(&self, cpu: CpuIndex) -> bool {
        let granted = self.rundown.acquire().is_ok();
        if granted {
            self.touch();
            // Release: pairs with the Acquire below.
            self.pockets[cpu].fetch_add(1, Ordering::Release);
        }
        granted
    }

    /// Releases a protection from this CPU's pocket; whether there was one.
    pub fn release_one(&self, cpu: CpuIndex) -> bool {
        let less = |held: usize| held.checked_sub(1);
        let taken = self.pockets[cpu].fetch_update(Ordering::Acquire, Ordering::Relaxed, less);
        if taken.is_ok() {
            self.touch();
            // SAFETY: one that was in the pocket, and now is this caller's.
            unsafe { self.rundown.release() };
        }
        taken.is_ok()
    }

    /// Releases a protection from this CPU's pocket, or else takes one and puts it in.
    pub fn exchange(&self, cpu: CpuIndex) {
        if !self.release_one(cpu) {
            self.fill_pocket(cpu);
        }
    }

    /// Releases all that is in this CPU's pocket.
    pub fn empty_pocket(&self, cpu: CpuIndex) {
        while self.release_one(cpu) {}
    }

    /// Closes it, and waits until it has drained; releases what is in these CPUs' pockets, each
    /// time that this CPU's timer ticks.
    pub fn drain(&self, cpus: &[CpuIndex]) {
        assert_eq!(self.rundown.close(), CloseOutcome::Closed);
        Halt.until(&mut || {
            cpus.iter().for_each(|cpu| self.empty_pocket(*cpu));
            self.rundown.try_wait().is_ok()
        });
    }

    /// Once it has drained: is dead for as long as this takes, and opens again.
    pub fn tear_down(&self, meanwhile: impl FnOnce()) {
        assert_eq!(self.rundown.racy_held(), 0);
        self.alive.store(false, Ordering::Relaxed);
        meanwhile();
        self.alive.store(true, Ordering::Relaxed);
        assert!(self.rundown.reinit().is_ok(), "drained, with one owner");
    }
}
