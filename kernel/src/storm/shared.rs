//! All CPUs' work in the storm, and their shared state.

use alloc::{boxed::Box, vec::Vec};
use core::{
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use protocol::storm::VARIANTS;
use rundown::{CacheAwareRundown, PerCpuRundown, PlainRundown};
use spin::Once;

use super::stormed::{Hammered, Stormed};
use crate::{
    cpu::{self, CpuIndex},
    platform::{Halt, KernelPlatform},
};

/// All CPUs' shared state. Static, since timer interrupts have to find it.
pub(super) static STORM: Once<Storm> = Once::new();

pub(super) struct Storm {
    /// One for each of the [`VARIANTS`].
    pub(super) variants: [Box<dyn Hammered>; VARIANTS.len()],
    /// The place of the one in use.
    pub(super) active: AtomicUsize,
    /// Counts the devices that were published, by any variant.
    pub(super) round: AtomicU64,
    /// How many batches each CPU may do per device: see [`closer`](super::closer).
    pub(super) quota: AtomicU64,
    /// Number of CPUs other than the closer that have used the device.
    pub(super) arrived: AtomicUsize,
    pub(super) begun: AtomicBool,
    /// The storm is over. Set by the closer while all devices are open.
    pub(super) over: AtomicBool,
    pub(super) tick: Duration,
}

/// Least batches that a CPU may do per device. They take an emulated CPU some 70 us, so that all of
/// them together are done within a tick (100 us per CPU) even if one real CPU has to do it all.
pub(super) const MIN_QUOTA: u64 = 16;

/// Acquires before a CPU looks for other work.
const BATCH: usize = 32;

impl Storm {
    pub(super) fn new() -> Self {
        let cpus: Vec<CpuIndex> = cpu::online().collect();
        let [plain, cache_aware, per_cpu] = VARIANTS;
        let plain = Stormed::new(plain, PlainRundown::<KernelPlatform>::new(), &cpus);
        let rundown = CacheAwareRundown::<KernelPlatform>::boxed(cpu::enabled());
        let cache_aware = Stormed::new(cache_aware, rundown, &cpus);
        let rundown = PerCpuRundown::<KernelPlatform>::new().expect("a counter");
        let per_cpu = Stormed::new(per_cpu, rundown, &cpus);
        Self {
            variants: [Box::new(plain), Box::new(cache_aware), Box::new(per_cpu)],
            active: AtomicUsize::new(0),
            round: AtomicU64::new(0),
            quota: AtomicU64::new(MIN_QUOTA),
            arrived: AtomicUsize::new(0),
            begun: AtomicBool::new(false),
            over: AtomicBool::new(false),
            // 10,000 interrupts a second on the whole machine, which emulated CPUs (some 10 us
            // each) can bear, but no more than 1,000 on one CPU.
            tick: Duration::from_micros(100 * cpus.len().max(10) as u64),
        }
    }

    fn active(&'static self) -> &'static dyn Hammered {
        // Relaxed: all variants are always ready for use.
        &*self.variants[self.active.load(Ordering::Relaxed)]
    }

    fn is_over(&self) -> bool {
        // Relaxed: nothing is read because of it; the join of `run_on_each` orders the rest.
        self.over.load(Ordering::Relaxed)
    }

    /// The part of every CPU but the closer.
    pub(super) fn hammer(&'static self) {
        self.batch();
        self.arrived.fetch_add(1, Ordering::Relaxed);
        // Otherwise virtual CPUs would keep those that are still to come from running.
        Halt.until(&mut || self.begun.load(Ordering::Relaxed));
        while !self.is_over() {
            let round = self.round.load(Ordering::Acquire);
            let quota = self.quota.load(Ordering::Relaxed);
            for _ in 0..quota {
                if self.is_over() || !self.batch() {
                    break;
                }
            }
            // Refused, or it was enough: sleep until the next device. Spinning would only take the
            // processor away from those that still hold protection.
            Halt.until(&mut || {
                self.release_given();
                self.round.load(Ordering::Acquire) != round || self.is_over()
            });
        }
    }

    /// Uses the device a number of times, in thread context; `false` once it is closed.
    pub(super) fn batch(&'static self) -> bool {
        let variant = self.active();
        self.release_given();
        (0..BATCH).all(|_| variant.step())
    }

    pub(super) fn next_round(&self) {
        // Release: pairs with the loads in `hammer`: CPUs that see the round find the device open.
        self.round.fetch_add(1, Ordering::Release);
        KernelPlatform::wake_all();
    }

    /// Releases what other CPUs have put into this one's mailboxes. Any context; never blocks.
    pub(super) fn release_given(&self) {
        self.variants.iter().for_each(|variant| variant.release_given());
    }
}

/// Every CPU's timer interrupt: the same work in interrupt context.
pub(super) fn on_tick() {
    if let Some(storm) = STORM.get() {
        storm.release_given();
        storm.active().step();
    }
}
