//! One thread hands a value to another through a flag.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};

struct Letter {
    value: UnsafeCell<u64>,
    sent: AtomicBool,
}

// SAFETY: the value is written before `sent` is set and read after; feature `race` breaks that on
// purpose.
unsafe impl Sync for Letter {}

static LETTER: Letter = Letter { value: UnsafeCell::new(0), sent: AtomicBool::new(false) };

// Release: pairs with the Acquire of `LOAD`.
#[cfg(not(feature = "race"))]
const STORE: Ordering = Ordering::Release;
// Acquire: pairs with the Release of `STORE`.
#[cfg(not(feature = "race"))]
const LOAD: Ordering = Ordering::Acquire;
#[cfg(feature = "race")]
const STORE: Ordering = Ordering::Relaxed;
#[cfg(feature = "race")]
const LOAD: Ordering = Ordering::Relaxed;

fn main() {
    let sender = std::thread::spawn(|| {
        // SAFETY: no thread reads before `sent`.
        unsafe { *LETTER.value.get() = 7 };
        LETTER.sent.store(true, STORE);
    });
    while !LETTER.sent.load(LOAD) {
        std::thread::yield_now();
    }
    // SAFETY: sent, and never written again.
    assert_eq!(unsafe { *LETTER.value.get() }, 7);
    sender.join().expect("the sender does not panic");
}
