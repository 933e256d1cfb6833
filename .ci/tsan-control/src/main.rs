//! One thread hands a value to another through a flag.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};

struct Letter {
    value: UnsafeCell<u64>,
    sent: AtomicBool,
}

// SAFETY: the value is written before `sent` is set, and read after; feature `race` breaks that.
unsafe impl Sync for Letter {}

static LETTER: Letter = Letter { value: UnsafeCell::new(0), sent: AtomicBool::new(false) };

// Release and Acquire: the store pairs with the load.
const ORDERINGS: (Ordering, Ordering) = match cfg!(feature = "race") {
    false => (Ordering::Release, Ordering::Acquire),
    true => (Ordering::Relaxed, Ordering::Relaxed),
};

fn main() {
    let sender = std::thread::spawn(|| {
        // SAFETY: no thread reads before `sent`.
        unsafe { *LETTER.value.get() = 7 };
        LETTER.sent.store(true, ORDERINGS.0);
    });
    while !LETTER.sent.load(ORDERINGS.1) {
        std::thread::yield_now();
    }
    // SAFETY: sent, and never written again.
    assert_eq!(unsafe { *LETTER.value.get() }, 7);
    sender.join().expect("the sender does not panic");
}
