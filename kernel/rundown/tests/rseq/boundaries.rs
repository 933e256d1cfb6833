//! A sequence is interrupted before each of its instructions, and after the last, while another
//! thread closes the object: all places, not random ones.

use std::hint;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rundown::{HostPlatform, State};

use crate::stepper::{self, Interrupted};
use crate::support::affinity;
use crate::{Object, alone, object};

/// The interrupted call: an acquire or a release, of a number of protections.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Acquire(u32),
    Release(u32),
}

impl Call {
    fn n(self) -> u32 {
        let (Self::Acquire(n) | Self::Release(n)) = self;
        n
    }

    /// Whether it was granted; a release always is.
    fn on(self, object: &Object) -> bool {
        match self {
            Self::Acquire(1) => object.acquire().is_ok(),
            Self::Acquire(n) => object.acquire_many(n).is_ok(),
            Self::Release(1) => {
                // SAFETY: the test has acquired it.
                unsafe { object.release() };
                true
            }
            Self::Release(n) => {
                // SAFETY: the test has acquired them.
                unsafe { object.release_many(n) };
                true
            }
        }
    }
}

/// The outcome of an interrupted call.
#[derive(Debug, PartialEq)]
struct Outcome {
    granted: bool,
    /// The state that the closer found.
    closed: State,
    held: i64,
    /// How often the sequence started again.
    restarts: u64,
    /// In the end.
    end: State,
}

/// Interrupts the call at a boundary, if there is one so far, and closes the object meanwhile.
fn interrupt(call: Call, boundary: usize) -> Option<(Interrupted, Outcome)> {
    const IDLE: usize = 0;
    const CLOSE: usize = 1;
    const CLOSED: usize = 2;
    static TURN: AtomicUsize = AtomicUsize::new(IDLE);

    let (object, handlers) = (object()?, object()?);
    if let Call::Release(n) = call {
        object.acquire_many(n).expect("open");
    }
    TURN.store(IDLE, Ordering::SeqCst);
    thread::scope(|scope| {
        let object = &object;
        let closer = scope.spawn(move || {
            while TURN.load(Ordering::SeqCst) == IDLE {
                thread::yield_now();
            }
            object.close();
            let found = (object.state(), object.racy_held());
            TURN.store(CLOSED, Ordering::SeqCst);
            found
        });
        let before = HostPlatform::restarts();
        let mut granted = false;
        let interrupted = stepper::interrupt(
            boundary,
            || granted = call.on(object),
            || {
                // On top of the call, the handler counts as well, and its thread is moved.
                let guard = handlers.try_acquire().expect("open");
                affinity::move_to(affinity::allowed(boundary));
                drop(guard);
                TURN.store(CLOSE, Ordering::SeqCst);
                while TURN.load(Ordering::SeqCst) != CLOSED {
                    hint::spin_loop();
                }
            },
        );
        let restarts = HostPlatform::restarts() - before;
        // If nothing was interrupted, the closer is still waiting.
        let _ = TURN.compare_exchange(IDLE, CLOSE, Ordering::SeqCst, Ordering::SeqCst);
        let (closed, held) = closer.join().expect("the closer does not fail");
        assert_eq!(handlers.racy_held(), 0);
        let outcome = Outcome { granted, closed, held, restarts, end: object.state() };
        Some((interrupted, outcome))
    })
}

#[test]
fn a_sequence_restarts_wherever_it_is_interrupted() {
    alone(|| {
        if object().is_none() {
            return;
        }
        // The thread stays where it is: with `rseq_cs` cleared, it must not be moved in the middle.
        thread::spawn(|| {
            affinity::move_to(affinity::allowed(0));
            for call in [1, 3].into_iter().flat_map(|n| [Call::Acquire(n), Call::Release(n)]) {
                all_boundaries(call);
            }
        })
        .join()
        .expect("no failure");
    });
}

fn all_boundaries(call: Call) {
    // Learns where the sequence is.
    let warm = object().expect("there was one");
    warm.acquire_many(8).expect("open");
    let learnt = stepper::learn(|| {
        call.on(&warm);
    });
    if !learnt {
        return; // Not glibc's registration.
    }
    let n = i64::from(call.n());
    let (mut boundary, mut lost) = (0, 0);
    loop {
        let (interrupted, outcome) = interrupt(call, boundary).expect("there was one");
        // The count that the closer found if the call had not added yet, and if it had.
        let (without, with) = match call {
            Call::Acquire(_) => (0, n),
            Call::Release(_) => (n, 0),
        };
        let state = |held| {
            if held == 0 { State::Drained } else { State::Draining }
        };
        match interrupted {
            // The kernel happened to look at the wrong time.
            Interrupted::Lost if lost < 100 => {
                lost += 1;
                continue;
            }
            Interrupted::Lost => panic!("{call:?} goes on at instruction {boundary}"),
            Interrupted::Inside => assert_eq!(
                outcome,
                Outcome {
                    granted: call != Call::Acquire(call.n()),
                    closed: state(without),
                    held: without,
                    restarts: 1,
                    end: State::Drained,
                },
                "{call:?} interrupted before instruction {boundary}"
            ),
            Interrupted::AtTheEnd => {
                assert_eq!(
                    outcome,
                    Outcome {
                        granted: true,
                        closed: state(with),
                        held: with,
                        restarts: 0,
                        end: state(with),
                    },
                    "{call:?} interrupted after its last instruction"
                );
                // Test, jump, load, compare, jump, shift, add, add.
                assert_eq!(boundary, 8, "instructions");
                return;
            }
            Interrupted::Never => panic!("{call:?} has no boundary {boundary}"),
        }
        boundary += 1;
    }
}
