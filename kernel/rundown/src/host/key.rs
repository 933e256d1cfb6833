//! Thread-specific keys: what a thread gives back at its end, and a signal handler may have taken.
//!
//! Rust's own thread-local variables with destructors register them in allocated memory, which a
//! signal handler must not do. The value of a key can be set without, within limits.
//!
//! `unsafe` in this module: the C library's functions.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};

/// Keys whose values can be set without allocating: glibc has room for the first 32 in the thread
/// itself (`PTHREAD_KEY_2NDLEVEL_SIZE` in its `internaltypes.h`), musl for all.
const WITHOUT_ALLOCATION: libc::pthread_key_t =
    if cfg!(target_env = "gnu") { 32 } else { libc::pthread_key_t::MAX };

/// A key with a destructor, which is called when a thread ends that has [set](Self::set) it.
pub(super) struct TlsKey {
    destructor: extern "C" fn(*mut c_void),
    /// Its number, or [`NO_KEY`] until it is first set.
    number: AtomicU32,
}

const NO_KEY: u32 = u32::MAX;

impl TlsKey {
    /// The destructor is sound for any value.
    pub(super) const fn new(destructor: extern "C" fn(*mut c_void)) -> Self {
        Self { destructor, number: AtomicU32::new(NO_KEY) }
    }

    /// Has the destructor called when the calling thread ends. `false` if all keys are in use, or
    /// if to set this one would allocate memory. Also in a signal handler.
    pub(super) fn set(&self) -> bool {
        // Anything but null has the destructor called.
        self.known().or_else(|| self.create()).is_some_and(|key| {
            // SAFETY: the key was created.
            unsafe { libc::pthread_setspecific(key, ptr::without_provenance(1)) == 0 }
        })
    }

    fn known(&self) -> Option<u32> {
        // Relaxed: pairs with the exchange in `create`; a key is a number.
        match self.number.load(Ordering::Relaxed) {
            NO_KEY => None,
            number => Some(number),
        }
    }

    /// Also in a signal handler: glibc compares and exchanges, musl has a lock and blocks signals.
    fn create(&self) -> Option<u32> {
        let mut key = 0;
        // SAFETY: `key` is a place for the key, and the destructor is sound for any value.
        if unsafe { libc::pthread_key_create(&raw mut key, Some(self.destructor)) } != 0 {
            return None;
        }
        let take = |key| {
            // Relaxed, twice: pairs with the load in `known`.
            self.number.compare_exchange(NO_KEY, key, Ordering::Relaxed, Ordering::Relaxed)
        };
        if key < WITHOUT_ALLOCATION && take(key).is_ok() {
            return Some(key);
        }
        // SAFETY: it was created above, and no thread has set it.
        unsafe { libc::pthread_key_delete(key) };
        // Another call may have been faster.
        self.known()
    }
}

/// Runs `work`, and leaves `errno` as it was: for what may happen in a signal handler.
pub(super) fn keeping_errno<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: the C library's own, for this thread.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: always valid.
    let saved = unsafe { *errno };
    let answer = work();
    // SAFETY: as above.
    unsafe { *errno = saved };
    answer
}
