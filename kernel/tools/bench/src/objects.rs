//! Many objects: the cost of using one that is picked at random, and of making one more, by how
//! many there are.
//!
//! All other figures are of one object, which stays in the first cache. Here each use finds another
//! one: what counts is how many cache lines a use touches, and what objects there are besides.

use std::sync::Mutex;

use rundown::{HostPlatform, PerCpuRundown, Slot};

use crate::stopwatch::median;
use crate::{Bench, Contender, Group, HostMachine, Lap, Object, Samples, Stopwatch, Table, time};

/// How many objects there are.
const COUNTS: [usize; 6] = [1, 100, 1_000, 10_000, 50_000, 500_000];

/// Many objects, which are used like one.
pub struct Crowd {
    /// How many cache lines of one a use touches.
    pub lines: usize,
    /// How many slots one has.
    pub slots: usize,
    /// Makes so many.
    pub make: Box<dyn Fn(usize) -> Object>,
}

/// Measures a use of each crowd, by one thread. Objects are made anew for each measurement, so that
/// the median is over several places in memory, too.
pub fn objects(bench: &Bench, crowds: &[Contender<Crowd>]) -> Table {
    /// A crowd whose slots take more memory than this is left out.
    const MEMORY: usize = 1 << 30;
    /// How many rounds, at most: to make the objects anew takes long.
    const ROUNDS: usize = 11;
    let title = "one of many objects, picked at random: acquire, read the value, release; one thread, ns, by objects";
    // Whether a library's memory is on huge pages would be chance.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let rounds = bench.rounds.min(ROUNDS);
    let mut table = Table::measured(rounds, title, &COUNTS, crowds, &[], |crowd, &count| {
        if crowd.slots * size_of::<Slot>() * count > MEMORY {
            return vec![];
        }
        // Joins freed memory, so that small objects are made side by side, as in a new process,
        // whatever was measured before.
        #[cfg(target_env = "gnu")]
        // SAFETY: any thread may ask at any time.
        unsafe {
            libc::malloc_trim(0)
        };
        vec![bench.pair(1, || (crowd.make)(count))]
    });
    let _ = rustix::thread::disable_transparent_huge_pages(false);
    table.derive("lines", |row| {
        let own = crowds.iter().filter(|crowd| crowd.name == row.name);
        Samples(own.map(|crowd| crowd.make.lines as f64).collect())
    });
    table.note = "lines: cache lines of the object that a use touches, besides the table where it is looked up. -: more than\n\
                  1 GiB.\n";
    table
}

/// Uses objects picked at random, as the stopwatch asks, after each was used a few times.
#[inline]
pub fn uses(watch: &Stopwatch, objects: usize, mut one: impl FnMut(usize)) -> Lap {
    let mut picks = Random::NEW;
    let mut some = |times: u64| {
        // In a register.
        let mut random = picks;
        for _ in 0..times {
            one(random.below(objects));
        }
        picks = random;
    };
    some(3 * objects as u64);
    watch.batches(some)
}

/// These in random order, always the same.
pub fn shuffled<T>(ordered: impl Iterator<Item = T>) -> Box<[T]> {
    let mut shuffled: Box<[T]> = ordered.collect();
    let mut random = Random::NEW;
    for place in (1..shuffled.len()).rev() {
        shuffled.swap(place, random.below(place + 1));
    }
    shuffled
}

/// Numbers that are random enough to surprise a prefetcher, at a nanosecond each.
#[derive(Clone, Copy)]
struct Random(u64);

impl Random {
    const NEW: Self = Self(0x853c_49e6_748f_ea9b);

    /// Knuth's constants (MMIX); the upper half is the better one.
    #[inline]
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (((self.0 >> 32) * bound as u64) >> 32) as usize
    }
}

