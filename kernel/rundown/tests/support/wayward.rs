//! A platform whose CPUs are numbers, and which is as the test has set it.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use rundown::{
    AsyncPlatform, Clock, CounterId, IllegalContext, Misuse, ObjectId, PerCpuGate, PerCpuPlatform,
    Platform, Unavailable, Wakers,
};

/// Each thread plays the CPUs in turn, so that a test says what is counted where, on any system.
/// Says what the test wants to hear, and lets it look in the middle of a claim.
pub(crate) struct Wayward;

pub(crate) type Looker = Box<dyn FnOnce()>;

pub(crate) const CPUS: usize = 4;
pub(crate) const COUNTERS: usize = 64;

static COUNTS: [[AtomicI64; CPUS]; COUNTERS] =
    [const { [const { AtomicI64::new(0) }; CPUS] }; COUNTERS];
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Which one the thread plays.
    pub(crate) static CPU: Cell<usize> = const { Cell::new(0) };
    /// The counter that the thread was given last.
    static LATEST: Cell<usize> = const { Cell::new(0) };
    /// The time now.
    pub(crate) static NOW: Cell<u64> = const { Cell::new(0) };
    static MISUSES: RefCell<Vec<Misuse>> = const { RefCell::new(Vec::new()) };
    /// Whether a barrier is illegal on this thread, or panics.
    pub(crate) static ILLEGAL: Cell<bool> = const { Cell::new(false) };
    pub(crate) static BARRIER_PANICS: Cell<bool> = const { Cell::new(false) };
    /// Whether there are no counters for this thread.
    pub(crate) static EXHAUSTED: Cell<bool> = const { Cell::new(false) };
    /// Called when a counter has been allocated, and is not the object's yet.
    pub(crate) static INTERRUPT: RefCell<Option<Looker>> = const { RefCell::new(None) };
    pub(crate) static GIVEN: Cell<usize> = const { Cell::new(0) };
    pub(crate) static FREED: Cell<usize> = const { Cell::new(0) };
    pub(crate) static BARRIERS: Cell<usize> = const { Cell::new(0) };
    /// Called when a counter is cleared, in the middle of a claim.
    pub(crate) static LOOKER: RefCell<Option<Looker>> = const { RefCell::new(None) };
    /// Whether this thread is in a waiter's `ready`.
    pub(crate) static IN_READY: Cell<bool> = const { Cell::new(false) };
}

impl Platform for Wayward {
    fn cpu_hint() -> usize {
        CPU.get()
    }

    fn wake_waiters(_: ObjectId) {
        assert!(!IN_READY.get(), "a wake-up in `ready`");
    }

    fn misuse(what: &Misuse) {
        MISUSES.with_borrow_mut(|misuses| misuses.push(*what));
    }
}

/// The misuses reported on this thread since it last asked.
pub(crate) fn misuses() -> Vec<Misuse> {
    MISUSES.take()
}

/// As if so many had been taken on this CPU, or released if negative, of the object that was made
/// last.
pub(crate) fn pretend(cpu: usize, taken: i64) {
    COUNTS[LATEST.get()][cpu].fetch_add(taken, Ordering::Relaxed);
}

impl Clock for Wayward {
    fn now() -> u64 {
        NOW.get()
    }
}

impl AsyncPlatform for Wayward {
    fn wakers() -> &'static Wakers {
        static WAKERS: Wakers = Wakers::new();
        &WAKERS
    }
}

// SAFETY: each counter is given out once. Each test has objects of its own, whose users are all on
// one thread: nothing interrupts a sequence.
unsafe impl PerCpuPlatform for Wayward {
    fn allocate() -> Result<CounterId, Unavailable> {
        if EXHAUSTED.get() {
            return Err(Unavailable::Exhausted(COUNTERS));
        }
        let counter = ALLOCATED.fetch_add(1, Ordering::Relaxed);
        assert!(counter < COUNTERS, "more than the tests need");
        GIVEN.set(GIVEN.get() + 1);
        LATEST.set(counter);
        if let Some(interrupt) = INTERRUPT.take() {
            interrupt();
        }
        Ok(CounterId::new(counter))
    }

    unsafe fn free(_: CounterId) {
        FREED.set(FREED.get() + 1);
    }

    unsafe fn add_if_open(gate: &PerCpuGate, n: i64) -> bool {
        gate.is_open() && {
            COUNTS[gate.counter().get()][CPU.get()].fetch_add(n, Ordering::Relaxed);
            true
        }
    }

    fn check_barrier() -> Result<(), IllegalContext> {
        if ILLEGAL.get() { Err(IllegalContext) } else { Ok(()) }
    }

    fn barrier() {
        assert!(!ILLEGAL.get(), "a barrier in an illegal context");
        assert!(!BARRIER_PANICS.get(), "a barrier that fails");
        BARRIERS.set(BARRIERS.get() + 1);
    }

    fn cpus() -> usize {
        CPUS
    }

    unsafe fn count(counter: CounterId, cpu: usize) -> i64 {
        COUNTS[counter.get()][cpu].load(Ordering::Relaxed)
    }

    unsafe fn racy_own_count(counter: CounterId) -> i64 {
        COUNTS[counter.get()][CPU.get()].load(Ordering::Relaxed)
    }

    unsafe fn clear(counter: CounterId, cpu: usize) {
        COUNTS[counter.get()][cpu].store(0, Ordering::Relaxed);
        if let Some(look) = LOOKER.take() {
            look();
        }
    }
}
