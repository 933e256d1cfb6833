//! A long run on the host: threads use a value while it is torn down again and again, until so many
//! protections have been granted and so many values torn down, under each variant.
//!
//! ```text
//! cargo run --release -p rundown --example soak -- [--pairs 1e9] [--teardowns 1e6] [--threads N]
//! ```
//!
//! `--threads`: how many use the value, as many as there are CPUs if not given; one more tears down. The
//! exit status is 0 only if nothing was violated. What is checked:
//!
//! - a value under protection is alive, and the same at the end of its use as at the beginning (S2);
//! - when the owner has taken it out, every use that began has ended, and is visible (S2);
//! - what was known to be closed before an acquire began is not granted by it (S1);
//! - protection that one thread takes and another one gives back counts (S4);
//! - nothing hangs: a minute without any progress is a failure.

use std::collections::VecDeque;
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rundown::{
    CacheAwareRundown, Guard, HostPlatform, Park, PerCpuRundown, PlainRundown, Protected, Rundown,
    Variant,
};

fn main() -> ExitCode {
    let goal = match Goal::from_arguments() {
        Ok(goal) => goal,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    // The owner asks for a slot, too.
    let slots = goal.threads + 1;
    match PerCpuRundown::<HostPlatform>::new() {
        Ok(rundown) => Soak::run("per-CPU", rundown, &goal),
        Err(why) => println!("per-CPU: skipped, {why}"),
    }
    Soak::run(
        "cache-aware",
        CacheAwareRundown::<HostPlatform>::boxed(slots),
        &goal,
    );
    Soak::run("plain", PlainRundown::<HostPlatform>::new(), &goal);
    println!("0 violations: PASSED");
    ExitCode::SUCCESS
}

/// What to do.
struct Goal {
    pairs: u64,
    teardowns: u64,
    threads: usize,
}

impl Goal {
    fn from_arguments() -> Result<Self, String> {
        let mut goal = Self {
            pairs: 1_000_000_000,
            teardowns: 1_000_000,
            threads: thread::available_parallelism().map_or(1, NonZero::get),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let text = arguments.next().unwrap_or_default();
            // As a float, so that 1e9 is a number.
            let value = text.parse::<f64>().ok().filter(|n| (1.0..1e18).contains(n));
            let value = value.ok_or(format!(
                "{name}: expected a count such as 1e6, not {text:?}"
            ))?;
            match name.as_str() {
                "--pairs" => goal.pairs = value as u64,
                "--teardowns" => goal.teardowns = value as u64,
                "--threads" => goal.threads = value as usize,
                _ => return Err(format!("{name}: known are --pairs, --teardowns, --threads")),
            }
        }
        Ok(goal)
    }
}

/// One variant under fire.
struct Soak<V: Variant> {
    name: &'static str,
    value: Protected<Box<Value>, V>,
    /// The latest value that was published.
    published: AtomicU64,
    /// Every value up to this one is known to be closed.
    closed: AtomicU64,
    teardowns: AtomicU64,
    over: AtomicBool,
    users: Vec<User>,
}

/// What is torn down. Atomics, so that even a broken protection is seen and not undefined.
struct Value {
    pattern: AtomicU64,
    generation: AtomicU64,
}

const ALIVE: u64 = 0x600D_600D_600D_600D;
const POISON: u64 = 0xDEAD_DEAD_DEAD_DEAD;

/// One thread's counts, on cache lines of its own. Only this thread writes them.
#[derive(Default)]
#[repr(align(128))]
struct User {
    /// Uses that this thread began and ended, not always the same ones: only the sums agree.
    begun: AtomicU64,
    ended: AtomicU64,
}

/// A use that has begun.
struct Use<'a, V: Variant> {
    value: Guard<'a, Box<Value>, V>,
    generation: u64,
}

/// Guards on their way from one thread to another.
type Drawer<'a, V> = Mutex<Vec<Use<'a, V>>>;

/// One use in so many goes to the drawer, which has room for so many.
const TO_DRAWER: u64 = 32;
const ROOM: usize = 8;

/// So many values stay poisoned before their memory is used again.
const GRAVEYARD: usize = 64;

impl<V: Variant> Soak<V> {
    fn run(name: &'static str, rundown: Rundown<V>, goal: &Goal) {
        let soak = Self {
            name,
            value: Protected::new(rundown, Value::new(1)),
            published: AtomicU64::new(1),
            closed: AtomicU64::new(0),
            teardowns: AtomicU64::new(0),
            over: AtomicBool::new(false),
            users: (0..goal.threads).map(|_| User::default()).collect(),
        };
        let drawer = Mutex::new(Vec::new());
        let start = Instant::now();
        thread::scope(|scope| {
            for user in &soak.users {
                let (soak, drawer) = (&soak, &drawer);
                scope.spawn(move || soak.use_it(user, drawer));
            }
            scope.spawn(|| soak.tear_down(goal));
            soak.watch(goal, start);
        });
        let (pairs, teardowns) = (soak.begun(), get(&soak.teardowns));
        let took = start.elapsed().as_secs_f64();
        println!("{name}: {pairs} pairs, {teardowns} teardowns in {took:.1} s");
    }

