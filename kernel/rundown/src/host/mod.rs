//! Rundown protection for the threads of a hosted program: [`HostPlatform`] and its wait policy,
//! [`Park`].

mod event_count;
#[cfg(target_os = "linux")]
mod key;
mod numbers;
#[cfg(all(
    target_os = "linux",
    target_arch = "x86_64",
    target_pointer_width = "64",
    // Neither sees what assembly does, nor what the kernel does for it.
    not(any(miri, rundown_tsan))
))]
mod per_cpu;
#[cfg(not(all(
    target_os = "linux",
    target_arch = "x86_64",
    target_pointer_width = "64",
    not(any(miri, rundown_tsan))
)))]
#[path = "unsupported.rs"]
mod per_cpu;

use core::fmt;
use std::eprintln;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use self::event_count::EventCount;
use crate::per_cpu::Unavailable;
use crate::platform::{AsyncPlatform, Clock, ObjectId, Platform, Wait, Waiting};
use crate::wakers::Wakers;

/// Threads instead of CPUs. Its [clock](Clock) counts nanoseconds, its reports go to the standard error.
///
/// [`cpu_hint`](Platform::cpu_hint) is the number of the CPU that runs the thread, where Linux keeps it in the
/// thread's memory (`rseq`: on x86-64 with glibc 2.35 or later, and on threads that use per-CPU counters). So a
/// cache-aware object has best as many slots as the machine has CPUs. Elsewhere it is the lowest
/// number that no other living thread has.
///
/// A wake-up takes a lock if something waits, so the last release must not happen in a signal handler: no release
/// there of a closed object.
///
/// # Per-CPU counters
/// On Linux on x86-64 it has them ([`PerCpu`](crate::PerCpu)), so threads may use the fastest kind,
/// [`PerCpuRundown`](crate::PerCpuRundown). Not every kernel does, nor every sandbox; then there is the
/// next best:
///
/// ```
/// use rundown::{CacheAwareRundown, HostPlatform, PerCpuRundown, Protected, RunDownError, Spin};
///
/// # #[derive(Debug)]
/// struct Routes(Vec<u32>);
///
/// enum Table {
///     Fast(Protected<Routes, PerCpuRundown<HostPlatform>>),
///     Portable(Protected<Routes, CacheAwareRundown<HostPlatform>>),
/// }
///
/// impl Table {
///     fn new(routes: Routes) -> Self {
///         match PerCpuRundown::new() {
///             Ok(rundown) => Self::Fast(Protected::new(rundown, routes)),
///             // `why` is worth a line in the log.
///             Err(_why) => Self::Portable(Protected::new(CacheAwareRundown::boxed(8), routes)),
///         }
///     }
///
///     fn first(&self) -> Option<u32> {
///         match self {
///             Self::Fast(table) => table.try_acquire()?.0.first().copied(),
///             Self::Portable(table) => table.try_acquire()?.0.first().copied(),
///         }
///     }
/// }
///
/// assert_eq!(Table::new(Routes(vec![7])).first(), Some(7));
/// ```
///
/// Acquire and release may be called in signal handlers, on any thread, one that has not
/// counted before included, and leave `errno` alone. (But on systems other than Linux, a thread's first acquire
/// of a cache-aware object registers a destructor, which may allocate memory.) To make and to close an object
/// may not: a barrier takes a lock.
///
/// # Child processes
/// After `fork`, the child's objects are as they were in the parent, with what was held by threads that
/// the child does not have. If the parent had other threads, the child must not close (POSIX leaves it the
/// functions that are legal in signal handlers).
///
/// A child that shares its parent's memory without being a thread (`vfork`, `clone` with `CLONE_VM` alone) must not
/// acquire or release per-CPU objects: they would miscount. It runs on its parent's thread pointer, so it finds
/// its parent's `rseq` with the number of a CPU in it, and takes it for its own. But Linux does not register
/// such a child: it neither keeps that number up to date nor restarts the child's sequences. So the child
/// writes another CPU's counter, by an instruction that is not locked, and a barrier does not stop it. The other
/// variants work there. (`posix_spawn` and [`Command`](std::process::Command) run nothing of the program's in such
/// a child.)
///
/// # Limits
/// There are at most 524,288 counters at a time.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostPlatform;

/// Blocks the thread until the object is drained. For [`HostPlatform`] only.
#[derive(Clone, Copy, Debug, Default)]
pub struct Park;

impl HostPlatform {
    /// The deadline that is so far from now, for
    /// [`wait_deadline`](crate::Rundown::wait_deadline).
    #[must_use]
    pub fn after(time: Duration) -> u64 {
        Self::now().saturating_add(nanoseconds(time))
    }

    /// Whether [`PerCpuRundown`](crate::PerCpuRundown) can be used in this process: it needs the
    /// system calls `rseq` (Linux 4.18) and `membarrier` for it (Linux 5.10), on x86-64. The answer
    /// does not change. Not in a signal handler.
    ///
    /// # Errors
    /// [`Unavailable::Unsupported`], with what is missing.
    pub fn per_cpu() -> Result<(), Unavailable> {
        per_cpu::prepare()
    }

    /// How many [barriers](crate::PerCpu::barrier) the process has had. Those that were asked for
    /// while another one was under way count once.
    #[must_use]
    pub fn barriers() -> u64 {
        per_cpu::barriers()
    }

    /// How often an acquire or release of a [`PerCpuRundown`](crate::PerCpuRundown) was interrupted
    /// before it had counted, and started again. For tests, and for the curious.
    #[must_use]
    pub fn restarts() -> u64 {
        per_cpu::restarts()
    }
}

impl Platform for HostPlatform {
    #[inline]
    fn cpu_hint() -> usize {
        match per_cpu::cpu_hint() {
            Some(cpu) => cpu,
            None => numbers::of_this_thread(),
        }
    }

    fn wake_waiters(object: ObjectId) {
        // Its fence is the one that the futures' side needs, too.
        bell(object).signal();
        WAKERS.wake_fenced(object);
    }

    fn tick() -> u64 {
        Self::now()
    }

    fn report(text: fmt::Arguments<'_>) {
        eprintln!("{text}");
    }
}

impl Clock for HostPlatform {
    /// In nanoseconds since it was first asked.
    fn now() -> u64 {
        static START: OnceLock<Instant> = OnceLock::new();
        nanoseconds(START.get_or_init(Instant::now).elapsed())
    }
}

impl AsyncPlatform for HostPlatform {
    fn wakers() -> &'static Wakers {
        &WAKERS
    }
}

impl Wait for Park {
    fn wait_until(&self, waiting: Waiting, ready: &mut dyn FnMut() -> bool) {
        bell(waiting.object).wait_until(ready, || {
            let deadline = waiting.deadline?;
            Some(Duration::from_nanos(
                deadline.saturating_sub(HostPlatform::now()),
            ))
        });
    }
}

static WAKERS: Wakers = Wakers::new();

/// Objects share them: a thread may be woken for another object.
static BELLS: [EventCount; 64] = [const { EventCount::new() }; 64];

fn bell(object: ObjectId) -> &'static EventCount {
    &BELLS[object.bucket(BELLS.len())]
}

/// 2^64 nanoseconds are 584 years.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
