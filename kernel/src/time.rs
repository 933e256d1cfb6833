//! The time since boot by the time-stamp counter. [`clock`](crate::clock) finds out its rate.
//!
//! (Intel SDM 3B, 18.17: the counter runs at a constant rate on all CPUs made since 2008; QEMU's
//! does, and shows all vCPUs the same count.)

use core::{
    arch::asm,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bringup::rate::Scale;

/// Nanoseconds since the boot learnt the counter's rate ([`clock`](crate::clock)); 0 before.
///
/// Never goes backwards on one CPU, nor from one CPU to another by more than their counters differ:
/// the kernel compares them ([`BringUp::clocks`](crate::smp::BringUp::clocks)), and corrects none.
///
/// Any CPU, any context.
pub fn nanos() -> u64 {
    at(ticks())
}

/// When the time-stamp counter had this count: nanoseconds since the boot learnt its rate.
pub(crate) fn at(ticks: u64) -> u64 {
    scale().nanos(ticks.saturating_sub(START.load(Ordering::Relaxed)))
}

pub(crate) fn length(ticks: u64) -> Duration {
    Duration::from_nanos(scale().nanos(ticks))
}

/// The count `nanos` from now.
pub(crate) fn ticks_in(nanos: u64) -> u64 {
    let ahead = u128::from(nanos) * u128::from(hz()) / 1_000_000_000;
    ticks().saturating_add(ahead as u64)
}

fn scale() -> Scale {
    Scale::from_bits(SCALE.load(Ordering::Relaxed))
}

/// Busy-waits. Any CPU, any context.
pub fn spin_for(nanos: u64) {
    let end = self::nanos() + nanos;
    while self::nanos() < end {
        core::hint::spin_loop();
    }
}

/// The time-stamp counter's rate, in ticks per second, by the clock. Any CPU, any context.
pub fn hz() -> u64 {
    HZ.load(Ordering::Relaxed)
}

/// Written once by the BSP before other CPUs run, so Relaxed everywhere.
static START: AtomicU64 = AtomicU64::new(0);
static HZ: AtomicU64 = AtomicU64::new(0);
static SCALE: AtomicU64 = AtomicU64::new(0);

/// Begins with nanosecond 0, now that the rate is known. Once, on the BSP, before other CPUs run.
pub(crate) fn start(hz: u64) {
    HZ.store(hz, Ordering::Relaxed);
    SCALE.store(Scale::of_hz(hz).bits(), Ordering::Relaxed);
    START.store(ticks(), Ordering::Relaxed);
}

/// The time-stamp counter after all earlier loads of this CPU: without `lfence` it may be read
/// before them (Intel SDM 2B, RDTSC), and a CPU seeing another's work would find its clock behind.
pub(crate) fn ticks() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: every CPU with long mode has the instructions, and CR4.TSD does not concern ring 0.
    // No `nomem`, so that the compiler does not move loads across it either.
    unsafe {
        asm!("lfence", "rdtsc", out("eax") low, out("edx") high, options(nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}
