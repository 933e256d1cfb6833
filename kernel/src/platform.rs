//! The services that the `rundown` crate needs: a CPU's number, the time, a way to sleep and be
//! woken, and per-CPU counters.

mod per_cpu;

use core::{
    fmt,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence},
};

use bringup::MAX_CPUS;
use rundown::{ObjectId, Waiting, Wakers};

use crate::{
    barrier,
    cpu::{self, CpuIndex},
    interrupts, ipi, log,
    per_cpu::per_cpu,
    time, timer,
};

per_cpu! {
    /// The thing that it [sleeps](sleep) for. Written by its own CPU only.
    static SLEEPS_FOR: AtomicUsize = AtomicUsize::new(0);
}

/// This kernel, as `rundown` sees it.
#[derive(Clone, Copy, Debug)]
pub struct KernelPlatform;

impl rundown::Platform for KernelPlatform {
    fn cpu_hint() -> usize {
        cpu::current().get()
    }

    /// Wakes CPUs that sleep for this object, and those that run futures. Any context, NMI too.
    fn wake_waiters(object: ObjectId) {
        WAKERS.ring(object);
        wake_if(|sleeps_for| sleeps_for == object.get() || sleeps_for == FUTURES);
    }

    fn tick() -> u64 {
        time::nanos()
    }

    fn report(text: fmt::Arguments<'_>) {
        log!("{text}");
    }
}

impl rundown::Clock for KernelPlatform {
    fn now() -> u64 {
        time::nanos()
    }
}

impl rundown::AsyncPlatform for KernelPlatform {
    fn wakers() -> &'static Wakers {
        &WAKERS
    }
}

/// Rung by `wake_waiters`, delivered by executors.
static WAKERS: Wakers = Wakers::new();

impl KernelPlatform {
    /// Wakes every CPU that sleeps in [`Halt`], whatever for. Any context, NMI included.
    pub fn wake_all() {
        wake_if(|_| true);
    }
}

/// Waits in `hlt`, woken by [`KernelPlatform`] or by any other interrupt.
///
/// Interrupts must be on, since `hlt` needs them, and the code not in a handler; else it spins.
#[derive(Clone, Copy, Debug, Default)]
pub struct Halt;

impl rundown::Wait for Halt {
    fn wait_until(&self, waiting: Waiting, ready: &mut dyn FnMut() -> bool) {
        sleep(waiting.object.get(), waiting.deadline, ready);
    }
}

impl Halt {
    /// Returns once `ready()` has returned `true`; asks again after every interrupt. For events
    /// whose makers call [`KernelPlatform::wake_all`] or send this CPU an interrupt.
    pub fn until(&self, ready: &mut dyn FnMut() -> bool) {
        sleep(ANYTHING, None, ready);
    }

    /// As `until`, but for at most `nanos`. Whether `ready()` has returned `true`.
    pub(crate) fn until_or_for(&self, nanos: u64, ready: &mut dyn FnMut() -> bool) -> bool {
        let deadline = time::nanos() + nanos;
        let mut is_ready = false;
        sleep(ANYTHING, Some(deadline), &mut || {
            is_ready = ready();
            is_ready || time::nanos() >= deadline
        });
        is_ready
    }

    /// As `until`, woken by every drained object, too: for an executor.
    pub fn until_futures(&self, ready: &mut dyn FnMut() -> bool) {
        sleep(FUTURES, None, ready);
    }
}

/// For a CPU that does not sleep for an object, whose address is aligned.
const ANYTHING: usize = 1;
const FUTURES: usize = 2;

/// A bit per CPU that sleeps in [`Halt`], or is about to. Outlives every object, so waking touches
/// none (S3).
static SLEEPERS: [AtomicU64; MAX_CPUS / 64] = [const { AtomicU64::new(0) }; MAX_CPUS / 64];

/// Sleeps until `ready()`, which is asked after each interrupt and soon after `deadline`.
fn sleep(what_for: usize, deadline: Option<u64>, ready: &mut dyn FnMut() -> bool) {
    if !interrupts::enabled() || interrupts::in_handler() {
        while !ready() {
            // The CPU that will make `ready` true may itself wait for this one at a barrier.
            barrier::serve();
            core::hint::spin_loop();
        }
        return;
    }
    let me = cpu::current().get();
    let (word, bit) = (&SLEEPERS[me / 64], 1 << (me % 64));
    SLEEPS_FOR.here().store(what_for, Ordering::Relaxed);
    // Release: pairs with the load in `wake_if`: a CPU that sees the bit sees this one's object.
    word.fetch_or(bit, Ordering::Release);
    // Pairs with the fence in `wake_if`.
    fence(Ordering::SeqCst);
    interrupts::halt_until(|| {
        let ready = ready();
        // Each time anew: the last one may have come, or a handler may have stopped the timer.
        if let (false, Some(deadline)) = (ready, deadline) {
            timer::set_alarm(deadline.saturating_sub(time::nanos()));
        }
        ready
    });
    word.fetch_and(!bit, Ordering::Relaxed);
    if deadline.is_some() {
        interrupts::without(timer::clear_alarm);
    }
}

/// Wakes the CPUs that sleep for something that `concerns` them.
fn wake_if(concerns: impl Fn(usize) -> bool) {
    // Pairs with the fence in `sleep`: either the sleeper sees what was done before this call, or
    // this call sees its bit.
    fence(Ordering::SeqCst);
    for (word, sleepers) in SLEEPERS.iter().enumerate() {
        // Acquire: pairs with the Release in `sleep`.
        let mut sleepers = sleepers.load(Ordering::Acquire);
        while sleepers != 0 {
            let sleeper = CpuIndex::new(word as u32 * u64::BITS + sleepers.trailing_zeros());
            sleepers &= sleepers - 1;
            // Relaxed: the fences order it as they do the bit. (Should the CPU sleep for something
            // else by now, it has looked after this call began.)
            let what_for = SLEEPS_FOR.of(sleeper);
            let what_for = what_for.map_or(ANYTHING, |what| what.load(Ordering::Relaxed));
            if concerns(what_for) {
                ipi::wake(sleeper);
            }
        }
    }
}
