//! A deadline has passed at its own tick of the clock, not one before and not one after. By a clock that stands
//! still.
#![cfg(not(rundown_loom))]

use std::cell::Cell;

use rundown::{Clock, ObjectId, PlainRundown, Platform, Wait, Waiting};

thread_local! {
    /// Of this test, as each runs on a thread of its own.
    static NOW: Cell<u64> = const { Cell::new(0) };
}

struct Stopped;

impl Platform for Stopped {
    fn cpu_hint() -> usize {
        0
    }

    fn wake_waiters(_: ObjectId) {}
}

impl Clock for Stopped {
    fn now() -> u64 {
        NOW.get()
    }
}

/// Looks at these times, of which the last is the deadline.
struct At<'a>(&'a [u64]);

impl Wait for At<'_> {
    fn wait_until(&self, waiting: Waiting, ready: &mut dyn FnMut() -> bool) {
        for &time in self.0 {
            NOW.set(time);
            assert_eq!(ready(), Some(time) == waiting.deadline, "at {time}");
        }
    }
}

#[test]
fn a_deadline_passes_at_its_own_tick() {
    let rundown = PlainRundown::<Stopped>::new();
    let guard = rundown.try_acquire().expect("open");
    for (times, deadline) in [
        (&[0][..], 0),
        (&[1, 7, 8, 9], 9),
        (&[u64::MAX - 1, u64::MAX], u64::MAX),
    ] {
        NOW.set(0);
        let missed = rundown.wait_deadline(&At(times), deadline);
        assert_eq!(missed.expect_err("one is held").held, 1);
    }
    drop(guard);
    assert!(rundown.is_drained());
}
