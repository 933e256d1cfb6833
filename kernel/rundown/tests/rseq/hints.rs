//! Which number a thread has ([`Platform::cpu_hint`]): its CPU's, or the lowest that no other
//! thread has; and that no first call in a signal handler changes `errno`.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};
use std::{ptr, thread};

use rundown::{CacheAwareRundown, HostPlatform, PerCpuPlatform, Platform, Slot};

use crate::registration::{register_elsewhere, run_without_glibcs_rseq};
use crate::stepper::{glibc_area, handle};
use crate::support::affinity;
use crate::{Object, alone, object};

/// Threads that end, one after another.
const ENDED: usize = 2_000;

#[test]
fn a_hint_is_the_cpus_number() {
    alone(|| {
        // Without glibc's: `a_process_without_glibcs_rseq_has_hints`. Without any: nothing to name.
        if glibc_area().is_none() || object().is_none() {
            return;
        }
        let cpus: Vec<_> = (0..8).map(affinity::allowed).collect();
        for cpu in cpus {
            thread::spawn(move || {
                affinity::move_to(cpu);
                assert_eq!(HostPlatform::cpu_hint(), cpu);
            })
            .join()
            .expect("no failure");
        }
        for _ in 0..ENDED {
            let hint = thread::spawn(HostPlatform::cpu_hint).join();
            // One more than there are CPUs.
            assert!(hint.expect("no failure") < HostPlatform::cpus() - 1);
        }
    });
}

#[test]
fn a_process_without_glibcs_rseq_has_hints() {
    run_without_glibcs_rseq("hints::below_the_number_of_threads");
}

#[test]
#[ignore = "a_process_without_glibcs_rseq_has_hints runs it in a process of its own"]
fn below_the_number_of_threads() {
    alone(|| {
        assert!(glibc_area().is_none(), "the tunable has no effect");
        for _ in 0..ENDED {
            let hint = thread::spawn(HostPlatform::cpu_hint).join();
            // The program's, the test's, the one that `alone` starts, and this.
            assert!(hint.expect("no failure") < 4);
        }
        let mine = HostPlatform::cpu_hint();
        let other = thread::spawn(HostPlatform::cpu_hint).join();
        assert_ne!(other.expect("no failure"), mine, "both live");
        in_a_handler(None, false);
        if let Some(object) = object() {
            // A thread that counts is registered, and knows its CPU from then on.
            in_a_handler(Some(&object), false);
            in_a_handler(Some(&object), true);
        }
    });
}

/// As with glibc's `rseq`, so that both are covered by one process.
#[test]
fn errno_survives_a_handler() {
    alone(|| in_a_handler(object().as_ref(), false));
}

static ERRNO_AFTER: AtomicI32 = AtomicI32::new(0);

fn errno() -> &'static AtomicI32 {
    // SAFETY: has no preconditions.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: the C library's own, for this thread, which uses it no longer than it lives.
    unsafe { AtomicI32::from_ptr(errno) }
}

/// No error has this number.
const UNTOUCHED: c_int = 4711;

extern "C" fn acquire(_: c_int, _: *mut libc::siginfo_t, _: *mut c_void) {
    let before = errno().swap(UNTOUCHED, Ordering::Relaxed);
    // SAFETY: null, or set by a caller that waits for the thread's end.
    if let Some(object) = unsafe { OBJECT.load(Ordering::Relaxed).as_ref() } {
        object.acquire().expect("open");
    }
    drop(SLOTS.try_acquire());
    ERRNO_AFTER.store(errno().swap(before, Ordering::Relaxed), Ordering::Relaxed);
}

static SLOTS: CacheAwareRundown<HostPlatform, [Slot; 4]> = CacheAwareRundown::new();
static OBJECT: AtomicPtr<Object> = AtomicPtr::new(ptr::null_mut());

/// The first acquire of a thread, in a handler; with per-CPU counters, also on a thread whose
/// `rseq` another library has registered (`elsewhere`), so that ours is refused.
pub(crate) fn in_a_handler(object: Option<&Object>, elsewhere: bool) {
    handle(libc::SIGUSR2, acquire);
    let address = object.map_or(ptr::null(), ptr::from_ref);
    OBJECT.store(address.cast_mut(), Ordering::Relaxed);
    thread::spawn(move || {
        if elsewhere {
            register_elsewhere();
        }
        // SAFETY: has a handler.
        unsafe { libc::raise(libc::SIGUSR2) };
    })
    .join()
    .expect("no failure");
    assert_eq!(ERRNO_AFTER.load(Ordering::Relaxed), UNTOUCHED);
    assert_eq!(SLOTS.racy_held(), 0);
    if let Some(object) = object {
        assert_eq!(object.racy_held(), 1);
        // SAFETY: acquired in the handler.
        unsafe { object.release() };
    }
}
