//! What the guests of the integration tests share.
//!
//! Everything here waits by `hlt`, never by spinning: under TCG many virtual CPUs share few host
//! CPUs, and one that spins takes the time of the one it waits for.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

#[expect(unsafe_code, reason = "registers")]
pub mod apic;
mod barrier;
mod per_cpu;
pub mod task;
mod tracked;

use core::array;
use core::future;
use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;

use kernel::cpu::CpuIndex;
use kernel::platform::KernelPlatform;
use rundown::{CacheAwareRundown, Clock, PerCpuRundown, PlainRundown};
use spin::Mutex;

pub use barrier::Barrier;
pub use per_cpu::PerCpu;
pub use tracked::Tracked;

/// An open rundown protection of the plain variant.
#[must_use]
pub fn plain() -> PlainRundown<KernelPlatform> {
    PlainRundown::new()
}

/// An open rundown protection with a slot for every CPU.
#[must_use]
pub fn cache_aware() -> CacheAwareRundown<KernelPlatform> {
    CacheAwareRundown::boxed(kernel::cpu::listed())
}

/// An open rundown protection with a single slot: every CPU but the first hints one too large (S11).
#[must_use]
pub fn one_slot() -> CacheAwareRundown<KernelPlatform> {
    CacheAwareRundown::boxed(1)
}

/// An open rundown protection with a plain counter on every CPU.
///
/// # Panics
///
/// If the kernel has no counter left.
#[must_use]
pub fn per_cpu() -> PerCpuRundown<KernelPlatform> {
    PerCpuRundown::new().expect("a counter")
}

/// A rundown protection of the plain variant that is born closed.
#[must_use]
pub fn plain_closed() -> PlainRundown<KernelPlatform> {
    plain().born_closed()
}

/// A rundown protection with a slot for every CPU that is born closed.
#[must_use]
pub fn cache_aware_closed() -> CacheAwareRundown<KernelPlatform> {
    cache_aware().born_closed()
}

/// A rundown protection with a plain counter on every CPU that is born closed. The counter is
/// allocated when it is opened.
#[must_use]
pub fn per_cpu_closed() -> PerCpuRundown<KernelPlatform> {
    PerCpuRundown::lazy()
}

/// The deadline that is so far from now.
#[must_use]
pub fn after(time: Duration) -> u64 {
    KernelPlatform::now() + u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 2)
}

/// The test table of functions that take a constructor, once for every variant; after a semicolon,
/// others by their names.
#[macro_export]
macro_rules! for_every_variant {
    ($($test:ident),+ $(,)? $(; $(($name:expr, $other:expr)),+ $(,)?)?) => {
        &[$(
            (concat!(stringify!($test), "::plain"), |_| $test($crate::plain)),
            (concat!(stringify!($test), "::cache_aware"), |_| $test($crate::cache_aware)),
            (concat!(stringify!($test), "::one_slot"), |_| $test($crate::one_slot)),
            (concat!(stringify!($test), "::per_cpu"), |_| $test($crate::per_cpu)),
        )+ $($(($name, $other)),+)?]
    };
}

/// The online CPU after `cpu` by index; after the last, the first.
///
/// # Panics
///
/// If no CPU is online, which cannot be: this code runs on one.
#[must_use]
pub fn next(cpu: CpuIndex) -> CpuIndex {
    let mut later = kernel::cpu::online().filter(|&other| other > cpu);
    later
        .next()
        .or_else(|| kernel::cpu::online().next())
        .expect("this CPU is online")
}

/// What [`tick`] does.
static ON_TICK: Mutex<Option<&'static (dyn Fn() + Send + Sync)>> = Mutex::new(None);

/// Says what the timer interrupts of all CPUs are to do. The timers must not run yet.
pub fn set_on_tick(work: &'static (dyn Fn() + Send + Sync)) {
    kernel::interrupts::without(|| *ON_TICK.lock() = Some(work));
}

/// Starts this CPU's timer, which then does what [`set_on_tick`] was told, once each [`period`].
pub fn start_ticking() {
    kernel::timer::start(period(), tick);
}

/// The period of the timers.
///
/// It grows with the number of CPUs, for under TCG they share few host CPUs: at 64 CPUs and
/// one tick a millisecond the host would do nothing but deliver ticks.
#[must_use]
pub fn period() -> Duration {
    let cpus = u32::try_from(kernel::cpu::count()).unwrap_or(u32::MAX);
    Duration::from_micros(500) * cpus.max(2)
}

fn tick() {
    // Copied out, so that the lock is not held while the work is done.
    let work = *ON_TICK.lock();
    if let Some(work) = work {
        work();
    }
}

/// Runs futures side by side on one CPU: is ready when all of them are, with what they returned.
///
/// They are polled in order whenever one of them is woken: for a handful.
///
/// # Panics
///
/// If it is polled again after it was ready.
pub fn join<'a, T, const N: usize>(
    mut futures: [Pin<&'a mut dyn Future<Output = T>>; N],
) -> impl Future<Output = [T; N]> + use<'a, T, N> {
    let mut outputs: [Option<T>; N] = array::from_fn(|_| None);
    future::poll_fn(move |context| {
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_some() {
                continue;
            }
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                *output = Some(value);
            }
        }
        if outputs.iter().any(Option::is_none) {
            return Poll::Pending;
        }
        Poll::Ready(
            outputs
                .each_mut()
                .map(|output| output.take().expect("polled again after it was ready")),
        )
    })
}
