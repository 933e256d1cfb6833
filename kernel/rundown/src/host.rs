//! Rundown protection for the threads of a hosted program: [`HostPlatform`] and its wait policy,
//! [`Park`].

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread_local;

use crate::platform::{Platform, Wait};

/// Threads instead of CPUs: each thread gets an index of its own when it first asks.
///
/// Its wake-up takes a lock, so the last release must not happen in a signal handler.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostPlatform;

/// Blocks the thread until the object is drained. For [`HostPlatform`] only.
#[derive(Clone, Copy, Debug, Default)]
pub struct Park;

impl Platform for HostPlatform {
    fn cpu_hint() -> usize {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            // Relaxed: pairs with nothing, each thread only needs another number.
            static INDEX: usize = NEXT.fetch_add(1, Ordering::Relaxed);
        }
        // A thread that is being torn down has no index any more.
        INDEX.try_with(|index| *index).unwrap_or(0)
    }

    fn wake_waiters() {
        BELL.ring();
    }
}

impl Wait for Park {
    fn wait_until(&self, ready: &mut dyn FnMut() -> bool) {
        loop {
            // Before the look: a ring after it is then never missed.
            let heard = BELL.rings();
            if ready() {
                return;
            }
            BELL.sleep_unless_rung_since(heard);
        }
    }
}

static BELL: Bell = Bell {
    rings: Mutex::new(0),
    rung: Condvar::new(),
};

/// An event count: who has noted how often it rang will not sleep through the next ring.
struct Bell {
    rings: Mutex<u64>,
    rung: Condvar,
}

impl Bell {
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

    fn sleep_unless_rung_since(&self, heard: u64) {
        let mut rings = self.lock();
        while *rings == heard {
            rings = self
                .rung
                .wait(rings)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}
