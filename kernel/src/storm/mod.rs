//! The main job: every CPU hammers one live object while it is torn down again and again.
//!
//! ```text
//!   CPU 1..n                                   CPU 0, the closer
//!   acquire -> use -> release                  close -> wait until drained -> take out -> free
//!      |  in thread context and, each tick,       ^                                        |
//!      |  in interrupt context                    +--------- publish a new one <-----------+
//!      v
//!   every 16th protection goes to another CPU's mailbox and is released there
//! ```
//!
//! Two lanes do the same work in turns, a slice of 100 ms each, so that both see the same
//! disturbances from outside: one guards its device by the cache-aware variant, the other by the
//! plain one. A *soak* is a storm that lasts until each lane has done so much, at as many teardowns a
//! second as there can be. `device` is what is guarded, `lane` says what counts as a violation, `closer` how the
//! storm stays alive where many virtual CPUs share few real ones.

mod closer;
mod device;
mod lane;
mod report;

use alloc::{boxed::Box, vec::Vec};
use core::{
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use protocol::exit::ExitCode;
use rundown::{CacheAwareRundown, PlainRundown};
use spin::Once;

use self::{
    closer::Closer,
    lane::{Context, Hammered, Lane},
};
use crate::{
    cpu::{self, CpuIndex},
    machine::Machine,
    platform::{Halt, KernelPlatform},
    smp, timer,
};

/// Runs the storm for as long as the options say, or, in a soak, as often; reports each second and at the end, and gives the
/// verdict: passed if nothing was violated and every online CPU took part.
///
/// Thread context on the BSP, once per boot; uses every CPU and its timer.
///
/// # Panics
/// If it is called a second time, if memory runs out, or if a device does not drain within 20 s.
pub fn run(machine: &'static Machine) -> ExitCode {
    assert!(STORM.get().is_none(), "one storm per boot");
    let storm = STORM.call_once(Storm::new);
    let closer = spin::Mutex::new(Closer::new(storm, &machine.options));
    smp::run_on_each(&|cpu| {
        timer::start(storm.tick, on_tick);
        if cpu == CpuIndex::BSP {
            // No other CPU ever takes this lock.
            closer.lock().run();
        } else {
            storm.arrive();
            storm.hammer();
        }
        timer::stop();
    });
    closer.into_inner().finish()
}

/// What all CPUs share. Static, since timer interrupts have to find it.
static STORM: Once<Storm> = Once::new();

struct Storm {
    /// The cache-aware one and the plain one.
    lanes: [Box<dyn Hammered>; LANES],
    /// The place of the one in use.
    active: AtomicUsize,
    /// Counts the devices that were published, in either lane.
    round: AtomicU64,
    /// How many batches each CPU may do per device: see [`closer`].
    quota: AtomicU64,
    /// Number of CPUs other than the closer that have used the device.
    arrived: AtomicUsize,
    /// All CPUs are there.
    begun: AtomicBool,
    /// The storm is over. Set by the closer while both lanes are open.
    over: AtomicBool,
    /// Period of every CPU's timer.
    tick: Duration,
}

const LANES: usize = 2;

/// Acquires between two looks at what else there is to do.
const BATCH: usize = 32;

impl Storm {
    fn new() -> Self {
        let cpus: Vec<CpuIndex> = cpu::online().collect();
        let cache_aware = CacheAwareRundown::<KernelPlatform>::boxed(cpu::listed());
        let plain = PlainRundown::<KernelPlatform>::new();
        Self {
            lanes: [
                Box::new(Lane::new("cache-aware", cache_aware, &cpus)),
                Box::new(Lane::new("plain", plain, &cpus)),
            ],
            active: AtomicUsize::new(0),
            round: AtomicU64::new(0),
            quota: AtomicU64::new(closer::MIN_QUOTA),
            arrived: AtomicUsize::new(0),
            begun: AtomicBool::new(false),
            over: AtomicBool::new(false),
            // 10,000 interrupts a second on the whole machine, which emulated CPUs (some 10 us each) can
            // bear, but no more than 1,000 on one CPU.
            tick: Duration::from_micros(100 * cpus.len().max(10) as u64),
        }
    }

    fn active(&'static self) -> &'static dyn Hammered {
        // Relaxed: a late look costs nothing, both lanes are always ready for use.
        &*self.lanes[self.active.load(Ordering::Relaxed)]
    }

    fn is_over(&self) -> bool {
        // Relaxed: nothing is read because of it; the join of `run_on_each` orders the rest.
        self.over.load(Ordering::Relaxed)
    }

    /// Uses the device once, and waits for the other CPUs: those that have begun to hammer it would
    /// keep those that are still to come from running, where CPUs are virtual and many.
    fn arrive(&'static self) {
        self.batch();
        self.arrived.fetch_add(1, Ordering::Relaxed);
        Halt.until(&mut || self.begun.load(Ordering::Relaxed));
    }

    /// What a CPU does all through the storm.
    fn hammer(&'static self) {
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
    fn batch(&'static self) -> bool {
        let lane = self.active();
        self.release_given();
        (0..BATCH).all(|_| lane.step(Context::Thread))
    }

    /// There is a new device.
    fn next_round(&self) {
        // Release: pairs with the loads in `hammer`: a CPU that sees the round finds the device open.
        self.round.fetch_add(1, Ordering::Release);
        KernelPlatform::wake_all();
    }

    /// Releases what other CPUs have put into this one's mailboxes. Any context; never blocks.
    fn release_given(&self) {
        self.lanes.iter().for_each(|lane| lane.release_given());
    }
}

/// Every CPU's timer interrupt: the same work in interrupt context.
fn on_tick() {
    if let Some(storm) = STORM.get() {
        storm.release_given();
        storm.active().step(Context::Interrupt);
    }
}
