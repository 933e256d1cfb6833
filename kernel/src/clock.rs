//! Time since boot, from the time-stamp counter.
//!
//! The counter's rate is measured against the 8254 timer, which every PC has and whose rate is
//! fixed. (Intel SDM 3B, 18.17: the counter runs at a constant rate on all CPUs made since 2008;
//! QEMU's does, and shows all vCPUs the same count.)

use core::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use x86_64::instructions::port::Port;

use crate::log;

/// Nanoseconds since the boot measured the counter's rate; 0 before that.
///
/// Never goes backwards on one CPU, nor from one CPU to another as far as their counters agree: in
/// QEMU all vCPUs read the same one, and on a PC the firmware resets them together (invariant TSC, see
/// above). The kernel compares them while CPUs start, and reports what it finds
/// ([`BringUp::behind`](crate::smp::BringUp::behind)); it corrects nothing.
///
/// Any CPU, any context.
#[must_use]
pub fn nanos() -> u64 {
    at(ticks())
}

/// Busy-waits. Any CPU, any context.
pub fn spin_for(nanos: u64) {
    let end = self::nanos() + nanos;
    while self::nanos() < end {
        core::hint::spin_loop();
    }
}

/// The time-stamp counter's count.
pub(crate) fn ticks() -> u64 {
    // SAFETY: every CPU with long mode has the instruction, and CR4.TSD does not concern ring 0.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// When the counter had this count: nanoseconds since boot.
pub(crate) fn at(ticks: u64) -> u64 {
    nanos_of(ticks.saturating_sub(START.load(Ordering::Relaxed)))
}

/// How long so many ticks take.
pub(crate) fn length(ticks: u64) -> Duration {
    Duration::from_nanos(nanos_of(ticks))
}

/// The count in so many nanoseconds from now.
pub(crate) fn ticks_in(nanos: u64) -> u64 {
    let rate = u128::from(NANOS_PER_TICK.load(Ordering::Relaxed).max(1));
    ticks() + ((u128::from(nanos) << 32) / rate) as u64
}

fn nanos_of(ticks: u64) -> u64 {
    // 2^32 ns: a multiplication by a fraction of 2^32.
    ((u128::from(ticks) * u128::from(NANOS_PER_TICK.load(Ordering::Relaxed))) >> 32) as u64
}

/// The highest count that any CPU has seen while CPUs start.
static HIGHEST: AtomicU64 = AtomicU64::new(0);

/// Adds this CPU's count to those that others compare theirs to. Any CPU, any context.
pub(crate) fn mark() {
    HIGHEST.fetch_max(ticks(), Ordering::AcqRel);
}

/// By how many ticks at least this CPU's counter is behind that of another one, by what those who compare at
/// the same time and the BSP have seen: 0 if it is not. Without lock or partner: who reads the highest
/// count so far and then his own, and finds that less, is behind.
///
/// `pretend`: takes off 10 ms, to show what comes of it.
pub(crate) fn compare(pretend: bool) -> u64 {
    const ROUNDS: u32 = 16;
    let off = if pretend {
        ticks_in(10_000_000) - ticks()
    } else {
        0
    };
    let mut behind = 0;
    for _ in 0..ROUNDS {
        // Acquire, and the fence: the own count is read after the other.
        let highest = HIGHEST.load(Ordering::Acquire);
        // SAFETY: every CPU with long mode has the instruction (Intel SDM 2B, RDTSC: LFENCE before it).
        unsafe { core::arch::x86_64::_mm_lfence() };
        let own = ticks().saturating_sub(off);
        behind = behind.max(highest.saturating_sub(own));
        HIGHEST.fetch_max(own, Ordering::AcqRel);
    }
    behind
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

/// The rate, in Hz, at which `counter` counts up. `None` if there is no 8254, or it stands still.
///
/// Both counters are read as nearly at the same time as can be, then again after a while: a
/// hypervisor that takes the CPU away in between does no harm, unless that lasts for more than the
/// 55 ms in which the 8254 comes round. Then clocks are missing and the rate is too high; so the
/// lowest of four is taken.
pub(crate) fn measure(counter: impl Fn() -> u64) -> Option<u64> {
    pit::start()?;
    let rate = || {
        let (from, start) = sample(&counter);
        // It counts down. Bounded: three port accesses take about 3 us on hardware, so this is
        // a second there.
        let mut tries = (0..300_000).map(|_| start.wrapping_sub(pit::clocks()));
        tries.find(|clocks| *clocks >= PIT_CLOCKS)?;
        let (to, end) = sample(&counter);
        let clocks = start.wrapping_sub(end).max(1);
        Some((to.wrapping_sub(from) * PIT_HZ / u64::from(clocks)).max(1))
    };
    (0..4).filter_map(|_| rate()).min()
}

/// Both counters at one time: of a few tries, the one with the least time in it.
fn sample(counter: &impl Fn() -> u64) -> (u64, u16) {
    let tries = (0..8).map(|_| {
        let before = counter();
        let clocks = pit::clocks();
        let length = counter().wrapping_sub(before);
        (length, before + length / 2, clocks)
    });
    let (_, count, clocks) = tries.min().expect("there are eight");
    (count, clocks)
}

mod pit {
    use super::Port;

    /// Lets channel 0 of the 8254 count down from 65536, again and again. `None` if there is no 8254.
    ///
    /// Channel 0, not channel 2 as often seen: that one needs the speaker's port, which QEMU's
    /// microvm lacks. Channel 0 would interrupt, but the 8259s are masked.
    pub(super) fn start() -> Option<()> {
        // Intel 8254 data sheet: control word for channel 0, low byte then high byte, mode 2 (rate
        // generator); a count of 0 stands for 65536.
        const RATE_GENERATOR: u8 = 0x34;
        // Read-back command: latch the status of channel 0.
        const READ_BACK_STATUS_0: u8 = 0b1110_0010;
        // Status: the lower six bits repeat the control word.
        const MODE: u8 = 0x3f;
        write(CONTROL, RATE_GENERATOR);
        write(CHANNEL_0, 0);
        write(CHANNEL_0, 0);
        write(CONTROL, READ_BACK_STATUS_0);
        (read(CHANNEL_0) & MODE == RATE_GENERATOR).then_some(())
    }

    /// What channel 0 has come down to.
    pub(super) fn clocks() -> u16 {
        // Control word: latch the count of channel 0.
        const LATCH_0: u8 = 0;
        write(CONTROL, LATCH_0);
        u16::from_le_bytes([read(CHANNEL_0), read(CHANNEL_0)])
    }

    const CHANNEL_0: u16 = 0x40;
    const CONTROL: u16 = 0x43;

    fn read(port: u16) -> u8 {
        // SAFETY: as for `write`.
        unsafe { Port::new(port).read() }
    }

    fn write(port: u16, value: u8) {
        // SAFETY: the timer is nobody else's (the kernel uses it only here, on the BSP, before
        // other CPUs run), and its ports touch no memory.
        unsafe { Port::new(port).write(value) };
    }
}
