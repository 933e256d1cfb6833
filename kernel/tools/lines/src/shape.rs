//! Other designs, to compare with: what they access, in the order in which they do, and only as much
//! code as that takes.

use alloc::boxed::Box;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicI64, Ordering};

use rundown_traced::Platform;
use rundown_traced::trace::{Access, report};

use crate::PER_LINE;
use crate::subject::{Pairs, Subject};

/// Counters without a life: acquire and release are one locked addition each.
///
/// One for all CPUs is any shared reference count. One for each CPU, side by side, is a well-meant
/// mistake: *false sharing*.
pub struct Counters<P> {
    lines: Box<[Packed]>,
    counters: usize,
    platform: PhantomData<fn() -> P>,
}

/// A line full of counters.
#[repr(align(64))]
struct Packed([AtomicI64; PER_LINE]);

impl<P: Platform> Counters<P> {
    /// CPU `c` is to use counter `c`, modulo `counters`.
    #[must_use]
    pub fn new(counters: usize) -> Self {
        let line = || Packed([const { AtomicI64::new(0) }; PER_LINE]);
        Self {
            lines: (0..counters.div_ceil(PER_LINE)).map(|_| line()).collect(),
            counters,
            platform: PhantomData,
        }
    }

    fn add(&self, n: i64) {
        let own = P::cpu_hint() % self.counters;
        let counter = &self.lines[own / PER_LINE].0[own % PER_LINE];
        report(counter.as_ptr().addr(), Access::Write);
        counter.fetch_add(n, Ordering::AcqRel);
    }
}

impl<P: Platform> Pairs for Counters<P> {
    fn acquire(&self) -> bool {
        self.add(1);
        true
    }

    fn release(&self) {
        self.add(-1);
    }
}

/// The shape of Windows' cache-aware rundown protection, as far as its documentation and what it costs
/// show it: on each CPU's slot a load and a compare-and-swap; closing exchanges every slot for the
/// address of the waiter's block, which counts what is still held.
pub struct WindowsShape<P> {
    slots: Box<[Slot]>,
    block: Slot,
    platform: PhantomData<fn() -> P>,
}

#[repr(align(64))]
struct Slot(AtomicI64);

/// In a slot: the object is closed.
const CLOSED: i64 = i64::MIN;

impl Slot {
    const fn new() -> Self {
        Self(AtomicI64::new(0))
    }

    fn load(&self) -> i64 {
        report(self.0.as_ptr().addr(), Access::Read);
        self.0.load(Ordering::Acquire)
    }

    fn swap(&self, value: i64) -> i64 {
        report(self.0.as_ptr().addr(), Access::Write);
        self.0.swap(value, Ordering::AcqRel)
    }

    fn add(&self, n: i64) {
        report(self.0.as_ptr().addr(), Access::Write);
        self.0.fetch_add(n, Ordering::AcqRel);
    }

    /// Adds by a compare-and-swap loop; `false` if the slot is closed.
    fn add_if_open(&self, n: i64) -> bool {
        let mut seen = self.load();
        while seen != CLOSED {
            report(self.0.as_ptr().addr(), Access::Write);
            match self
                .0
                .compare_exchange(seen, seen + n, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }
}

impl<P: Platform> WindowsShape<P> {
    /// With a slot for each CPU, open.
    #[must_use]
    pub fn new(cpus: usize) -> Self {
        Self {
            slots: (0..cpus).map(|_| Slot::new()).collect(),
            block: Slot::new(),
            platform: PhantomData,
        }
    }

    fn own(&self) -> &Slot {
        &self.slots[P::cpu_hint()]
    }
}

impl<P: Platform> Pairs for WindowsShape<P> {
    fn acquire(&self) -> bool {
        self.own().add_if_open(1)
    }

    fn release(&self) {
        if !self.own().add_if_open(-1) {
            self.block.add(-1);
        }
    }
}

impl<P: Platform> Subject for WindowsShape<P> {
    fn close(&self) {
        let held = self.slots.iter().map(|slot| slot.swap(CLOSED)).sum();
        self.block.add(held);
    }

    fn is_drained(&self) -> bool {
        self.block.load() == 0
    }

    fn reinit(&self) {
        for slot in &self.slots {
            slot.swap(0);
        }
    }
}
