//! Thread-specific keys: for what a thread that ends must give back, and signal handlers may have taken.
//!
//! Rust's own thread-local variables with destructors register them in allocated memory, which a signal handler
//! must not do. The value of a key can be set without, within limits.
//!
//! `unsafe` in this module: the C library's functions.

use core::ffi::c_void;
use core::ptr;

/// Threads set their values when they first count, also in a signal handler: that must not allocate. glibc
/// has room for the first 32 keys' values in the thread itself (`PTHREAD_KEY_2NDLEVEL_SIZE` in its
/// `internaltypes.h`) and allocates it for the others; musl has room for all.
const WITHOUT_ALLOCATION: libc::pthread_key_t = if cfg!(target_env = "gnu") {
    32
} else {
    libc::pthread_key_t::MAX
};

/// A key with a destructor, which is called when a thread ends that has [set](Self::set) it.
#[derive(Clone, Copy)]
pub(super) struct Key(libc::pthread_key_t);

pub(super) enum KeyError {
    /// All are in use.
    NoneLeft,
    /// To set its value would allocate memory.
    Allocates,
}

impl Key {
    /// Also in a signal handler: glibc takes a key by a compare-exchange, musl under a lock, with signals
    /// blocked.
    pub(super) fn create(destructor: extern "C" fn(*mut c_void)) -> Result<Self, KeyError> {
        let mut key = 0;
        // SAFETY: `key` is a place for the key, and the destructor is sound for any value.
        if unsafe { libc::pthread_key_create(&raw mut key, Some(destructor)) } != 0 {
            return Err(KeyError::NoneLeft);
        }
        let key = Self(key);
        if key.0 >= WITHOUT_ALLOCATION {
            key.delete();
            return Err(KeyError::Allocates);
        }
        Ok(key)
    }

    /// The one with this [number](Self::get), created and not deleted.
    pub(super) fn from_number(number: u32) -> Self {
        Self(number)
    }

    pub(super) fn get(self) -> u32 {
        self.0
    }

    /// Gives it back. No thread has set it.
    pub(super) fn delete(self) {
        // SAFETY: it was created, and is deleted once.
        unsafe { libc::pthread_key_delete(self.0) };
    }

    /// Has the destructor called when the calling thread ends. Whether that succeeded. Also in a signal
    /// handler; allocates nothing.
    pub(super) fn set(self) -> bool {
        // Anything but null has the destructor called.
        // SAFETY: the key was created.
        unsafe { libc::pthread_setspecific(self.0, ptr::without_provenance(1)) == 0 }
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