    /// A user's work.
    fn use_it<'a>(&'a self, user: &User, drawer: &Drawer<'a, V>) {
        let mut turn = 0;
        while !self.over.load(Ordering::Relaxed) {
            let Some(used) = self.begin(user) else {
                // What lies in the drawer would keep the owner waiting.
                self.clear(user, drawer);
                thread::yield_now();
                continue;
            };
            turn += 1;
            if turn % TO_DRAWER > 0 {
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

    fn clear(&self, user: &User, drawer: &Drawer<'_, V>) {
        let all = std::mem::take(&mut *drawer.lock().expect("no thread panics"));
        all.into_iter().for_each(|used| self.end(user, used));
    }

    fn begin(&self, user: &User) -> Option<Use<'_, V>> {
        // Acquire: pairs with the Release in `tear_down`; what is known to be closed here must not
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
        if generation <= closed {
            self.violated(&format!(
                "{generation} granted, {closed} known to be closed"
            ));
        }
        Some(Use { value, generation })
    }

    fn end(&self, user: &User, used: Use<'_, V>) {
        let pattern = used.value.pattern.load(Ordering::Relaxed);
        let generation = used.value.generation.load(Ordering::Relaxed);
        if (pattern, generation) != (ALIVE, used.generation) {
            let began = used.generation;
            self.violated(&format!("{began} has become {generation}, {pattern:#x}"));
        }
        count_one(&user.ended);
    }

    /// The owner's work: values are torn down at such a pace that both counts are reached together, or
    /// as fast as it goes.
    fn tear_down(&self, goal: &Goal) {
        let mut graveyard = VecDeque::new();
        let mut teardowns = 0;
        while teardowns < goal.teardowns || self.begun() < goal.pairs {
            let due = u128::from(goal.pairs) * u128::from(teardowns) / u128::from(goal.teardowns);
            if u128::from(self.begun()) < due {
                thread::yield_now();
                continue;
            }
            let Ok(value) = self.value.run_down(&Park) else {
                return self.violated("the only owner did not get the value");
            };
            let ended: u64 = self.users.iter().map(|user| get(&user.ended)).sum();
            if self.begun() != ended {
                self.violated(&format!("drained with {ended} of {} ended", self.begun()));
            }
            let generation = value.generation.swap(POISON, Ordering::Relaxed);
            value.pattern.store(POISON, Ordering::Relaxed);
            graveyard.push_back(value);
            if graveyard.len() > GRAVEYARD {
                graveyard.pop_front();
            }
            // Release: pairs with the Acquire in `begin`.
            self.closed.fetch_max(generation, Ordering::AcqRel);
            if self.value.publish(Value::new(generation + 1)).is_err() {
                self.violated("a new value was refused");
            }
            // Release: pairs with the Acquire in `begin`: a thread that is refused after it knows that this
            // very value is closed.
            self.published.store(generation + 1, Ordering::Release);
            teardowns += 1;
            self.teardowns.store(teardowns, Ordering::Relaxed);
        }
        self.over.store(true, Ordering::Relaxed);
    }

    /// Reports progress until it is over.
    fn watch(&self, goal: &Goal, start: Instant) {
        const LOOK_EVERY: Duration = Duration::from_millis(100);
        const REPORT_EVERY: Duration = Duration::from_secs(5);
        const PATIENCE: Duration = Duration::from_secs(60);
        let mut reported = start;
        let mut seen = ((0, 0), start);
        while !self.over.load(Ordering::Relaxed) {
            thread::sleep(LOOK_EVERY);
            let counts = (self.begun(), get(&self.teardowns));
            if counts != seen.0 {
                seen = (counts, Instant::now());
            } else if seen.1.elapsed() > PATIENCE {
                self.violated(&format!("hangs at {counts:?} pairs and teardowns"));
            }
            if reported.elapsed() < REPORT_EVERY {
                continue;
            }
            reported = Instant::now();
            let (pairs, teardowns) = counts;
            let part = |done: u64, of: u64| (done as f64 / of as f64).min(1.0);
            let done = part(pairs, goal.pairs).min(part(teardowns, goal.teardowns));
            let left = start.elapsed().as_secs_f64() * (1.0 - done) / done.max(1e-9);
            eprintln!(
                "{}: {:.1} %, {left:.0} s to go; {pairs} pairs, {teardowns} teardowns",
                self.name,
                done * 100.0
            );
        }
    }

    /// Uses that have begun.
    fn begun(&self) -> u64 {
        self.users.iter().map(|user| get(&user.begun)).sum()
    }

    /// Ends the whole program: the other threads would go on.
    fn violated(&self, what: &str) {
        eprintln!("VIOLATION, {}: {what}", self.name);
        std::process::exit(1);
    }
}

impl Value {
    fn new(generation: u64) -> Box<Self> {
        Box::new(Self {
            pattern: AtomicU64::new(ALIVE),
            generation: AtomicU64::new(generation),
        })
    }
}

/// Counts up a counter that only this thread writes.
fn count_one(counter: &AtomicU64) {
    counter.store(get(counter) + 1, Ordering::Relaxed);
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
