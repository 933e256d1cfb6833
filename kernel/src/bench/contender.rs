//! What does the pairs: the three variants of rundown protection, and yardsticks.

use alloc::boxed::Box;
use core::{
    hint,
    mem::ManuallyDrop,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use protocol::bench::Contender;
use rundown::{CacheAwareRundown, PerCpuRundown, PlainRundown, Rundown, Variant, WaitOutcome};

use crate::{
    clock,
    cpu::{
        self,
        counters::{self, Counter},
    },
    platform::{Halt, KernelPlatform},
};

/// A contender without its type.
pub(super) trait Hammered: Sync {
    /// Acquires and releases on this CPU until told to stop, at least [`BATCH`] times; returns how
    /// many pairs that were. While the object is closed, it spins.
    fn hammer(&self, stop: &AtomicBool) -> u64;

    /// What the counters add up to. Exact while nobody uses it.
    fn left(&self) -> i64;
}

/// A contender that can be torn down.
pub(super) trait Closable: Hammered {
    /// Closes the object, and returns how long that took, in nanoseconds.
    fn close(&self) -> u64;

    /// Waits until the closed object is drained, and returns how long that took, in nanoseconds.
    /// Panics if it takes [`PATIENCE`].
    fn drain(&self) -> u64;

    /// Opens the drained object again.
    fn reopen(&self);
}

/// All of them.
pub(super) struct Contenders {
    bare_plain: BarePlain,
    bare_locked: BareLocked,
    windows: Windows,
    per_cpu: PerCpuRundown<KernelPlatform>,
    cache_aware: CacheAwareRundown<KernelPlatform>,
    plain: PlainRundown<KernelPlatform>,
}

impl Contenders {
    /// All open.
    pub(super) fn new() -> Self {
        let slots = || (0..cpu::listed()).map(|_| Padded::default()).collect();
        Self {
            bare_plain: BarePlain {
                flag: Padded::default(),
                counter: counters::alloc().expect("a counter"),
            },
            bare_locked: BareLocked(slots()),
            windows: Windows(slots()),
            per_cpu: PerCpuRundown::new().expect("a counter"),
            cache_aware: CacheAwareRundown::boxed(cpu::listed()),
            plain: PlainRundown::new(),
        }
    }

    pub(super) fn hammered(&self, contender: Contender) -> &dyn Hammered {
        match contender {
            Contender::BarePlain => &self.bare_plain,
            Contender::PerCpu => &self.per_cpu,
            Contender::BareLocked => &self.bare_locked,
            Contender::CacheAware => &self.cache_aware,
            Contender::Windows => &self.windows,
            Contender::Plain => &self.plain,
        }
    }

    /// # Panics
    /// If it is none of [`Contender::VARIANTS`].
    pub(super) fn closable(&self, variant: Contender) -> &dyn Closable {
        match variant {
            Contender::PerCpu => &self.per_cpu,
            Contender::CacheAware => &self.cache_aware,
            Contender::Plain => &self.plain,
            _ => panic!("{variant:?} cannot be closed"),
        }
    }
}

/// Pairs between two looks at the flag that says stop: enough that the look costs nothing, few enough
/// that an emulated CPU looks every 10 us or so.
const BATCH: u64 = 64;

/// The loop of all contenders: `pair` says whether there was one.
#[inline(always)]
fn hammer(stop: &AtomicBool, mut pair: impl FnMut() -> bool) -> u64 {
    let mut pairs = 0;
    loop {
        if (0..BATCH).all(|_| pair()) {
            pairs += BATCH;
        } else {
            hint::spin_loop();
        }
        // Relaxed: nothing is read because of it.
        if stop.load(Ordering::Relaxed) {
            return pairs;
        }
    }
}

/// A drain that takes so long, in nanoseconds, never ends: as in the storm.
const PATIENCE: u64 = 20_000_000_000;

impl<V: Variant> Hammered for Rundown<V> {
    fn hammer(&self, stop: &AtomicBool) -> u64 {
        // The guard is dropped at once.
        hammer(stop, || self.try_acquire().is_some())
    }

    fn left(&self) -> i64 {
        self.racy_held()
    }
}

impl<V: Variant<Platform = KernelPlatform>> Closable for Rundown<V> {
    fn close(&self) -> u64 {
        let start = clock::nanos();
        Self::close(self);
        clock::nanos() - start
    }

    fn drain(&self) -> u64 {
        let start = clock::nanos();
        let outcome = self.wait_deadline(&Halt, start + PATIENCE);
        let time = clock::nanos() - start;
        match outcome {
            Ok(WaitOutcome::Drained) => time,
            other => panic!("after {} s: {other:?}", PATIENCE / 1_000_000_000),
        }
    }

    fn reopen(&self) {
        self.reinit().expect("it is drained");
    }
}

/// A word on cache lines of its own, as [`rundown::Slot`].
#[derive(Default)]
#[repr(align(128))]
struct Padded(AtomicU64);

/// In a word that counts: the object is closed. Nobody closes these.
const CLOSED: u64 = 1;
/// One more.
const ONE: u64 = 2;

/// Plain instructions on the running CPU's own counter.
struct BarePlain {
    /// 0: open.
    flag: Padded,
    counter: Counter,
}

impl Hammered for BarePlain {
    fn hammer(&self, stop: &AtomicBool) -> u64 {
        // The same counter once more, in a register: `self` would be read anew after each add, and this
        // is to be the limit. Not dropped: it is not this function's.
        // SAFETY: `self` keeps the counter, and this one is not dropped.
        let counter = unsafe { Counter::from_offset(self.counter.offset()) };
        let counter = ManuallyDrop::new(counter);
        hammer(stop, || {
            counter.add(1);
            let open = self.flag.0.load(Ordering::Relaxed) == 0;
            counter.add(-1);
            open
        })
    }

    fn left(&self) -> i64 {
        self.counter.racy_sum()
    }
}

/// Locked instructions on the CPU's own slot, which is looked up once for all.
struct BareLocked(Box<[Padded]>);

impl Hammered for BareLocked {
    fn hammer(&self, stop: &AtomicBool) -> u64 {
        let slot = &self.0[cpu::current().get()].0;
        // The old value is looked at: that makes it `lock xadd`.
        let add = |n| slot.fetch_add(n, Ordering::AcqRel) & CLOSED == 0;
        hammer(stop, || add(ONE) & add(ONE.wrapping_neg()))
    }

    fn left(&self) -> i64 {
        sum(&self.0)
    }
}

/// The shape of Windows' cache-aware variant: a load, then `lock cmpxchg`, on a slot that is looked up each
/// time; its lowest bit says closed.
struct Windows(Box<[Padded]>);

impl Hammered for Windows {
    fn hammer(&self, stop: &AtomicBool) -> u64 {
        hammer(stop, || self.add(ONE) && self.add(ONE.wrapping_neg()))
    }

    fn left(&self) -> i64 {
        sum(&self.0)
    }
}

impl Windows {
    /// `false` if it is closed.
    #[inline(always)]
    fn add(&self, n: u64) -> bool {
        let slot = &self.0[cpu::current().get()].0;
        let mut seen = slot.load(Ordering::Relaxed);
        while seen & CLOSED == 0 {
            let next = seen.wrapping_add(n);
            match slot.compare_exchange_weak(seen, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }
}

fn sum(slots: &[Padded]) -> i64 {
    let words = slots.iter().map(|slot| slot.0.load(Ordering::Relaxed));
    words.fold(0, u64::wrapping_add).cast_signed() / ONE.cast_signed()
}
