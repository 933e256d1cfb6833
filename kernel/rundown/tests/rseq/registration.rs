//! Which threads can count: with glibc's `rseq`, with this crate's own, with none.

use std::cell::RefCell;
use std::ffi::{c_int, c_long};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::{env, thread};

use rundown::{HostPlatform, Park, PerCpuPlatform, Unavailable, WaitOutcome};

use crate::hints::in_a_handler;
use crate::stepper::glibc_area;
use crate::{Object, alone, object};

/// Linux, `include/uapi/linux/rseq.h`, and glibc's `bits/rseq.h`.
const UNREGISTER: c_int = 1;
const SIGNATURE: u32 = 0x5305_3053;
const SIZE: u32 = 32;

/// The system call.
///
/// # Safety
/// The area lives until it is unregistered, or the thread's end.
unsafe fn rseq(area: *mut u8, flags: c_int) -> c_long {
    // SAFETY: as for this function.
    unsafe { libc::syscall(libc::SYS_rseq, area, SIZE, flags, SIGNATURE) }
}

/// The count of threads without `rseq`: in the last slot.
fn without(object: &Object) -> i64 {
    object.racy_counts().last().expect("there is one")
}

/// Users and an owner, for a while; each user thread begins with `prepare`.
fn serves(object: &Object, prepare: impl Fn(usize) + Sync) {
    let stop = AtomicBool::new(false);
    let users = AtomicU64::new(0);
    let grants = AtomicU64::new(0);
    thread::scope(|scope| {
        for number in 0..4 {
            let (stop, users, grants, prepare) = (&stop, &users, &grants, &prepare);
            scope.spawn(move || {
                prepare(number);
                while !stop.load(Ordering::Relaxed) {
                    if let Some(_guard) = object.try_acquire() {
                        users.fetch_add(1, Ordering::Relaxed);
                        grants.fetch_add(1, Ordering::Relaxed);
                        users.fetch_sub(1, Ordering::Relaxed);
                    } else {
                        thread::yield_now();
                    }
                }
            });
        }
        let mut closes = 0;
        while closes < 300 || grants.load(Ordering::Relaxed) < 10_000 {
            assert_eq!(object.wait(&Park), WaitOutcome::Drained);
            assert_eq!(users.load(Ordering::Relaxed), 0, "drained while held");
            object.reinit().expect("drained");
            closes += 1;
            thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
    });
    object.close();
    assert!(object.is_drained());
}

#[test]
fn threads_count_from_first_to_last() {
    alone(|| {
        if let Some(object) = object() {
            serves(&object, |_| ());
            assert_eq!(without(&object), 0, "all threads have rseq");
            // In a handler on a thread that has not counted; in destructors of thread-locals.
            object.reinit().expect("drained");
            in_a_handler(Some(&object), false);
            until_the_end(&object);
        }
    });
}

/// Some of the threads lose glibc's `rseq`: they count together.
#[test]
fn threads_without_rseq_count_too() {
    alone(|| {
        let Some(object) = object() else {
            return;
        };
        let Some(_) = glibc_area() else {
            return; // Covered by `a_process_without_glibcs_rseq`.
        };
        serves(&object, |number| {
            if number % 2 == 0 {
                lose_rseq();
            }
        });
        object.reinit().expect("drained");
        thread::scope(|scope| {
            scope.spawn(|| {
                lose_rseq();
                object.acquire_many(5).expect("open");
                assert_eq!(without(&object), 5);
            });
        });
        // SAFETY: acquired above.
        unsafe { object.release_many(5) };
        assert_eq!((without(&object), object.racy_held()), (5, 0));
    });
}

/// From here on the calling thread, which has not counted yet, counts as one without `rseq`.
fn lose_rseq() {
    if let Some(area) = glibc_area() {
        // SAFETY: glibc's own; nothing else here needs it.
        assert_eq!(unsafe { rseq(area, UNREGISTER) }, 0);
    } else {
        register_elsewhere();
    }
}

/// The child is this test program again, with one test.
pub(crate) fn run_without_glibcs_rseq(test: &str) {
    let output = Command::new(env::current_exe().expect("this program"))
        .args([test, "--exact", "--ignored", "--nocapture"])
        // glibc manual, "Restartable Sequences".
        .env("GLIBC_TUNABLES", "glibc.pthread.rseq=0")
        .output()
        .expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(text.contains("1 passed"), "{text}\n{errors}");
}

#[test]
fn a_process_without_glibcs_rseq() {
    run_without_glibcs_rseq("registration::with_the_crates_own");
}

#[test]
#[ignore = "a_process_without_glibcs_rseq runs it in a process of its own"]
fn with_the_crates_own() {
    alone(|| {
        assert!(glibc_area().is_none(), "the tunable has no effect");
        let Some(object) = object() else {
            return;
        };
        serves(&object, |_| ());
        assert_eq!(without(&object), 0, "each thread registers itself");
        object.reinit().expect("drained");
        in_a_handler(Some(&object), false);
        until_the_end(&object);
        assert_eq!(without(&object), 0, "also in a handler, also late");

        // Another library was faster on some threads.
        let other = Object::new().expect("there was one");
        serves(&other, |number| {
            if number % 2 == 0 {
                register_elsewhere();
            }
        });
        thread::scope(|scope| {
            scope.spawn(|| {
                register_elsewhere();
                object.acquire().expect("open");
            });
        });
        assert_eq!((without(&object), object.racy_held()), (1, 1));
        // SAFETY: acquired above.
        unsafe { object.release() };
        object.close();
        assert!(object.is_drained());
    });
}

/// A thread's registration must not allocate, and glibc does so for the 33rd thread-specific value.
#[test]
#[cfg(target_env = "gnu")]
fn a_process_with_many_keys() {
    // Otherwise something else is missing.
    if object().is_some() {
        run_without_glibcs_rseq("registration::with_forty_keys");
    }
}

#[test]
#[cfg(target_env = "gnu")]
#[ignore = "a_process_with_many_keys runs it in a process of its own"]
fn with_forty_keys() {
    let create = || {
        let mut key = 0;
        // SAFETY: the key is a place for it; it has no destructor.
        assert_eq!(unsafe { libc::pthread_key_create(&raw mut key, None) }, 0);
        key
    };
    alone(move || {
        assert!(glibc_area().is_none(), "the tunable has no effect");
        for _ in 0..40 {
            create();
        }
        let next = create();
        // SAFETY: created just now; no thread has a value.
        assert_eq!(unsafe { libc::pthread_key_delete(next) }, 0);
        let Err(Unavailable::Unsupported(why)) = HostPlatform::per_cpu() else {
            panic!("registers threads by a key whose values are allocated");
        };
        assert!(why.contains("keys") && why.contains("CacheAwareRundown"));
        assert_eq!(create(), next, "its key is given back");
        assert!(object().is_none());
    });
}

/// As another library would.
pub(crate) fn register_elsewhere() {
    #[repr(align(32))]
    struct Area([u8; SIZE as usize]);
    let area = Box::leak(Box::new(Area([0; SIZE as usize])));
    // SAFETY: leaked.
    assert_eq!(unsafe { rseq(area.0.as_mut_ptr(), 0) }, 0);
}

/// Counts when its thread ends, after whatever else has a destructor.
struct Last(*const Object);

impl Drop for Last {
    fn drop(&mut self) {
        // SAFETY: it outlives the thread.
        let object = unsafe { &*self.0 };
        object.acquire().expect("open");
        // SAFETY: acquired just now.
        unsafe { object.release() };
    }
}

fn until_the_end(object: &Object) {
    thread_local! {
        static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
    }
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            LAST.set(Some(Last(object)));
            drop(object.try_acquire());
        });
        // The scope's end would not wait for destructors.
        thread.join().expect("no failure");
    });
    assert_eq!(object.racy_held(), 0);
}

/// The child of a `fork` need not register for barriers again.
#[test]
fn a_child_inherits_the_barrier() {
    const PRIVATE_EXPEDITED_RSEQ: c_int = 1 << 7;
    alone(|| {
        if object().is_none() {
            return;
        }
        HostPlatform::barrier();
        // SAFETY: the child makes two system calls.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: touches no memory.
            let failed =
                unsafe { libc::syscall(libc::SYS_membarrier, PRIVATE_EXPEDITED_RSEQ, 0, 0) };
            // SAFETY: ends the child.
            unsafe { libc::_exit(i32::from(failed != 0)) };
        }
        assert!(child > 0, "{}", std::io::Error::last_os_error());
        let mut status = -1;
        // SAFETY: the status is a place for it.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0, "the child was refused");
    });
}
