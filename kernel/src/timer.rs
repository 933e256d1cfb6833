//! A periodic interrupt on each CPU that wants one, from its local APIC; where there is none, an
//! alarm for a CPU that sleeps until a deadline.

use core::time::Duration;

use crate::{apic, hook::Hook, interrupts::vector, per_cpu::per_cpu};

per_cpu! {
    static ON_TICK: Hook = Hook::none();
}

/// Takes over the timer's interrupts. Before interrupts are on.
pub(crate) fn init() {
    apic::set_handler(vector::TIMER, || {
        if let Some(handler) = ON_TICK.here().get() {
            handler();
        }
    });
}

/// Calls `handler` on this CPU, in interrupt context, once each `period` until [`stop`]. Replaces
/// any earlier setting. `period` is clamped to between about 100 ns and a minute.
pub fn start(period: Duration, handler: fn()) {
    ON_TICK.here().set(Some(handler));
    let nanos = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
    apic::start_timer(nanos, true);
}

/// Ends the calls on this CPU: there is none after this returns.
pub fn stop() {
    apic::stop_timer();
    // A tick that is on its way finds no handler.
    ON_TICK.here().set(None);
}

/// Interrupts this CPU once, soon after `nanos`: at the next tick of its periodic timer if that
/// runs, else by an alarm (after a minute at the latest, then set it again). Interrupts are off.
pub(crate) fn set_alarm(nanos: u64) {
    if !is_periodic() {
        apic::start_timer(nanos, false);
    }
}

/// Clears this CPU's alarm. Interrupts are off.
pub(crate) fn clear_alarm() {
    if !is_periodic() {
        apic::stop_timer();
    }
}

pub(crate) fn is_periodic() -> bool {
    ON_TICK.here().get().is_some()
}
