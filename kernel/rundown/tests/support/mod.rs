//! The parts that the host tests share: a platform whose hint a test can set, every variant under
//! test, a deadline.
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "each test file is a crate of its own and uses a part of this"
)]

pub(crate) mod affinity;
pub(crate) mod host_counters;
mod platform;
mod script;
mod variants;
pub(crate) mod wayward;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

pub(crate) use platform::{TestPlatform, misuses, next_hints, on_cpu, wake_ups};
pub(crate) use script::{policy, script};
pub(crate) use variants::{
    Borrowed, Boxed, Counters, Inline, Make, Placed, Plain, for_every_sized_variant,
    for_every_variant, there_is,
};

/// Fails the test if `test` hangs. It runs on a thread of its own.
pub(crate) fn within_a_minute(test: impl FnOnce() + Send + 'static) {
    let (done, finished) = mpsc::channel();
    let thread = thread::spawn(move || {
        test();
        // The receiver is gone only if the test has failed already.
        let _ = done.send(());
    });
    match finished.recv_timeout(Duration::from_secs(60)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the test hangs"),
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// The text of a panic.
pub(crate) fn panic_of(call: impl FnOnce()) -> String {
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call))
        .expect_err("this call must panic");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(other) => (*other.downcast::<&str>().expect("a panic's message is text")).to_owned(),
    }
}

/// A small generator of numbers that look random (Marsaglia, "Xorshift RNGs", 2003).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
