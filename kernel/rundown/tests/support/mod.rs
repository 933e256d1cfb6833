//! What the host tests share: a platform whose hint a test can set, every kind under test, a
//! deadline.
#![allow(
    dead_code,
    reason = "each test file is a crate of its own and uses a part of this"
)]

use std::cell::Cell;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rundown::{
    AsyncPlatform, CacheAwareRundown, Clock, HostPlatform, ObjectId, Platform, Rundown, RundownRef,
    Slot, Wait, Waiting, Wakers,
};

/// Threads, with the CPU hint that the test sets.
pub(crate) struct TestPlatform;

thread_local! {
    static HINT: Cell<Option<usize>> = const { Cell::new(None) };
}

impl Platform for TestPlatform {
    fn cpu_hint() -> usize {
        HINT.get().unwrap_or_else(HostPlatform::cpu_hint)
    }

    fn wake_waiters(object: ObjectId) {
        HostPlatform::wake_waiters(object);
    }
}

impl Clock for TestPlatform {
    fn now() -> u64 {
        HostPlatform::now()
    }
}

impl AsyncPlatform for TestPlatform {
    fn wakers() -> &'static Wakers {
        HostPlatform::wakers()
    }
}

/// Pretends that the calling thread runs on the CPU with this index from now on.
pub(crate) fn on_cpu(index: usize) {
    HINT.set(Some(index));
}

/// A kind under test.
pub(crate) trait Make: Rundown + Sized + 'static {
    /// How many slots it has; 1 for the plain kind.
    const SLOTS: usize;

    fn make() -> Self;
}

pub(crate) type Plain = RundownRef<TestPlatform>;
pub(crate) type Inline<const N: usize> = CacheAwareRundown<TestPlatform, [Slot; N]>;
/// Three slots.
pub(crate) type Boxed = CacheAwareRundown<TestPlatform>;
/// Eight slots.
pub(crate) type Borrowed = CacheAwareRundown<TestPlatform, &'static mut [Slot]>;

impl Make for Plain {
    const SLOTS: usize = 1;

    fn make() -> Self {
        Self::new()
    }
}

impl<const N: usize> Make for Inline<N> {
    const SLOTS: usize = N;

    fn make() -> Self {
        Self::new()
    }
}

impl Make for Boxed {
    const SLOTS: usize = 3;

    fn make() -> Self {
        Self::boxed(Self::SLOTS)
    }
}

impl Make for Borrowed {
    const SLOTS: usize = 8;

    fn make() -> Self {
        let slots: Vec<Slot> = (0..Self::SLOTS).map(|_| Slot::new()).collect();
        Self::with_slots(slots.leak()).expect("eight slots")
    }
}

/// The table: each generic test function, run over every kind as a test of its own.
macro_rules! for_every_kind {
    ($($test:ident),* $(,)?) => {
        for_every_kind!(@kind plain, $crate::support::Plain, $($test),*);
        for_every_kind!(@kind slots_1, $crate::support::Inline<1>, $($test),*);
        for_every_kind!(@kind slots_2, $crate::support::Inline<2>, $($test),*);
        for_every_kind!(@kind slots_3_boxed, $crate::support::Boxed, $($test),*);
        for_every_kind!(@kind slots_8_borrowed, $crate::support::Borrowed, $($test),*);
    };
    (@kind $kind:ident, $type:ty, $($test:ident),*) => {
        mod $kind {
            $(
                #[test]
                fn $test() {
                    $crate::support::within_a_minute(super::$test::<$type>);
                }
            )*
        }
    };
}

pub(crate) use for_every_kind;

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

/// A wait policy that is a script: must find the object not ready, does `then`, must find it ready.
pub(crate) struct Script<F>(Cell<Option<F>>);

impl<F: FnOnce()> Script<F> {
    pub(crate) fn new(then: F) -> Self {
        Self(Cell::new(Some(then)))
    }

    /// Whether a waiter has played it.
    pub(crate) fn played(&self) -> bool {
        let then = self.0.take();
        let played = then.is_none();
        self.0.set(then);
        played
    }
}

impl<F: FnOnce()> Wait for Script<F> {
    fn wait_until(&self, _: Waiting, ready: &mut dyn FnMut() -> bool) {
        if let Some(then) = self.0.take() {
            assert!(!ready(), "ready too early");
            then();
        }
        assert!(ready(), "not ready although drained");
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
