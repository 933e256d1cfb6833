//! Models: a completion left with an object (S13), against everything that may happen meanwhile.
#![cfg(rundown_loom)]

mod models;

use std::sync::Arc as Plainly;
use std::sync::atomic::{AtomicUsize as Tally, Ordering::Relaxed};

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use models::{Make, Sleep, models, on_cpu, release};
use rundown::{CloseThenError, Completion, Rundown, State, WaitOutcome, WrongState};

models!(
    s13_against_two_releases bound: 3,
    s13_left_late_against_the_last_release,
    s13_against_an_acquire per_cpu: 5,
    s13_against_a_clone,
    s13_the_object_may_be_used_again,
    s13_against_a_release_of_none,
    s13_a_drained_object_takes_the_next bound: 4,
);

/// An object that users write under protection, and what its completion has seen.
struct Shared<R: Make> {
    object: Rundown<R>,
    /// Written by users, read by the completion: loom checks that all of that is ordered.
    work: [UnsafeCell<usize>; 2],
    /// Not loom's, so as not to order anything.
    runs: Tally,
    then: fn(&Self),
}

/// Kept by the model until all threads are done.
struct Left<R: Make> {
    shared: Arc<Shared<R>>,
    completions: [Plainly<Completion>; 2],
}

impl<R: Make> Left<R> {
    fn new(held: u32) -> Self {
        Self::and(held, |_| {})
    }

    fn and(held: u32, then: fn(&Shared<R>)) -> Self {
        unsafe fn run<R: Make>(context: *mut ()) {
            // SAFETY: the model keeps it.
            let shared = unsafe { &*context.cast::<Shared<R>>() };
            for work in &shared.work {
                // SAFETY: drained, so nothing writes. Loom checks it.
                work.with(|work| unsafe { *work });
            }
            shared.runs.fetch_add(1, Relaxed);
            (shared.then)(shared);
        }
        let shared = Arc::new(Shared {
            object: R::new(),
            work: [(); 2].map(|()| UnsafeCell::new(0)),
            runs: Tally::new(0),
            then,
        });
        shared.object.acquire_many(held).unwrap();
        let context = std::ptr::from_ref(&*shared).cast_mut().cast();
        // SAFETY: any thread may run it.
        let completion = || Plainly::new(unsafe { Completion::new(run::<R>, context) });
        let completions = [completion(), completion()];
        Self { shared, completions }
    }

    fn object(&self) -> &Rundown<R> {
        &self.shared.object
    }

    fn runs(&self) -> usize {
        self.shared.runs.load(Relaxed)
    }

    fn close_then(&self, which: usize) -> Result<(), CloseThenError> {
        close_then(self.object(), &self.completions[which])
    }

    /// The other thread of the model.
    fn spawn<A: 'static>(
        &self,
        call: impl FnOnce(&Shared<R>, &Completion) -> A + 'static,
    ) -> thread::JoinHandle<A> {
        let shared = Arc::clone(&self.shared);
        let completion = Plainly::clone(&self.completions[1]);
        thread::spawn(move || call(&shared, &completion))
    }

    /// A user that holds one protection, on CPU 1.
    fn spawn_user(&self, which: usize) -> thread::JoinHandle<()> {
        self.spawn(move |shared, _| {
            on_cpu(1);
            shared.use_and_release(which);
        })
    }
}

impl<R: Make> Shared<R> {
    fn use_and_release(&self, which: usize) {
        // SAFETY: protected, and the only user of this one.
        self.work[which].with_mut(|work| unsafe { *work += 1 });
        release(&self.object);
    }
}

fn close_then<R: Make>(object: &Rundown<R>, completion: &Completion) -> Result<(), CloseThenError> {
    // SAFETY: models keep the completion to their end.
    unsafe { object.close_then_unchecked(completion) }
}

fn s13_against_two_releases<R: Make>() {
    let left = Left::<R>::new(2);
    let user = left.spawn_user(0);
    let other = left.spawn(|shared, completion| {
        assert_eq!(close_then(&shared.object, completion), Ok(()));
    });
    left.shared.use_and_release(1);
    user.join().unwrap();
    other.join().unwrap();
    assert_eq!((left.runs(), left.object().state()), (1, State::Drained));
}

