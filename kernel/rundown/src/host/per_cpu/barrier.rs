//! The barrier: `membarrier` interrupts all running threads of the process and restarts their
//! sequences. Calls that arrive while one is under way share the next.
//!
//! `unsafe` in this module: the system call.

use core::ffi::{c_int, c_long};
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{io, thread};

use super::counters;
use crate::state::Unavailable;

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
    if let Err(error) = BARRIER.have_round_since(BARRIER.begun(), interrupt_all) {
        panic!("membarrier fails although the process is registered for it: {error}");
    }
}

/// [`HostPlatform::barriers`](crate::HostPlatform::barriers).
pub(in super::super) fn rounds() -> u64 {
    *BARRIER.lock()
}

static BARRIER: Combined = Combined { begun: AtomicU64::new(0), done: Mutex::new(0) };

/// Rounds that callers share: each has a whole round after its call.
#[derive(Default)]
struct Combined {
    /// How many have begun.
    begun: AtomicU64,
    /// How many had begun with the last one that is done. Held during a round.
    done: Mutex<u64>,
}

impl Combined {
    /// How many rounds have begun when the caller comes.
    fn begun(&self) -> u64 {
        // AcqRel: pairs with the addition in `have_round_since`: a round that begins later sees
        // what the caller did before. An addition of zero, since a load would release nothing.
        self.begun.fetch_add(0, Ordering::AcqRel)
    }

    /// Returns when a round is done that is not among the first `begun`; `round` makes one.
    fn have_round_since(
        &self,
        begun: u64,
        round: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut done = self.lock();
        // One that was under way may have interrupted some threads before this caller came.
        if *done <= begun {
            // AcqRel: pairs with the addition in `begun`.
            let this = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
            // If it fails, it does not count: the others find out for themselves.
            round()?;
            *done = this;
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
    counters::wait_for_unregistered();
    Ok(())
}

fn membarrier(command: c_int) -> io::Result<()> {
    let (flags, cpu): (c_int, c_int) = (0, 0);
    // SAFETY: touches no memory of ours.
    let done: c_long = unsafe { libc::syscall(libc::SYS_membarrier, command, flags, cpu) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three that come during the first round share the second, if that is well.
    #[test]
    fn late_callers_share_the_next_round() {
        for second_is_well in [true, false] {
            let barrier = Combined::default();
            let mut late = [0; 3];
            let first = || {
                late = [(); 3].map(|()| barrier.begun());
                Ok(())
            };
            let came_first = barrier.begun();
            assert!(barrier.have_round_since(came_first, first).is_ok());
            let mut rounds = 0;
            let [second, others @ ..] = late;
            let answer = barrier.have_round_since(second, || {
                rounds += 1;
                second_is_well.then_some(()).ok_or(io::ErrorKind::Other.into())
            });
            assert_eq!(answer.is_ok(), second_is_well);
            for other in others {
                let third = || {
                    rounds += 1;
                    Ok(())
                };
                assert!(barrier.have_round_since(other, third).is_ok());
            }
            assert_eq!(rounds, if second_is_well { 1 } else { 2 });
            assert_eq!(*barrier.lock(), 1 + rounds);
        }
    }
}
