//! Per-CPU counters: 8 bytes at the same offset in every CPU's area, so that each CPU adds to its
//! own by one instruction, `add gs:[offset], n`, without a lock prefix.
//!
//! No other CPU writes there: 8 objects share a cache line that stays on its CPU. There are some
//! 30,000.

use core::sync::atomic::Ordering;

use rundown::per_cpu::CounterMap;

use super::area;
pub(crate) use super::area::counter as slot;
use crate::per_cpu;

/// Bytes of one.
const SIZE: usize = size_of::<u64>();
/// How many fit into an area, in words of the map.
const WORDS: usize = (area::END - area::FIRST_COUNTER) / SIZE / 64;

static USED: CounterMap<WORDS> = CounterMap::new();

/// Takes a counter that is zero on every CPU. Returns where it is from the GS base on.
///
/// May map a page for each CPU, under a lock: any CPU, thread or interrupt context, not NMI. Not
/// before all CPUs are [known](super::possible). `Err(n)`: all `n` counters are in use.
pub(crate) fn alloc() -> Result<usize, usize> {
    let number = USED.reserve().ok_or(CounterMap::<WORDS>::COUNTERS)?;
    let offset = area::FIRST_COUNTER + number * SIZE;
    if area::extend(offset + SIZE).is_none() {
        USED.free(number);
        return Err((area::mapped() - area::FIRST_COUNTER) / SIZE);
    }
    for cpu in 0..per_cpu::areas() {
        // Its previous owner is done with it, and that happens-before `reserve` has returned it.
        slot(offset, cpu).store(0, Ordering::Relaxed);
    }
    Ok(offset)
}

/// Gives back a counter that [`alloc`] has given.
pub(crate) fn free(offset: usize) {
    USED.free((offset - area::FIRST_COUNTER) / SIZE);
}

/// How many are in use. Racy.
pub fn racy_in_use() -> usize {
    USED.racy_in_use()
}
