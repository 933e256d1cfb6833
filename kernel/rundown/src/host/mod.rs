//! Rundown protection for threads: [`HostPlatform`] and its wait policy, [`Park`].

#[cfg(target_os = "linux")]
mod key;
mod numbers;
#[cfg_attr(
    not(all(
        target_os = "linux",
        target_arch = "x86_64",
        target_pointer_width = "64",
        // Neither sees what assembly does, nor what the kernel does for it.
        not(any(miri, rundown_tsan))
    )),
    path = "unsupported.rs"
)]
mod per_cpu;
mod types;

use core::fmt;
use core::pin::pin;
use core::task::Waker;
use std::eprintln;
use std::sync::{Arc, OnceLock};
use std::task::Wake;
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

pub use self::types::{HostPlatform, Park};
use crate::platform::{AsyncPlatform, Clock, Platform, Wait, Waiting};
use crate::state::{ObjectId, Unavailable};
use crate::wakers::{Entry, Wakers};

impl HostPlatform {
    /// The deadline that is `time` from now, for [`wait_deadline`](crate::Rundown::wait_deadline).
    pub fn after(time: Duration) -> u64 {
        Self::now().saturating_add(nanoseconds(time))
    }

    /// Whether [`PerCpuRundown`](crate::PerCpuRundown) can be used in this process, or what is
    /// missing: it needs the system calls `rseq` (Linux 4.18) and `membarrier` for it (Linux 5.10),
    /// on x86-64. The result does not change. Not in a signal handler.
    pub fn per_cpu() -> Result<(), Unavailable> {
        per_cpu::prepare()
    }

    /// How many [barriers](crate::PerCpuPlatform::barrier) the process had; shared ones count once.
    pub fn barriers() -> u64 {
        per_cpu::barriers()
    }

    /// How often an acquire or release of a [`PerCpuRundown`](crate::PerCpuRundown) was interrupted
    /// before it had counted, and started again.
    pub fn restarts() -> u64 {
        per_cpu::restarts()
    }
}

impl Platform for HostPlatform {
    #[inline]
    fn cpu_hint() -> usize {
        per_cpu::cpu_hint().unwrap_or_else(numbers::of_this_thread)
    }

    fn wake_waiters(object: ObjectId) {
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

/// A parked thread waits as a future does: it is in the same list, with a waker that unparks it.
impl Wait for Park {
    fn wait_until(&self, waiting: Waiting, ready: &mut dyn FnMut() -> bool) {
        let waker = Waker::from(Arc::new(Parked(thread::current())));
        let left = |at: u64| Duration::from_nanos(at.saturating_sub(HostPlatform::now()));
        let mut entry = pin!(Entry::new());
        loop {
            // Before each look, or a wake-up between the look and the sleep would be lost.
            let entry = entry.as_mut();
            entry.enter(HostPlatform::wakers, waiting.object, &waker);
            if ready() {
                return;
            }
            match waiting.deadline {
                None => thread::park(),
                Some(at) => thread::park_timeout(left(at)),
            }
        }
    }
}

struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

static WAKERS: Wakers = Wakers::new();

/// 2^64 nanoseconds are 584 years.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often a policy asks if the third answer is "ready"; `meanwhile` happens in each look.
    fn looks(deadline: Option<u64>, meanwhile: fn(ObjectId)) -> usize {
        let mut looks = 0;
        let object = ObjectId::of(&looks);
        Park.wait_until(Waiting::new(object, deadline), &mut || {
            looks += 1;
            meanwhile(object);
            looks == 3
        });
        looks
    }

    /// Nor is a lock held meanwhile that a wake-up takes.
    #[test]
    fn a_wake_up_between_the_look_and_the_sleep_is_not_lost() {
        assert_eq!(looks(None, HostPlatform::wake_waiters), 3);
    }

    #[test]
    fn it_looks_again_when_no_time_is_left() {
        assert_eq!(looks(Some(HostPlatform::now()), |_| ()), 3);
    }
}