/// The object drains already: it is left in time, or refused. It sees work from before, too.
fn s13_left_late_against_the_last_release<R: Make>() {
    let left = Left::<R>::new(1);
    left.object().close();
    let user = left.spawn_user(0);
    // SAFETY: nothing else touches this one until the completion runs, which is yet to be left.
    left.shared.work[1].with_mut(|work| unsafe { *work += 1 });
    let is_left = match left.close_then(0) {
        Ok(()) => 1,
        Err(CloseThenError::WrongState(WrongState { found })) => {
            assert_eq!(found, State::Drained);
            0
        }
        Err(other) => panic!("{other}"),
    };
    user.join().unwrap();
    assert_eq!((left.runs(), left.object().state()), (is_left, State::Drained));
}

fn s13_against_a_clone<R: Make>() {
    let left = Left::<R>::new(1);
    let user = left.spawn(|shared, _| {
        on_cpu(1);
        // SAFETY: one is held.
        unsafe { shared.object.acquire_held() }.unwrap();
        shared.use_and_release(0);
        assert_eq!(shared.runs.load(Relaxed), 0, "the clone is held");
        shared.use_and_release(0);
    });
    assert_eq!(left.close_then(0), Ok(()));
    user.join().unwrap();
    assert_eq!((left.runs(), left.object().state()), (1, State::Drained));
}

fn s13_against_an_acquire<R: Make>() {
    let left = Left::<R>::new(0);
    let user = left.spawn(|shared, _| {
        on_cpu(1);
        if shared.object.acquire().is_ok() {
            on_cpu(0);
            shared.use_and_release(0);
        }
    });
    assert_eq!(left.close_then(0), Ok(()));
    assert!(left.object().try_acquire().is_none());
    user.join().unwrap();
    assert_eq!((left.runs(), left.object().state()), (1, State::Drained));
}

/// After the completion no call's late step reaches the object, whose memory may be reused.
fn s13_the_object_may_be_used_again<R: Make>() {
    let left = Left::<R>::and(1, |shared| {
        for work in &shared.work {
            // SAFETY: the completion has it to itself. Loom checks it.
            work.with_mut(|work| unsafe { *work = 0 });
        }
        shared.object.reinit().unwrap();
    });
    let user = left.spawn_user(0);
    assert_eq!(left.close_then(0), Ok(()));
    user.join().unwrap();
    assert_eq!((left.runs(), left.object().state()), (1, State::Open));
    left.object().acquire().unwrap();
    assert_eq!(left.close_then(1), Ok(()));
    assert_eq!(left.object().racy_held(), 1);
    release(left.object());
    assert_eq!((left.runs(), left.object().state()), (2, State::Open));
}

/// It is never the last release, whenever it comes.
fn s13_against_a_release_of_none<R: Make>() {
    let left = Left::<R>::and(1, |shared| _ = shared.object.reinit().unwrap());
    let other = left.spawn(|shared, _| {
        // SAFETY: none are given up.
        unsafe { shared.object.release_many(0) };
    });
    assert_eq!(left.close_then(0), Ok(()));
    left.shared.use_and_release(0);
    other.join().unwrap();
    assert_eq!((left.runs(), left.object().state()), (1, State::Open));
}

/// The waiter sleeps: the thread that runs the completion must wake it. A thread that finds the
/// object drained finds no completion, and sees what users did: nothing touches it any more.
fn s13_a_drained_object_takes_the_next<R: Make>() {
    let left = Left::<R>::new(1);
    assert_eq!(left.close_then(0), Ok(()));
    let user = left.spawn_user(0);
    assert_eq!(left.object().wait(&Sleep), WaitOutcome::Drained);
    // SAFETY: drained. Loom checks that the user's write happens-before.
    left.shared.work[0].with(|work| assert_eq!(unsafe { *work }, 1));
    left.object().reinit().expect("drained");
    assert_eq!(left.close_then(1), Ok(()));
    user.join().unwrap();
    assert_eq!((left.runs(), left.object().state()), (2, State::Drained));
}
