//! A periodic interrupt on each CPU that wants one, from its local APIC.

use core::{sync::atomic::Ordering, time::Duration};

use crate::{apic, cpu};

/// Calls `handler` on this CPU, in interrupt context, once each `period` until [`stop`]. Replaces
/// what was set before. `period` is at least about 100 ns and at most about a minute; it is cut to
/// that.
pub fn start(period: Duration, handler: fn()) {
    // Relaxed: the interrupt is taken on this CPU.
    cpu::local()
        .timer_handler
        .store(handler as usize, Ordering::Relaxed);
    apic::start_timer(u64::try_from(period.as_nanos()).unwrap_or(u64::MAX));
}

/// Ends the calls on this CPU: there is none after this returns.
pub fn stop() {
    apic::stop_timer();
    // A tick that is on its way finds nobody.
    cpu::local().timer_handler.store(0, Ordering::Relaxed);
}

/// The interrupt.
pub(crate) fn on_tick() {
    let handler = cpu::local().timer_handler.load(Ordering::Relaxed);
    if handler != 0 {
        // SAFETY: the only other value than 0 that is ever stored is a `fn()`, in `start`.
        let handler: fn() = unsafe { core::mem::transmute::<usize, fn()>(handler) };
        handler();
    }
}
