//! Rundown protection for the threads of a hosted program: [`HostPlatform`] and its wait policy,
//! [`Park`].

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

use core::cell::Cell;
use core::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use std::{eprintln, thread_local};

use crate::counter_id::Unavailable;
use crate::object_id::ObjectId;
use crate::platform::{AsyncPlatform, Clock, Platform, Wait, Waiting};
use crate::wakers::Wakers;

/// Threads instead of CPUs: each thread gets an index of its own when it first asks. Its
/// [clock](Clock) counts nanoseconds, its reports go to the standard error.
///
/// Its wake-up takes a lock, so the last release must not happen in a signal handler: no release
/// there of a closed object.
///
/// # Per-CPU counters
/// On Linux on x86-64 it has them ([`PerCpuPlatform`](crate::PerCpuPlatform)), so threads may use the fastest kind,
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
/// counted before included. To make and to close an object may not: a barrier takes a lock.
///
/// After `fork`, the child's objects are as they were in the parent, with what was held by threads that
/// the child does not have. If the parent had other threads, the child must not close (POSIX leaves it the
/// functions that are legal in signal handlers).
///
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

    /// How many [barriers](crate::PerCpuPlatform::barrier) the process has had. Those that were asked for
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

/// No thread's index.
const UNASKED: usize = usize::MAX;

thread_local! {
    // A constant first value: reading it is one load, without a test whether it is initialised.
    static INDEX: Cell<usize> = const { Cell::new(UNASKED) };
}

/// The first time that a thread asks for its index.
#[cold]
fn number_this_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    // Relaxed: pairs with nothing, each thread only needs another number.
    let index = NEXT.fetch_add(1, Ordering::Relaxed);
    INDEX.set(index);
    index
}

impl Platform for HostPlatform {
    #[inline]
    fn cpu_hint() -> usize {
        match INDEX.get() {
            UNASKED => number_this_thread(),
            index => index,
        }
    }

    fn wake_waiters(object: ObjectId) {
        bell(object).ring();
        WAKERS.wake(object);
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
        let bell = bell(waiting.object);
        loop {
            // Before the look: a ring after it is then never missed.
            let heard = bell.rings();
            if ready() {
                return;
            }
            bell.sleep_unless_rung_since(heard, waiting.deadline);
        }
    }
}

static WAKERS: Wakers = Wakers::new();

/// Objects share them: a thread may be woken for another object.
static BELLS: [Bell; 64] = [const { Bell::new() }; 64];

fn bell(object: ObjectId) -> &'static Bell {
    &BELLS[object.bucket(BELLS.len())]
}

/// 2^64 nanoseconds are 584 years.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// An event count: who has noted how often it rang will not sleep through the next ring.
struct Bell {
    rings: Mutex<u64>,
    rung: Condvar,
}

impl Bell {
    const fn new() -> Self {
        Self {
            rings: Mutex::new(0),
            rung: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        // The count is right after every step, so a panic elsewhere means nothing here.
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rings(&self) -> u64 {
        *self.lock()
    }

    fn ring(&self) {
        *self.lock() += 1;
        self.rung.notify_all();
    }

    /// Sleeps until the next ring, at most until `deadline`.
    fn sleep_unless_rung_since(&self, heard: u64, deadline: Option<u64>) {
        let mut rings = self.lock();
        while *rings == heard {
            rings = match deadline {
                None => self
                    .rung
                    .wait(rings)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_sub(HostPlatform::now());
                    if left == 0 {
                        return;
                    }
                    self.rung
                        .wait_timeout(rings, Duration::from_nanos(left))
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }
}
