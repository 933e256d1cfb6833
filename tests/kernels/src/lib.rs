//! Shared by the guests of the integration tests.
//!
//! Everything here waits by `hlt`, never by spinning: under TCG many virtual CPUs share few host
//! CPUs, and one that spins takes the time of the one it waits for. Code that spins has `spin_loop`
//! in its loop: with `-icount`, QEMU before 8.1 never gives a turn to the CPUs after one that
//! executes neither `pause` nor `hlt`.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

#[expect(unsafe_code, reason = "registers")]
pub mod apic;
mod barrier;
#[expect(unsafe_code, reason = "raw protection")]
mod device;
mod each_cpu;
#[expect(unsafe_code, reason = "a closure behind a pointer")]
pub mod nmi;
pub mod task;

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use kernel::cpu::{self, CpuIndex};
use kernel::interrupts;
use kernel::platform::{Halt, KernelPlatform};
use rundown::{CacheAwareRundown, Clock, PerCpuRundown, PlainRundown};
use spin::Mutex;

pub use barrier::Barrier;
pub use device::Device;
pub use each_cpu::EachCpu;

/// An open rundown protection of the plain variant.
#[must_use]
pub fn plain() -> PlainRundown<KernelPlatform> {
    PlainRundown::new()
}

/// An open rundown protection with a slot for every CPU.
#[must_use]
pub fn cache_aware() -> CacheAwareRundown<KernelPlatform> {
    CacheAwareRundown::boxed(cpu::enabled())
}

/// Open rundown protection with one slot: every CPU but the first hints too large a number (S11).
#[must_use]
pub fn one_slot() -> CacheAwareRundown<KernelPlatform> {
    CacheAwareRundown::boxed(1)
}

/// An open rundown protection with a plain counter on every CPU.
#[must_use]
pub fn per_cpu() -> PerCpuRundown<KernelPlatform> {
    PerCpuRundown::new().expect("a counter")
}

/// The deadline that is so far from now.
#[must_use]
pub fn after(time: Duration) -> u64 {
    KernelPlatform::now() + u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 2)
}

/// A table of tests. `each`: functions that take a constructor, once for every variant; `once`:
/// functions without arguments; `named`: whatever else a test can be.
#[macro_export]
macro_rules! tests {
    (
        $(each { $($each:ident),+ $(,)? })?
        $(once { $($once:ident),+ $(,)? })?
        $(named { $($name:expr => $named:expr),+ $(,)? })?
    ) => {{
        const TESTS: &[kernel::testing::Test] = &[
            $($(
                (concat!(stringify!($each), "::plain"), |_| $each($crate::plain)),
                (concat!(stringify!($each), "::cache_aware"), |_| $each($crate::cache_aware)),
                (concat!(stringify!($each), "::one_slot"), |_| $each($crate::one_slot)),
                (concat!(stringify!($each), "::per_cpu"), |_| $each($crate::per_cpu)),
            )+)?
            $($((stringify!($once), |_| $once()),)+)?
            $($(($name, $named),)+)?
        ];
        TESTS
    }};
}

/// A value for handlers: it stays for ever.
pub fn leaked<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// The online CPU after `cpu` by index; after the last, the first.
#[must_use]
pub fn next(cpu: CpuIndex) -> CpuIndex {
    let mut later = cpu::online().filter(|&other| other > cpu);
    later.next().or_else(|| cpu::online().next()).expect("this CPU is online")
}

/// Called by [`tick`].
static ON_TICK: Mutex<Option<&'static (dyn Fn() + Send + Sync)>> = Mutex::new(None);

/// Says what the timer interrupts of all CPUs are to do. The timers must not run yet.
pub fn set_on_tick(work: &'static (dyn Fn() + Send + Sync)) {
    interrupts::without(|| *ON_TICK.lock() = Some(work));
}

/// Starts this CPU's timer, which then calls the function of [`set_on_tick`] once each [`period`].
pub fn start_ticking() {
    kernel::timer::start(period(), tick);
}

/// The period of the timers.
///
/// It grows with the number of CPUs, for under TCG they share few host CPUs: at 64 CPUs and
/// one tick a millisecond the host would do nothing but deliver ticks.
#[must_use]
pub fn period() -> Duration {
    let cpus = u32::try_from(cpu::count()).unwrap_or(u32::MAX);
    Duration::from_micros(500) * cpus.max(2)
}

fn tick() {
    // Copied out, so that the lock is not held while the work is done.
    let work = *ON_TICK.lock();
    if let Some(work) = work {
        work();
    }
}

/// How often something is repeated in which all CPUs spin: fewer times on large machines, whose
/// CPUs share few host CPUs under TCG.
#[must_use]
pub fn rounds(most: u32) -> u32 {
    let cpus = u32::try_from(cpu::count()).unwrap_or(u32::MAX);
    (most * 4 / cpus).clamp(2, most)
}

/// Work runs once on each CPU that is online, in thread context, and on no others.
pub fn only_those_online_work() {
    let runs = EachCpu::new(|| AtomicU32::new(0));
    kernel::smp::run_on_each(&|me| {
        assert_eq!(cpu::current(), me);
        assert!(interrupts::enabled() && !interrupts::in_handler(), "{me}");
        runs[me].fetch_add(1, Ordering::Relaxed);
    });
    for cpu in (0..cpu::possible() as u32).map(CpuIndex::new) {
        let expected = u32::from(cpu::is_online(cpu));
        assert_eq!(runs[cpu].load(Ordering::Relaxed), expected, "{cpu}");
    }
}

/// How long tests go on that have no other end.
#[must_use]
pub fn half_a_second_from_now() -> u64 {
    after(Duration::from_millis(500))
}

/// Calls `work` on a CPU until it is over.
///
/// On a large machine not without a break: under TCG its CPUs share few host CPUs. They then sleep
/// until the next interrupt of any kind, or until they are woken because it is over.
pub fn until(over: impl Fn() -> bool, mut work: impl FnMut()) {
    while !over() {
        for _ in 0..100 {
            work();
        }
        core::hint::spin_loop();
        let mut interrupted = cpu::count() <= 8;
        Halt.until(&mut || core::mem::replace(&mut interrupted, true) || over());
    }
}
