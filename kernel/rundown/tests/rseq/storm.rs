//! More threads than CPUs, which move and are interrupted by signals whose handlers count, too, while the
//! object is closed all the time.

use std::ffi::{c_int, c_void};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::time::Duration;
use std::{ptr, thread};

use rundown::{HostPlatform, Park, WaitOutcome};

use crate::stepper::handle;
use crate::support::affinity;
use crate::{Object, alone, object};

const THREADS: usize = 6;

/// What the handlers use, and how often they were granted it and refused.
static OBJECT: AtomicPtr<Object> = AtomicPtr::new(ptr::null_mut());
static GRANTED: AtomicU64 = AtomicU64::new(0);
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// Raised while nothing may hold the object.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// In the middle of anything, also of the thread's own acquire or release.
extern "C" fn interrupted(_: c_int, _: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: null, or an object that lives until all threads have ended.
    let Some(object) = (unsafe { OBJECT.load(Ordering::SeqCst).as_ref() }) else {
        return;
    };
    // The last release would wake the waiter, which a handler must not do.
    if !KEPT.with(|kept| kept.load(Ordering::Relaxed)) {
        return;
    }
    match object.try_acquire() {
        Some(guard) => {
            assert!(!CLOSED.load(Ordering::SeqCst), "granted after the drain");
            drop(guard);
            GRANTED.fetch_add(1, Ordering::Relaxed);
        }
        None => {
            REFUSED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

thread_local! {
    /// Whether the thread holds the object: then a release in a handler is never the last.
    static KEPT: AtomicBool = const { AtomicBool::new(false) };
}

fn kept(is: bool) {
    KEPT.with(|kept| kept.store(is, Ordering::Relaxed));
}

fn user(object: &Object, number: usize, stop: &AtomicBool) {
    let mut round = number;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        if round.is_multiple_of(64) {
            affinity::move_to(affinity::allowed(round / 64));
        }
        for _ in 0..50 {
            let Some(outer) = object.try_acquire() else {
                thread::yield_now();
                continue;
            };
            assert!(!CLOSED.load(Ordering::SeqCst), "granted after the drain");
            kept(true);
            for _ in 0..50 {
                drop(object.try_acquire());
            }
            assert!(!CLOSED.load(Ordering::SeqCst), "drained while held");
            kept(false);
            drop(outer);
        }
    }
}

#[test]
fn signals_and_migrations_lose_nothing() {
    alone(|| {
        let Some(object) = object() else {
            return;
        };
        handle(libc::SIGALRM, interrupted);
        OBJECT.store((&raw const object).cast_mut(), Ordering::SeqCst);
        let before = HostPlatform::restarts();
        let stop = AtomicBool::new(false);
        let mut closes = 0_u32;
        let threads = Mutex::new(Vec::new());
        thread::scope(|scope| {
            // Not joined (and their names not given away) before the last signal.
            let users: Vec<_> = (0..THREADS)
                .map(|number| {
                    let (object, stop, threads) = (&object, &stop, &threads);
                    scope.spawn(move || {
                        // SAFETY: has no preconditions.
                        let me = unsafe { libc::pthread_self() };
                        threads.lock().expect("no failure").push(me);
                        user(object, number, stop);
                    })
                })
                .collect();
            let signaller = scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    for &thread in threads.lock().expect("no failure").iter() {
                        // SAFETY: the thread is not joined yet.
                        unsafe { libc::pthread_kill(thread, libc::SIGALRM) };
                    }
                    thread::sleep(Duration::from_micros(50));
                }
            });
            while closes <= 300
                || HostPlatform::restarts() - before <= 20
                || GRANTED.load(Ordering::Relaxed) <= 100
            {
                assert_eq!(object.wait(&Park), WaitOutcome::Drained);
                CLOSED.store(true, Ordering::SeqCst);
                assert_eq!(object.racy_held(), 0);
                thread::yield_now();
                CLOSED.store(false, Ordering::SeqCst);
                object.reinit().expect("drained");
                closes += 1;
                thread::sleep(Duration::from_micros(200));
            }
            stop.store(true, Ordering::Relaxed);
            signaller.join().expect("no failure");
            drop(users);
        });
        OBJECT.store(ptr::null_mut(), Ordering::SeqCst);
        object.close();
        assert!(object.is_drained());
    });
}
