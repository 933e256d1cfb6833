//! Numbers for threads, where the system does not name the running CPU: the lowest that no other
//! living thread has. A thread that ends gives its number back.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::thread_local;

use crate::per_cpu::CounterMap;

/// For 4,096 threads at a time. Others count on from there, and give nothing back.
static IN_USE: CounterMap<64> = CounterMap::new();

/// No thread's number.
const UNASKED: usize = usize::MAX;

thread_local! {
    // Constant, without a destructor: reading it is one load. Atomic because of signal handlers.
    static NUMBER: AtomicUsize = const { AtomicUsize::new(UNASKED) };
}

/// The calling thread's number. Also in a signal handler.
#[inline]
pub(super) fn of_this_thread() -> usize {
    // Relaxed: pairs with nothing, no other thread has it.
    match NUMBER.with(|number| number.load(Ordering::Relaxed)) {
        UNASKED => take(),
        number => number,
    }
}

/// The first time that a thread asks.
#[cold]
fn take() -> usize {
    let mine = IN_USE.reserve().unwrap_or_else(|| {
        static NEXT: AtomicUsize = AtomicUsize::new(CounterMap::<64>::COUNTERS);
        // Relaxed: pairs with nothing, each thread only needs another number.
        NEXT.fetch_add(1, Ordering::Relaxed)
    });
    let set = |number: &AtomicUsize| {
        // Relaxed, twice: pairs with nothing, no other thread has it.
        number.compare_exchange(UNASKED, mine, Ordering::Relaxed, Ordering::Relaxed)
    };
    match NUMBER.with(set) {
        Ok(_) => {
            at_exit::have_given_back();
            mine
        }
        Err(handlers) => {
            // A signal handler was faster.
            give_back(mine);
            handlers
        }
    }
}

fn give_back(number: usize) {
    if number < CounterMap::<64>::COUNTERS {
        IN_USE.free(number);
    }
}

/// At the thread's end. Destructors that come later share the number 0.
fn give_back_this_threads() {
    // Relaxed: pairs with nothing, no other thread has it.
    give_back(NUMBER.with(|number| number.swap(0, Ordering::Relaxed)));
}

#[cfg(target_os = "linux")]
mod at_exit {
    use core::ffi::c_void;

    use super::super::key::{TlsKey, keeping_errno};

    static KEY: TlsKey = TlsKey::new(end);

    extern "C" fn end(_: *mut c_void) {
        super::give_back_this_threads();
    }

    /// Where there is no key left, numbers are not given back.
    pub(super) fn have_given_back() {
        keeping_errno(|| KEY.set());
    }
}

#[cfg(not(target_os = "linux"))]
mod at_exit {
    use std::thread_local;

    struct GivesBack;

    impl Drop for GivesBack {
        fn drop(&mut self) {
            super::give_back_this_threads();
        }
    }

    thread_local! {
        static GIVES_BACK: GivesBack = const { GivesBack };
    }

    /// Registers a destructor, for which the standard library may allocate.
    pub(super) fn have_given_back() {
        // An error: the thread's destructors are running already.
        let _ = GIVES_BACK.try_with(|_| ());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Mutex, PoisonError};
    use std::thread;

    /// Each counts the numbers in use.
    static ALONE: Mutex<()> = Mutex::new(());

    /// More than all tests together have at a time.
    const THREADS: usize = 100;

    #[test]
    fn threads_that_end_give_theirs_back() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..2_000 {
            let number = thread::spawn(of_this_thread).join().expect("no panic");
            assert!(number < THREADS, "{number} for one thread");
        }
    }

    /// More threads than there are numbers.
    #[test]
    fn further_threads_count_on() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let taken: std::vec::Vec<_> = core::iter::from_fn(|| IN_USE.reserve()).collect();
        let numbers = [(); 2].map(|()| thread::spawn(of_this_thread).join().expect("no panic"));
        for number in taken {
            IN_USE.free(number);
        }
        assert!(numbers[0] >= CounterMap::<64>::COUNTERS && numbers[0] < numbers[1]);
        let next = thread::spawn(of_this_thread).join().expect("no panic");
        assert!(next < THREADS, "{next} for one thread");
    }

    /// As a signal handler asks that comes between the question and the answer.
    #[test]
    fn a_second_number_is_given_back_at_once() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        thread::spawn(|| {
            let number = of_this_thread();
            let before = IN_USE.racy_in_use();
            for _ in 0..1_000 {
                assert_eq!(take(), number);
            }
            assert!(IN_USE.racy_in_use() < before + THREADS);
        })
        .join()
        .expect("no panic");
    }
}
