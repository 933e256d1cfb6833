//! A routing table that all threads look into is replaced 1000 times.
//!
//! **The problem.** Packets look routes up all the time, on every CPU, also in interrupt handlers.
//! Now and then a new table comes, and the old one must be freed, or its memory used for the next.
//! A lookup must see one table, whole.
//!
//! **The trap.** Swapping a pointer is easy; to know when the last lookup has left the old table is
//! not. An `RwLock` knows. But each lookup then writes the lock's cache line twice, and that line
//! travels from CPU to CPU: more CPUs make lookups slower, not faster. A lookup that comes while the
//! table is replaced is blocked, which an interrupt handler must never be. And as long as readers
//! overlap, a lock that prefers them lets the writer starve.
//!
//! **With rundown protection.** Control plane and CPUs share one [`Protected`]:
//! - [`Protected::try_acquire`] counts on a line of the CPU's own and never blocks. While the table is
//!   replaced it says so by `None`, and the user decides: try again, drop the packet, use the
//!   default route.
//! - [`Protected::replace`] refuses lookups, waits for those under way, and puts the new table in. So it
//!   never starves. It returns the old one, which no reader uses any more.
//!
//! The price is that `None`. If lookups must not be refused even for a moment, keep two tables alive
//! (epochs, RCU).

use std::array;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use rundown::{CacheAware, CacheAwareRundown, HostPlatform, Park, Protected, Slot};

const READERS: usize = 3;
const REPLACEMENTS: u32 = 1000;
const ROUTES: usize = 64;
/// What no table has for a number.
const SCRAPPED: u32 = u32::MAX;

/// A counter per CPU; some more for other threads.
type Tables = Protected<Box<Table>, CacheAware<HostPlatform, [Slot; READERS + 5]>>;

/// Where to send a packet, by the low bits of its address. To show what a lookup sees, every route
/// is the number of the table, until the table is [scrapped](Table::scrap).
struct Table {
    routes: [AtomicU32; ROUTES],
}

impl Table {
    fn new(number: u32) -> Box<Self> {
        let routes = array::from_fn(|_| AtomicU32::new(number));
        Box::new(Self { routes })
    }

    fn route(&self, address: usize) -> u32 {
        self.routes[address % ROUTES].load(Relaxed)
    }

    /// What freeing does to memory: there is something else in it then.
    fn scrap(&self) {
        for route in &self.routes {
            route.store(SCRAPPED, Relaxed);
        }
    }
}

/// What a reader has met.
#[derive(Default)]
struct Tally {
    lookups: u64,
    refused: u64,
    /// Lookups in two tables at once, in a scrapped one, or in one that was replaced before.
    wrong: u64,
}

/// Looks routes up until it has seen the last table.
fn reader(tables: &Tables) -> Tally {
    let mut tally = Tally::default();
    let mut newest = 0;
    while newest != REPLACEMENTS {
        match tables.try_acquire() {
            Some(guard) => {
                let table: &Table = &guard;
                let number = table.route(0);
                let whole = (1..ROUTES).all(|address| table.route(address) == number);
                let wrong = !whole || number == SCRAPPED || number < newest;
                tally.wrong += u64::from(wrong);
                tally.lookups += 1;
                newest = number;
            }
            None => tally.refused += 1,
        }
        // Not with a guard in hand: the owner would wait for this thread to come back.
        thread::yield_now();
    }
    tally
}

/// Replaces the table again and again. Returns how long one replacement takes.
fn control_plane(tables: &Tables) -> Duration {
    let mut busy = Duration::ZERO;
    for number in 1..=REPLACEMENTS {
        thread::sleep(Duration::from_micros(100));
        let next = Table::new(number);
        let start = Instant::now();
        let old = tables.replace(&Park, next).expect("nothing else replaces");
        busy += start.elapsed();
        assert_eq!(old.route(0), number - 1, "not the table before");
        old.scrap();
    }
    busy / REPLACEMENTS
}

fn main() {
    println!("{READERS} threads look up routes; the table is replaced {REPLACEMENTS} times");
    let tables = Arc::new(Tables::new(CacheAwareRundown::new(), Table::new(0)));
    let readers = [(); READERS].map(|()| {
        let tables = Arc::clone(&tables);
        thread::spawn(move || reader(&tables))
    });
    let time = control_plane(&tables);
    let mut sum = Tally::default();
    for reader in readers {
        // It ends when it has seen the last table.
        let tally = reader.join().expect("a reader has failed");
        sum.lookups += tally.lookups;
        sum.refused += tally.refused;
        sum.wrong += tally.wrong;
    }
    let last = tables.run_down(&Park).expect("nothing else runs it down");

    println!("{} lookups, {} refused, {} in a wrong table", sum.lookups, sum.refused, sum.wrong);
    println!("a replacement takes {time:.1?}, waiting included");
    println!("table {} is the last", last.route(0));
    assert_eq!(sum.wrong, 0, "a table was freed in use");
    assert_eq!(last.route(0), REPLACEMENTS, "a replacement is missing");
}

#[test]
fn the_story_holds() {
    main();
}
