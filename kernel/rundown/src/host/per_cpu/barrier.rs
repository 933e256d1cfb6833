//! The barrier: `membarrier` interrupts all running threads of the process and restarts their
//! sequences. Calls that arrive while one is under way share the next.
//!
//! `unsafe` in this module: the system call.

use core::ffi::{c_int, c_long};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::{io, thread};

use super::unregistered;
use crate::ids::Unavailable;

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
    if let Err(error) = BARRIER.call(interrupt_all) {
        panic!("membarrier fails although the process is registered for it: {error}");
    }
}

/// [`HostPlatform::barriers`](crate::HostPlatform::barriers).
pub(in super::super) fn rounds() -> u64 {
    BARRIER.lock().done
}

static BARRIER: Combined = Combined::new();

/// Rounds that callers share: each has a whole round after its call.
struct Combined {
    rounds: Mutex<Rounds>,
    /// A round has ended.
    changed: Condvar,
}

struct Rounds {
    /// One more than `done` while one is under way.
    begun: u64,
    done: u64,
    /// How many callers wait for the end of that one.
    waiting: usize,
}

impl Combined {
    const fn new() -> Self {
        Self {
            rounds: Mutex::new(Rounds {
                begun: 0,
                done: 0,
                waiting: 0,
            }),
            changed: Condvar::new(),
        }
    }

    /// Returns when a round that began after this call is done; `round` makes one.
    fn call(&self, round: impl Fn() -> io::Result<()>) -> io::Result<()> {
        let mut rounds = self.lock();
        // A round that is under way may have interrupted some threads before this call. The next has
        // not.
        let mine = rounds.begun + 1;
        while rounds.done < mine {
            if rounds.done < rounds.begun {
                rounds.waiting += 1;
                rounds = self
                    .changed
                    .wait(rounds)
                    .unwrap_or_else(PoisonError::into_inner);
                rounds.waiting -= 1;
                continue;
            }
            rounds.begun += 1;
            drop(rounds);
            let result = round();
            rounds = self.lock();
            match result {
                Ok(()) => rounds.done = rounds.begun,
                // It does not count: the others find out for themselves.
                Err(_) => rounds.begun = rounds.done,
            }
            if rounds.waiting > 0 {
                self.changed.notify_all();
            }
            result?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Rounds> {
        // The numbers are right after every step, so a panic elsewhere means nothing here.
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
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
    use core::sync::atomic::{AtomicU64, Ordering};
    use std::vec::Vec;

    /// The first round goes on until ten more callers have come; they share the second.
    fn ten_late_callers(first: fn() -> io::Result<()>) -> (u64, Combined) {
        let barrier = Combined::new();
        let rounds = AtomicU64::new(0);
        let round = || match rounds.fetch_add(1, Ordering::Relaxed) {
            0 => {
                while barrier.lock().waiting < 10 {
                    thread::yield_now();
                }
                first()
            }
            _ => Ok(()),
        };
        thread::scope(|scope| {
            let leader = scope.spawn(|| barrier.call(round));
            while barrier.lock().begun == 0 {
                thread::yield_now();
            }
            let late: Vec<_> = (0..10)
                .map(|_| scope.spawn(|| barrier.call(round)))
                .collect();
            let led = leader.join().expect("no panic");
            assert_eq!(led.is_ok(), first().is_ok());
            for caller in late {
                caller
                    .join()
                    .expect("no panic")
                    .expect("the second is well");
            }
        });
        (rounds.into_inner(), barrier)
    }

    #[test]
    fn late_callers_share_the_next_round() {
        let (rounds, barrier) = ten_late_callers(|| Ok(()));
        assert_eq!((rounds, barrier.lock().done), (2, 2));
    }

    #[test]
    fn a_round_that_fails_is_no_round() {
        let (rounds, barrier) = ten_late_callers(|| Err(io::ErrorKind::Other.into()));
        // The first of them repeats it. They had come during the first, so that is enough for all.
        assert!((2..=11).contains(&rounds));
        assert_eq!(barrier.lock().done, rounds - 1);
    }
}