/// The cost of making one more object, of the variant whose counters all objects share.
pub fn creation(bench: &Bench) -> Table {
    /// How many objects live while others are made.
    const LIVE: [usize; 3] = [1_000, 50_000, 524_000];
    /// How many are made between two looks at the clock.
    const MADE: usize = 64;
    let make = || PerCpuRundown::<HostPlatform>::new().expect("there are counters for all of them");
    let live = Mutex::new(Vec::new());
    let title = "making one more per-CPU object (HostPlatform) while so many live, ns";
    let contenders = [Contender { name: "per-CPU", group: Group::Ours, make }];
    Table::measured(bench.rounds, title, &LIVE, &contenders, &[], |&make, &count| {
        bench.workers.run(1, || {
            let mut live = live.lock().expect("no thread panics");
            live.truncate(count);
            live.resize_with(count, make);
            median(15, || {
                let mut more = Vec::with_capacity(MADE);
                time(|| more.resize_with(MADE, make)) / MADE as f64
            })
        })
    })
}

/// `readme` with the table of many objects in its place; `None` if it has none.
pub fn with_objects(readme: &str, table: &Table, machine: &HostMachine) -> Option<String> {
    const BEGIN: &str = "<!-- objects -->\n";
    const END: &str = "<!-- end of objects -->";
    let (before, rest) = readme.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    let mut text = String::from(
        "| one of many objects, picked at random; ns | 1 | 100 | 1,000 | 10,000 | 50,000 | 500,000 |\n\
         |---|--:|--:|--:|--:|--:|--:|",
    );
    for row in &table.rows {
        let mark = if row.group == Group::Ours { "*" } else { "" };
        text += &format!("\n| {mark}{}{mark} |", row.name);
        for cell in &row.cells[..COUNTS.len()] {
            text += &cell.median().map_or_else(|| " |".to_owned(), |ns| format!(" {ns:.1} |"));
        }
    }
    let HostMachine { hardware, software, l2_bytes } = machine;
    let caches = COUNTS.map(|count| format!("{:.2}", (count * 64) as f64 / *l2_bytes as f64));
    text += &format!(
        "\n\nOne thread: acquire, read the value, release. {hardware}; {software}. One cache line of each object is {} L2 \
         caches. `cargo bench --package bench -- --part objects`, in the repository, measures it anew.\n",
        caches.join(", "),
    );
    Some(format!("{before}{BEGIN}{text}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_holds_every_number_once_and_is_not_sorted() {
        let mut order = shuffled(0..1_000);
        assert!(!order.is_sorted());
        order.sort_unstable();
        assert!(order.iter().copied().eq(0..1_000));
    }

    #[test]
    fn crowds_that_fit_are_measured_and_replace_the_table_before() {
        let make = |count| -> Object {
            Box::new(move |watch| uses(watch, count, |pick| assert!(pick < count)))
        };
        let crowd = |name, slots| Contender {
            name,
            group: Group::Ours,
            make: Crowd { lines: 2, slots, make: Box::new(make) },
        };
        let bench = Bench::new(1, 1).expect("CPUs");
        let slots = (1 << 30) / size_of::<Slot>() / 100;
        let table = objects(&bench, &[crowd("small", 0), crowd("large", slots)]);
        let measured =
            |row: usize| table.rows[row].cells.iter().filter(|cell| cell.median().is_some());
        assert_eq!((measured(0).count(), measured(1).count()), (7, 3));

        let machine = HostMachine::here();
        let readme = "above\n<!-- objects -->\nold\n<!-- end of objects -->\nbelow\n";
        let new = with_objects(readme, &table, &machine).expect("there is a place");
        assert!(new.starts_with("above\n<!-- objects -->\n| one of many"), "{new}");
        assert!(new.ends_with("\n<!-- end of objects -->\nbelow\n"), "{new}");
        assert!(new.contains("| *large* |") && new.contains(" | | | | |\n"), "{new}");
        assert!(!new.contains("old"), "{new}");
        assert_eq!(with_objects(&new, &table, &machine), Some(new));
        assert_eq!(with_objects("nothing", &table, &machine), None);
    }
}
