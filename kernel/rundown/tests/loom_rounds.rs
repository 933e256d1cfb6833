//! Model of a barrier made of interrupts: `Rounds` and `Answers`.
#![cfg(rundown_loom)]

mod models;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use models::{check, spawn};
use rundown::per_cpu::{Answers, Rounds};

/// Two callers, each of which closes a state word, passes a barrier and then reads a counter; and a
/// CPU that reads both state words again and again, and counts while they are open.
const CALLERS: usize = 2;

struct System {
    rounds: Rounds,
    answers: Answers,
    line: Mutex<Line>,
    interrupted: Condvar,
    /// Loom cannot spin: the callers sleep until the CPU has answered something.
    answered: Condvar,
    objects: [Object; CALLERS],
}

/// The CPU's interrupt line.
struct Line {
    pending: bool,
    /// Interrupts sent.
    sent: usize,
    /// Callers that are not done.
    callers: usize,
}

struct Object {
    closed: AtomicUsize,
    counter: AtomicUsize,
}

impl Object {
    /// As `PerCpu::add_if_open`: no interrupt comes in between here, since the CPU takes them
    /// only when it looks at its line.
    fn add_if_open(&self) {
        if self.closed.load(Ordering::Relaxed) == 0 {
            let count = self.counter.load(Ordering::Relaxed);
            self.counter.store(count + 1, Ordering::Relaxed);
        }
    }
}

impl System {
    fn new() -> Self {
        Self {
            rounds: Rounds::new(),
            answers: Answers::new(),
            line: Mutex::new(Line { pending: false, sent: 0, callers: CALLERS }),
            interrupted: Condvar::new(),
            answered: Condvar::new(),
            objects: [(); CALLERS]
                .map(|()| Object { closed: AtomicUsize::new(0), counter: AtomicUsize::new(0) }),
        }
    }

    /// The CPU that is asked: works, and takes interrupts, until all callers are done.
    fn run(&self) {
        loop {
            for object in &self.objects {
                object.add_if_open();
            }
            let mut line = self.line.lock().unwrap();
            while !line.pending && line.callers > 0 {
                line = self.interrupted.wait(line).unwrap();
            }
            if !line.pending {
                return;
            }
            line.pending = false;
            drop(line);
            self.answers.answer(&self.rounds);
            drop(self.line.lock().unwrap());
            self.answered.notify_all();
        }
    }

    /// A caller. Returns what its counter was after the barrier.
    fn close(&self, object: usize) -> usize {
        let Object { closed, counter } = &self.objects[object];
        closed.store(1, Ordering::Relaxed);
        let round = self.rounds.begin();
        if !self.answers.has_answered(round) && self.answers.ask() {
            let mut line = self.line.lock().unwrap();
            line.pending = true;
            line.sent += 1;
            drop(line);
            self.interrupted.notify_one();
        }
        let mut line = self.line.lock().unwrap();
        while !self.answers.has_answered(round) {
            line = self.answered.wait(line).unwrap();
        }
        line.callers -= 1;
        drop(line);
        self.interrupted.notify_one();
        counter.load(Ordering::Relaxed)
    }
}

/// After a barrier a counter stands still and its count is visible, whichever caller interrupted.
#[test]
fn after_a_barrier_nothing_is_counted_any_more() {
    // bound: 2; without one it takes minutes.
    check(Some(2), || {
        let system = Arc::new(System::new());
        let callers = [0, 1].map(|object| spawn(&system, move |system| system.close(object)));
        system.run();
        let found = callers.map(|caller| caller.join().unwrap());
        for (object, found) in system.objects.iter().zip(found) {
            assert_eq!(object.counter.load(Ordering::Relaxed), found);
        }
        // Whether they shared it or not.
        let sent = system.line.lock().unwrap().sent;
        assert!((1..=CALLERS).contains(&sent), "{sent} interrupts");
    });
}

/// An answer shows what the CPU did before, and that it sees what the caller did; without a lock.
#[test]
fn an_answer_is_a_fence() {
    one_caller(|answers| {
        let _ = answers.ask();
    });
}

/// The same for a caller that finds itself answered, because another one has asked.
#[test]
fn a_caller_that_has_not_asked_is_answered_by_a_fence_too() {
    one_caller(|_| {});
}

/// A CPU that was asked before; one caller begins a round, asks it in this way, and looks once.
fn one_caller(ask: fn(&Answers)) {
    loom::model(move || {
        let system = Arc::new(System::new());
        assert!(system.answers.ask(), "not asked yet");
        let Object { closed, counter } = &system.objects[0];
        let cpu = spawn(&system, |system| {
            system.objects[0].add_if_open();
            system.answers.answer(&system.rounds);
            system.objects[0].add_if_open();
        });
        closed.store(1, Ordering::Relaxed);
        let round = system.rounds.begin();
        ask(&system.answers);
        let found = system.answers.has_answered(round).then(|| counter.load(Ordering::Relaxed));
        cpu.join().unwrap();
        if let Some(found) = found {
            assert_eq!(counter.load(Ordering::Relaxed), found);
        }
    });
}
