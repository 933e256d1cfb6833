//! The barrier: `membarrier` interrupts all running threads of the process and restarts their
//! sequences. Calls that arrive while one is under way share the next.
//!
//! `unsafe` in this module: the system call.

use core::ffi::{c_int, c_long};
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{io, thread};

use super::unregistered;
use crate::counter_id::Unavailable;

// Linux, `include/uapi/linux/membarrier.h`.
const PRIVATE_EXPEDITED_RSEQ: c_int = 1 << 7;
const REGISTER_PRIVATE_EXPEDITED_RSEQ: c_int = 1 << 8;

/// Announces that the process will ask for barriers. Children inherit that by `fork`.
pub(super) fn register() -> Result<(), Unavailable> {
    membarrier(REGISTER_PRIVATE_EXPEDITED_RSEQ).map_err(|_| {
        Unavailable::Unsupported(
            "the kernel has no membarrier for rseq (Linux 5.10 brought it), or a filter of system \
             calls (seccomp) forbids it; use CacheAwareRundown",
        )
    })
}

/// [`PerCpu::barrier`](crate::PerCpuPlatform::barrier).
///
/// # Panics
/// If the kernel refuses it although it was registered.
pub(super) fn barrier() {
    if let Err(error) = BARRIER.answer(BARRIER.ask(), interrupt_all) {
        panic!("membarrier fails although the process is registered for it: {error}");
    }
}

/// [`HostPlatform::barriers`](crate::HostPlatform::barriers).
pub(in super::super) fn rounds() -> u64 {
    *BARRIER.lock()
}

static BARRIER: Combined = Combined::new();

/// Rounds that callers share: each has a whole round after its call.
struct Combined {
    /// How many rounds have begun.
    begun: AtomicU64,
    /// The number of the last round that was done. Locked while one is under way.
    done: Mutex<u64>,
}

impl Combined {
    const fn new() -> Self {
        Self {
            begun: AtomicU64::new(0),
            done: Mutex::new(0),
        }
    }

    /// Asks for a round that begins after this call: any with a higher number than this returns.
    fn ask(&self) -> u64 {
        // Release: pairs with the Acquire in `answer`: that round comes after what the caller did.
        // An add, since a load would release nothing.
        self.begun.fetch_add(0, Ordering::Release)
    }

    /// Returns when a round that was `asked` for is done; `round` makes one. One that was under way
    /// when it was asked for may have interrupted some threads before, so it does not count.
    fn answer(&self, asked: u64, round: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut done = self.lock();
        // Another caller may have made it while this one waited for the lock.
        if *done <= asked {
            // Acquire: pairs with the Release in `ask`.
            let mine = self.begun.fetch_add(1, Ordering::Acquire) + 1;
            // If it fails, it is no round: the others find out for themselves.
            round()?;
            *done = mine;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        // The number is right after every step, so a panic elsewhere means nothing here.
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One round. Threads that do not run now were interrupted when they stopped running.
fn interrupt_all() -> io::Result<()> {
    loop {
        match membarrier(PRIVATE_EXPEDITED_RSEQ) {
            Ok(()) => break,
            // The kernel was short of memory for its list of CPUs.
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => thread::yield_now(),
            Err(error) => return Err(error),
        }
    }
    unregistered::wait();
    Ok(())
}

fn membarrier(command: c_int) -> io::Result<()> {
    let (flags, cpu): (c_int, c_int) = (0, 0);
    // SAFETY: touches no memory of ours.
    let done: c_long = unsafe { libc::syscall(libc::SYS_membarrier, command, flags, cpu) };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;

    /// They ask while the first is under way.
    #[test]
    fn late_callers_share_the_next_round() {
        let barrier = Combined::new();
        let rounds = Cell::new(0);
        let round = || {
            rounds.set(rounds.get() + 1);
            Ok(())
        };
        let mut late = [0; 10];
        let first = barrier.answer(barrier.ask(), || {
            late = late.map(|_| barrier.ask());
            round()
        });
        first.expect("a round");
        for asked in late {
            barrier.answer(asked, round).expect("another round");
        }
        assert_eq!((rounds.get(), *barrier.lock()), (2, 2));
    }

    #[test]
    fn a_round_that_fails_is_no_round() {
        let barrier = Combined::new();
        let asked = [barrier.ask(), barrier.ask()];
        let failed = barrier.answer(asked[0], || Err(io::ErrorKind::Other.into()));
        assert!(failed.is_err());
        let again = Cell::new(false);
        let answered = barrier.answer(asked[1], || {
            again.set(true);
            Ok(())
        });
        assert!(answered.is_ok() && again.get());
    }
}
