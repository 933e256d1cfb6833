//! Whether the clocks of the CPUs agree.
//!
//! Every CPU has a time-stamp counter of its own. Hardware and firmware start them together; one of a CPU that was
//! reset alone, or plugged in, may be off, and firmware may have written to some. So the BSP asks each CPU
//! for its count, by a [call](crate::ipi::call): the answer lies between two counts of the BSP's.

use core::sync::atomic::{AtomicU64, Ordering};

use bringup::ClockOffset;

use crate::{cpu::CpuIndex, ipi, time::ticks};

/// How far the counter of a CPU that is online is from this CPU's. Takes some interrupts.
///
/// `lag`: so many ticks are taken off, to show what comes of it.
pub(crate) fn offset(cpu: CpuIndex, lag: u64) -> ClockOffset {
    /// The first has to wake the CPU.
    const QUESTIONS: usize = 2;
    (0..QUESTIONS).fold(ClockOffset::UNKNOWN, |known, _| {
        let there = AtomicU64::new(0);
        let before = ticks();
        // Relaxed: `call` orders.
        ipi::call(cpu, &|| there.store(ticks(), Ordering::Relaxed));
        let after = ticks();
        let there = there.load(Ordering::Relaxed);
        known.narrowed(before, there.wrapping_sub(lag), after)
    })
}
