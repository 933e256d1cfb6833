//! Whether the clocks of the CPUs agree.
//!
//! Every CPU has a time-stamp counter of its own. Hardware and firmware start them together; a CPU that was
//! reset alone, or plugged in, may be behind. So CPUs compare while they start, all at the same time, without a
//! lock and without a partner: there is one number, the highest count that anybody has seen. Who reads it and
//! then his own counter, and finds that less, is behind.
//!
//! The BSP adds its count as well, while it waits for the others. A counter that is *ahead* makes the others
//! seem to be behind.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::time::{hz, ticks};

/// The highest count that any CPU has seen.
static HIGHEST: AtomicU64 = AtomicU64::new(0);

/// Adds this CPU's count to those that others compare theirs to. Any CPU, any context.
pub(crate) fn mark() {
    // Release: pairs with the load in `compare`: who reads the number reads his own counter after this.
    HIGHEST.fetch_max(ticks(), Ordering::Release);
}

/// By how many ticks at least this CPU's counter is behind another one; 0 if nothing was seen of it. Any CPU,
/// any context.
///
/// `pretend`: takes off a second, to show what comes of it: longer than a virtual CPU is kept from running
/// between another one's count and its own, which hides so much of the difference.
pub(crate) fn compare(pretend: bool) -> u64 {
    /// Each is a chance that another CPU has just written.
    const ROUNDS: u32 = 16;
    let off = if pretend { hz() } else { 0 };
    let mut behind = 0;
    for _ in 0..ROUNDS {
        // Acquire: pairs with the other side's `fetch_max`. `ticks` waits for this load.
        let highest = HIGHEST.load(Ordering::Acquire);
        let own = ticks().saturating_sub(off);
        behind = behind.max(highest.saturating_sub(own));
        HIGHEST.fetch_max(own, Ordering::Release);
    }
    behind
}
