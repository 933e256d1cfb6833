//! A value that threads use while it is torn down, for long if asked to; two owners at once; and
//! look-ups and a loader. (Owners that do as they like are a race of `races`.)
#![cfg(not(rundown_loom))]

mod support;

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;

use rundown::per_cpu::restart::{Bounds, Images, RestartTable, Sequence};
use rundown::{CloseOutcome, Guard, Park, Protected, State};
use support::{Borrowed, Counters, Make, Plain, Random, for_every_sized_variant, there_is};

for_every_sized_variant!(a_value_is_used_and_torn_down, two_owners_at_once);

fn a_value_is_used_and_torn_down<R: Make>() {
    Soak::<R>::run(400_000, 100);
}

/// The same for long.
#[test]
#[ignore = "takes long, also in a release build"]
fn soak() {
    fn run<R: Make>() {
        if there_is::<R>() {
            Soak::<R>::run(1_000_000_000, 1_000_000);
        }
    }
    run::<Counters>();
    run::<Borrowed>();
    run::<Plain>();
}

/// A value that threads use while it is torn down again and again. The checks:
///
/// - it is alive under protection, and the same at the end of a use as at the beginning (S2);
/// - when the owner has taken it out, every use that began has ended, and is visible (S2);
/// - an acquire does not grant a value known to be closed before it began (S1);
/// - protection that one thread takes and another one gives back counts (S4).
struct Soak<R: Make> {
    value: Protected<Box<Value>, R>,
    /// The latest value that was published.
    published: AtomicU64,
    /// Every value up to this one is known to be closed.
    closed: AtomicU64,
    over: AtomicBool,
    users: [User; 4],
}

/// The value torn down. Atomics, so that even a broken protection is seen and not undefined.
struct Value {
    pattern: AtomicU64,
    generation: AtomicU64,
}

const ALIVE: u64 = 0x600D_600D_600D_600D;
const POISON: u64 = 0xDEAD_DEAD_DEAD_DEAD;

/// Uses that one thread began and ended, not always the same ones: only the sums agree. On cache
/// lines of its own, and only this thread writes them.
#[derive(Default)]
#[repr(align(128))]
struct User {
    begun: AtomicU64,
    ended: AtomicU64,
}

/// A use that has begun.
struct Use<'a, R: Make> {
    value: Guard<'a, Box<Value>, R>,
    generation: u64,
}

/// Guards on their way from one thread to another.
type Drawer<'a, R> = Mutex<Vec<Use<'a, R>>>;

/// One use in so many goes to the drawer, which has room for so many.
const TO_DRAWER: u64 = 32;
const ROOM: usize = 8;

/// So many values stay poisoned before their memory is used again.
const GRAVEYARD: usize = 64;

