//! Rundown protection for the threads of a hosted program: [`HostPlatform`] and its wait policy,
//! [`Park`].

use core::cell::Cell;
use core::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use std::{eprintln, thread_local};

use crate::platform::{AsyncPlatform, Clock, ObjectId, Platform, Wait, Waiting};
use crate::wakers::Wakers;

/// Threads instead of CPUs: each thread gets an index of its own when it first asks. Its
/// [clock](Clock) counts nanoseconds, its reports go to the standard error.
///
/// Its wake-up takes a lock, so the last release must not happen in a signal handler.
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
