//! Rundown protection for the threads of a hosted program: [`HostPlatform`] and its wait policy,
//! [`Park`].

mod event_count;
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
use std::eprintln;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use self::event_count::EventCount;
pub use self::types::{HostPlatform, Park};
use crate::ids::{ObjectId, Unavailable};
use crate::platform::{AsyncPlatform, Clock, Platform, Wait, Waiting};
use crate::wakers::Wakers;

impl HostPlatform {
    /// The deadline that is so far from now, for
    /// [`wait_deadline`](crate::Rundown::wait_deadline).
    pub fn after(time: Duration) -> u64 {
        Self::now().saturating_add(nanoseconds(time))
    }

    /// Whether [`PerCpuRundown`](crate::PerCpuRundown) can be used in this process: it needs the
    /// system calls `rseq` (Linux 4.18) and `membarrier` for it (Linux 5.10), on x86-64. The answer
    /// does not change. Not in a signal handler.
    ///
    /// # Errors
    /// [`Unavailable::Unsupported`], with what is missing.
    pub fn per_cpu() -> Result<(), Unavailable> {
        per_cpu::prepare()
    }

    /// How many [barriers](crate::PerCpuPlatform::barrier) the process has had. Those that were asked for
    /// while another one was under way count once.
    pub fn barriers() -> u64 {
        per_cpu::barriers()
    }

    /// How often an acquire or release of a [`PerCpuRundown`](crate::PerCpuRundown) was interrupted
    /// before it had counted, and started again. For tests, and for the curious.
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
        // Its fence is the one that the futures' side needs, too.
        bell(object).signal();
        WAKERS.wake_fenced(object);
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

impl Wait for Park {
    fn wait_until(&self, waiting: Waiting, ready: &mut dyn FnMut() -> bool) {
        bell(waiting.object).wait_until(ready, || match waiting.deadline {
            None => Duration::MAX,
            Some(at) => Duration::from_nanos(at.saturating_sub(HostPlatform::now())),
        });
    }
}

static WAKERS: Wakers = Wakers::new();

/// Objects share them: a thread may be woken for another object.
static BELLS: [EventCount; 64] = [const { EventCount::new() }; 64];

fn bell(object: ObjectId) -> &'static EventCount {
    &BELLS[object.bucket(BELLS.len())]
}

/// 2^64 nanoseconds are 584 years.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
