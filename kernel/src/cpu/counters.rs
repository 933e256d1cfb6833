//! Per-CPU counters: 8 bytes at the same offset in every CPU's area, so that each CPU adds to its own
//! by one instruction, `add gs:[offset], n`, without a lock prefix.
//!
//! The counters of one CPU lie densely, and no other CPU writes there: 8 objects share a cache line that
//! never leaves its CPU. There are some 30,000. What [`PerCpuRundown`](rundown::PerCpuRundown) is made of.

use core::{arch::asm, sync::atomic::Ordering};

use bringup::CpuIndex;
use rundown::per_cpu::CounterMap;

use super::area;
pub(crate) use super::area::counter as slot;
use crate::per_cpu;

/// Bytes of one.
const SIZE: usize = size_of::<u64>();
/// How many fit into an area, in words of the map.
const WORDS: usize = (area::END - area::FIRST_COUNTER) / SIZE / 64;

static USED: CounterMap<WORDS> = CounterMap::new();

/// Takes a counter that is zero on every CPU.
///
/// Once in about 500 times, when the pages of all CPUs are full, this maps one more page for each
/// CPU. As on the heap, a lock is held meanwhile, with interrupts off. So it is legal where
/// allocating memory is: any CPU, thread or interrupt context, not NMI. Not before all CPUs are
/// [listed](super::listed).
///
/// # Errors
/// [`Exhausted`], if all are in use that there is room or memory for.
pub fn alloc() -> Result<Counter, Exhausted> {
    let number = USED.reserve().ok_or(Exhausted {
        capacity: CounterMap::<WORDS>::COUNTERS,
    })?;
    let offset = area::FIRST_COUNTER + number * SIZE;
    if area::extend(offset + SIZE).is_err() {
        USED.free(number);
        return Err(Exhausted {
            capacity: (area::mapped() - area::FIRST_COUNTER) / SIZE,
        });
    }
    let counter = Counter { offset };
    for cpu in 0..per_cpu::areas() {
        // Whoever had it before is done with it, and that happens-before `reserve` has returned it.
        slot(offset, cpu).store(0, Ordering::Relaxed);
    }
    Ok(counter)
}

/// How many are in use. Racy.
#[must_use]
pub fn racy_in_use() -> usize {
    USED.racy_in_use()
}

/// A counter per CPU. Given back when dropped.
///
/// Sums and differences wrap.
#[derive(Debug, PartialEq, Eq)]
pub struct Counter {
    /// In each area.
    offset: usize,
}

/// All per-CPU counters are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// How many there are.
    pub capacity: usize,
}

impl Counter {
    /// Adds to the running CPU's. Any context, NMI included: one instruction, which no interrupt
    /// divides.
    #[inline]
    pub fn add(&self, n: i64) {
        // SAFETY: GS points to this CPU's area, where the counter is this object's; other contexts of
        // this CPU come before or after the instruction, other CPUs only read.
        unsafe {
            asm!(
                "add qword ptr gs:[{offset}], {n}",
                offset = in(reg) self.offset,
                n = in(reg) n,
                options(nostack),
            );
        }
    }

    /// Where it is from the GS base on, for code that adds by itself.
    #[inline]
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// What a CPU has counted. Racy. Any context.
    ///
    /// # Panics
    /// If the machine has no such CPU.
    #[must_use]
    pub fn racy_of(&self, cpu: CpuIndex) -> i64 {
        // Relaxed: a number; what it means depends on what orders the adds.
        slot(self.offset, cpu.get()).load(Ordering::Relaxed)
    }

    /// What all CPUs have counted. Racy: CPUs go on counting meanwhile. Any context.
    #[must_use]
    pub fn racy_sum(&self) -> i64 {
        (0..per_cpu::areas())
            .map(|cpu| slot(self.offset, cpu).load(Ordering::Relaxed))
            .fold(0, i64::wrapping_add)
    }

    /// As a number, which [`from_offset`](Self::from_offset) makes a counter of again.
    pub(crate) fn into_offset(self) -> usize {
        let offset = self.offset;
        core::mem::forget(self);
        offset
    }

    /// The counter at this offset.
    ///
    /// # Safety
    /// Either [`into_offset`](Self::into_offset) has given the offset, and it is taken back once. Or it
    /// is the one of a counter that outlives what this returns, which is then never dropped.
    pub(crate) const unsafe fn from_offset(offset: usize) -> Self {
        Self { offset }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        USED.free((self.offset - area::FIRST_COUNTER) / SIZE);
    }
}