impl<R: Make> Soak<R> {
    /// Until both counts are reached.
    fn run(pairs: u64, teardowns: u64) {
        let soak = Self {
            value: Protected::new(*R::make(), Value::new(1)),
            published: AtomicU64::new(1),
            closed: AtomicU64::new(0),
            over: AtomicBool::new(false),
            users: Default::default(),
        };
        let drawer = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for (number, user) in soak.users.iter().enumerate() {
                let (soak, drawer) = (&soak, &drawer);
                scope.spawn(move || soak.use_it(user, drawer, Random::new(number as u64 + 1)));
            }
            soak.tear_down(pairs, teardowns);
        });
    }

    fn use_it<'a>(&'a self, user: &User, drawer: &Drawer<'a, R>, mut random: Random) {
        while !self.over.load(Ordering::Relaxed) {
            // Wrong on purpose, as if the thread migrated all the time (S11).
            R::wander(&mut random);
            let Some(used) = self.begin(user) else {
                // Guards in the drawer would keep the owner waiting.
                self.clear(user, drawer);
                thread::yield_now();
                continue;
            };
            if random.below(TO_DRAWER) > 0 {
                R::wander(&mut random);
                self.end(user, used);
                continue;
            }
            let mut kept = drawer.lock().expect("no thread panics");
            kept.push(used);
            let other = (kept.len() > ROOM).then(|| kept.swap_remove(0));
            drop(kept);
            if let Some(other) = other {
                self.end(user, other);
            }
        }
        self.clear(user, drawer);
    }

    fn clear(&self, user: &User, drawer: &Drawer<'_, R>) {
        let all = std::mem::take(&mut *drawer.lock().expect("no thread panics"));
        all.into_iter().for_each(|used| self.end(user, used));
    }

    fn begin(&self, user: &User) -> Option<Use<'_, R>> {
        // Acquire: pairs with the Release in `tear_down`; a value known to be closed here must not
        // be granted below.
        let closed = self.closed.load(Ordering::Acquire);
        let latest = self.published.load(Ordering::Acquire);
        let Some(value) = self.value.try_acquire() else {
            // All that had been published before the refusal is closed. Looked at first, as it is
            // rarely news.
            if closed < latest {
                self.closed.fetch_max(latest, Ordering::AcqRel);
            }
            return None;
        };
        count_one(&user.begun);
        let generation = value.generation.load(Ordering::Relaxed);
        assert!(generation > closed, "{generation} granted, {closed} closed");
        Some(Use { value, generation })
    }

    fn end(&self, user: &User, used: Use<'_, R>) {
        let found = (
            used.value.pattern.load(Ordering::Relaxed),
            used.value.generation.load(Ordering::Relaxed),
        );
        assert_eq!(found, (ALIVE, used.generation), "torn down while in use");
        count_one(&user.ended);
    }

    /// The owner's work: values are torn down at such a pace that both counts are reached together,
    /// or as fast as it goes.
    fn tear_down(&self, pairs: u64, teardowns: u64) {
        let mut graveyard = VecDeque::new();
        let mut done = 0;
        while done < teardowns || self.sum(|user| &user.begun) < pairs {
            let due = u128::from(pairs) * u128::from(done) / u128::from(teardowns);
            if u128::from(self.sum(|user| &user.begun)) < due {
                thread::yield_now();
                continue;
            }
            let value = self.value.run_down(&Park).expect("the only owner");
            let uses = [self.sum(|user| &user.begun), self.sum(|user| &user.ended)];
            assert_eq!(uses[0], uses[1], "begun and ended, drained");
            let generation = value.generation.swap(POISON, Ordering::Relaxed);
            value.pattern.store(POISON, Ordering::Relaxed);
            graveyard.push_back(value);
            if graveyard.len() > GRAVEYARD {
                graveyard.pop_front();
            }
            // Release: pairs with the Acquire in `begin`.
            self.closed.fetch_max(generation, Ordering::AcqRel);
            let next = self.value.publish(Value::new(generation + 1));
            assert!(next.is_ok(), "a new value was refused");
            // Release: pairs with the Acquire in `begin`: a thread that is refused after it knows
            // that this very value is closed.
            self.published.store(generation + 1, Ordering::Release);
            done += 1;
        }
        self.over.store(true, Ordering::Relaxed);
    }

    fn sum(&self, count: fn(&User) -> &AtomicU64) -> u64 {
        let counts = self.users.iter().map(count);
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

impl Value {
    fn new(generation: u64) -> Box<Self> {
        Box::new(Self { pattern: AtomicU64::new(ALIVE), generation: AtomicU64::new(generation) })
    }
}

/// Counts up a counter that only this thread writes.
fn count_one(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// Two calls of owners on two threads, again and again: their answers and the end are as in one of
/// the two orders.
fn two_owners_at_once<R: Make>() {
    let object = Protected::vacant(*R::make_closed());
    for round in 0..1_000 {
        let (published, taken) =
            at_once(|| object.publish(round).is_ok(), || object.run_down(&Park).ok());
        assert!(published, "nothing else puts a value in");
        if let Some(value) = taken.or_else(|| object.run_down(&Park).ok()) {
            assert_eq!((value, object.state()), (round, State::RunDown));
        }
        assert!(object.publish(round).is_ok(), "the value of this round was left");

        object.close();
        let (opened, closed) = at_once(|| object.reinit().is_ok(), || object.close());
        assert!(opened, "nothing else opens it");
        let state = object.state();
        assert_eq!(state == State::Drained, closed == CloseOutcome::Closed, "{state}, {closed:?}");
        let _ = object.reinit();

        let guard = object.try_acquire().expect("open");
        let (closed, cancelled) = at_once(|| object.close(), || object.cancel().is_ok());
        assert_ne!(closed, CloseOutcome::AlreadyClosed);
        let end = if cancelled { State::Open } else { State::Draining };
        assert_eq!((object.state(), object.racy_held()), (end, 1));
        assert_eq!(object.try_acquire().is_some(), cancelled);
        drop(guard);
        assert_eq!(object.run_down(&Park), Ok(round));
    }
}

/// Starts both as close together as threads can: a barrier that sleeps would let one finish first.
fn at_once<A, B: Send>(first: impl FnOnce() -> A, second: impl FnOnce() -> B + Send) -> (A, B) {
    let ready = AtomicUsize::new(0);
    let meet = || {
        ready.fetch_add(1, Ordering::Relaxed);
        while ready.load(Ordering::Relaxed) < 2 {
            thread::yield_now();
        }
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            meet();
            second()
        });
        meet();
        (first(), other.join().expect("no failure"))
    })
}

/// Memory of a table that is out is written at once: a look-up that still reads it finds what never
/// was.
#[test]
fn no_look_up_reads_a_table_that_is_out() {
    const ENTRIES: u64 = 1_000;
    let images = Images::new();
    let table = RestartTable::new();
    let mut entries = vec![Sequence::new(0, 0); ENTRIES as usize];
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for at in [15, 10 * ENTRIES - 5] {
            let (images, over) = (&images, &over);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let found = images.restart_point(at);
                    assert!(found.is_none_or(|start| start == at - 5), "{at}: {found:?}");
                }
            });
        }
        for _ in 0..2_000 {
            for (place, start) in entries.iter_mut().zip((0..10 * ENTRIES).step_by(10)) {
                *place = Sequence::new(start, start + 10);
            }
            let range = entries.as_mut_ptr_range();
            // SAFETY: there is no code, and the entries stay as they are until the table is out.
            unsafe { images.register(&table, Bounds { start: range.start, end: range.end }) }
                .expect("not in the list");
            thread::yield_now();
            // SAFETY: there is no code.
            unsafe { images.unregister(&table, || {}) }.expect("in the list");
            entries.fill(Sequence::new(1, u64::MAX));
        }
        over.store(true, Ordering::Relaxed);
    });
}
