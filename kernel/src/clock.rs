//! Time since boot, from the time-stamp counter.
//!
//! The counter's rate is measured against the 8254 timer, which every PC has and whose rate is
//! fixed. (Intel SDM 3B, 18.17: the counter runs at a constant rate on all CPUs made
//! since 2008; QEMU's does, and shows all vCPUs the same count.)

use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::instructions::port::Port;

use crate::log;

/// Nanoseconds since [`init`], monotonic on one CPU. 0 before [`init`].
///
/// Any CPU, any context.
#[must_use]
pub fn nanos() -> u64 {
    let ticks = ticks().saturating_sub(START.load(Ordering::Relaxed));
    // 2^32 ns: a multiplication by a fraction of 2^32.
    ((u128::from(ticks) * u128::from(NANOS_PER_TICK.load(Ordering::Relaxed))) >> 32) as u64
}

/// Busy-waits. Any CPU, any context.
pub fn spin_for(nanos: u64) {
    let end = self::nanos() + nanos;
    while self::nanos() < end {
        core::hint::spin_loop();
    }
}

/// Written once by the BSP before other CPUs run, so Relaxed everywhere.
static START: AtomicU64 = AtomicU64::new(0);
/// Times 2^32.
static NANOS_PER_TICK: AtomicU64 = AtomicU64::new(0);

/// Rate of the 8254's input clock: a third of the NTSC colour carrier (Intel 8254 data sheet; IBM
/// PC technical reference).
const PIT_HZ: u64 = 1_193_182;

/// How long one measurement takes, in input clocks: 5 ms.
const PIT_CLOCKS: u16 = (PIT_HZ / 200) as u16;

/// Measures the counter's rate (20 ms).
pub(crate) fn init() {
    let hz = measure(ticks).unwrap_or_else(|| {
        log!("clock: no 8254 timer to measure against: taking the time-stamp counter for 1 GHz");
        1_000_000_000
    });
    NANOS_PER_TICK.store(
        ((1_000_000_000_u128 << 32) / u128::from(hz)) as u64,
        Ordering::Relaxed,
    );
    START.store(ticks(), Ordering::Relaxed);
}

/// The rate, in Hz, at which `counter` counts up. `None` if there is no 8254.
///
/// The fewest ticks of four measurements: a hypervisor that takes the CPU away in the middle can
/// only add some.
pub(crate) fn measure(counter: impl Fn() -> u64) -> Option<u64> {
    let mut fewest = u64::MAX;
    for _ in 0..4 {
        fewest = fewest.min(pit::during(PIT_CLOCKS, &counter)?);
    }
    Some((fewest * PIT_HZ / u64::from(PIT_CLOCKS)).max(1))
}

fn ticks() -> u64 {
    // SAFETY: every CPU with long mode has the instruction, and CR4.TSD does not concern ring 0.
    unsafe { core::arch::x86_64::_rdtsc() }
}

mod pit {
    use super::Port;

    /// How far `counter` counts while channel 0 of the 8254 counts `clocks` down. `None` if there is
    /// no 8254, or it does not count.
    ///
    /// Channel 0, not channel 2 as often seen: that one needs the speaker's port, which QEMU's
    /// microvm lacks. Channel 0 would interrupt, but the 8259s are masked.
    pub(super) fn during(clocks: u16, counter: &impl Fn() -> u64) -> Option<u64> {
        // Intel 8254 data sheet: control word for channel 0, low byte then high byte, mode 0 (the
        // output falls now and rises at zero).
        const ONE_SHOT: u8 = 0x30;
        let [low, high] = clocks.to_le_bytes();
        write(CONTROL, ONE_SHOT);
        write(CHANNEL_0, low);
        // Before the write that starts the timer, not after it: a CPU that is taken away between
        // the two then counts too much, which another measurement shows, never too little.
        let start = counter();
        write(CHANNEL_0, high);
        if status() & !NULL_COUNT != ONE_SHOT {
            return None;
        }
        // Bounded: a port access takes about 1 us on hardware, so this is seconds there.
        for _ in 0..1_000_000 {
            if status() & OUTPUT != 0 {
                return Some(counter().wrapping_sub(start));
            }
        }
        None
    }

    const CHANNEL_0: u16 = 0x40;
    const CONTROL: u16 = 0x43;
    /// Status bits: the output, and "count not yet loaded"; the others repeat the control word.
    const OUTPUT: u8 = 1 << 7;
    const NULL_COUNT: u8 = 1 << 6;

    /// Channel 0's status, by the read-back command.
    fn status() -> u8 {
        const READ_BACK_STATUS_0: u8 = 0b1110_0010;
        write(CONTROL, READ_BACK_STATUS_0);
        // SAFETY: reading a port of the timer touches no memory.
        unsafe { Port::new(CHANNEL_0).read() }
    }

    fn write(port: u16, value: u8) {
        // SAFETY: the timer is nobody else's (the kernel uses it only here, on the BSP, before
        // other CPUs run), and its ports touch no memory.
        unsafe { Port::new(port).write(value) };
    }
}
