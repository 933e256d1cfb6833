//! What each variant touches, counted in cache lines on simulated machines of 1 to 4,096 CPUs, is what
//! `docs/cost.md` says, exactly. The formulas are there, and are read from there.
//!
//! One thread plays all CPUs, one after the other, so that counts are exact.

mod machine;

use std::sync::{Arc, Barrier};
use std::{fs, thread};

use machine::{Cost, Machine, Simulator};
use rundown_traced::{
    CacheAwareRundown, CloseOutcome, PerCpuRundown, PlainRundown, Rundown, Slot, Variant,
};

/// In the order of the document's columns.
const VARIANTS: [&str; 3] = ["plain", "cache-aware", "per-CPU"];

fn slots(cpus: usize) -> CacheAwareRundown<Simulator> {
    CacheAwareRundown::boxed(cpus)
}

fn counters(machine: &Arc<Machine>) -> PerCpuRundown<Simulator> {
    machine.on(0, || PerCpuRundown::new().expect("there are counters"))
}

fn acquire<V: Variant>(object: &Rundown<V>) {
    object.acquire().expect("open");
}

fn release<V: Variant>(object: &Rundown<V>) {
    // SAFETY: the scripts release as often as they were granted. One release too many would be reported
    // as misuse, and do no more harm, since the object guards nothing.
    unsafe { object.release() };
}

fn pair<V: Variant>(object: &Rundown<V>) {
    acquire(object);
    release(object);
}

/// What each step costs, by its name in the document.
fn costs_of(variant: &str, cpus: usize) -> Vec<(&'static str, Cost)> {
    let machine = Machine::new(cpus);
    match variant {
        "plain" => costs(&machine, &PlainRundown::<Simulator>::new()),
        "cache-aware" => costs(&machine, &slots(cpus)),
        _ => costs(&machine, &counters(&machine)),
    }
}

/// An object that all CPUs have used is closed, opened again, and so on. CPU 0 is the owner.
fn costs<V: Variant>(machine: &Arc<Machine>, object: &Rundown<V>) -> Vec<(&'static str, Cost)> {
    let again = || machine.on(machine.cpus - 1, || (0..10).for_each(|_| pair(object)));
    let pairs = || machine.each(|| pair(object));
    let hold = || machine.each(|| acquire(object));
    let let_go = || machine.each(|| release(object));
    let refused = || machine.each(|| assert!(object.acquire().is_err(), "it is closed"));
    let close = || {
        machine.on(0, || object.close());
    };
    let is_drained = || machine.on(0, || assert!(object.is_drained(), "something is held"));
    let reinit = || machine.on(0, || assert!(object.reinit().is_ok(), "it is drained"));
    // The first time is not counted: where lines come from when no CPU has them.
    machine.count(&[&pairs, &close, &reinit, &pairs]);
    let steps: [(_, &[&dyn Fn()]); 11] = [
        ("a pair, by the CPU that made the last one", &[&again]),
        ("a pair, by another CPU", &[&pairs]),
        (
            "a pair, when others come between acquire and release",
            &[&hold, &let_go],
        ),
        ("close", &[&close, &is_drained]),
        ("first refusal of each CPU", &[&refused]),
        ("re-init after refusals", &[&reinit]),
        ("first pair of each CPU in a new generation", &[&pairs]),
        ("", &[&hold, &close]),
        ("all release late; the owner looks", &[&let_go, &is_drained]),
        ("re-init after late releases", &[&reinit]),
        ("first pair of each CPU in a new generation", &[&pairs]),
    ];
    let costs = steps.map(|(name, step)| (name, machine.count(step)));
    costs
        .into_iter()
        .filter(|(name, _)| !name.is_empty())
        .collect()
}

/// The rows of the document's table below this text, cell by cell.
fn table(title: &str) -> Vec<Vec<String>> {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/cost.md");
    let document = fs::read_to_string(document).expect("the document is there");
    let (_, below) = document.split_once(title).expect("it has the table");
    let rows = below
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .skip(2);
    let cells = |row: &str| {
        row.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    rows.take_while(|row| row.starts_with('|'))
        .map(cells)
        .collect()
}

/// A sum of numbers, and of the letters that the document explains, for so many CPUs.
fn sum(formula: &str, cpus: usize) -> u64 {
    let term = |term: &str| {
        let term = term.trim();
        let (number, factor) = match term.char_indices().next_back() {
            Some((end, 'C')) => (&term[..end], cpus as u64),
            Some((end, 'n')) => (&term[..end], cpus as u64 - 1),
            Some((end, 'm')) => (&term[..end], u64::from(cpus > 1)),
            _ => (term, 1),
        };
        let number = number.trim();
        factor
            * if number.is_empty() {
                1
            } else {
                number.parse().expect("a number")
            }
    };
    formula.split('+').map(term).sum()
}

/// Fetches and takes, as `n + m / n`; and of a barrier.
fn formula(cell: &str, cpus: usize) -> Cost {
    let (own, barrier) = match cell.strip_suffix(", a barrier") {
        Some(own) => (
            own,
            Cost {
                interrupts: sum("n", cpus),
                ..formula("4n / m + 3n", cpus)
            },
        ),
        None => (cell, Cost::default()),
    };
    let (fetches, takes) = own.split_once('/').unwrap_or(("0", own));
    Cost {
        fetches: sum(fetches, cpus) + barrier.fetches,
        takes: sum(takes, cpus) + barrier.takes,
        ..barrier
    }
}

#[test]
fn every_step_costs_what_its_formula_says() {
    let rows = table("## Formulas");
    // Small numbers of CPUs, those around a full line of counters, and the largest the model is meant for.
    for cpus in [1, 2, 3, 7, 8, 9, 17, 64, 65, 255, 1024, 4096] {
        for (column, variant) in VARIANTS.iter().enumerate() {
            for (step, counted) in costs_of(variant, cpus) {
                let row = rows
                    .iter()
                    .find(|row| row[0] == step)
                    .expect("it has a formula");
                let mut expected = formula(&row[1 + column], cpus);
                if step.starts_with("a pair") {
                    // Each CPU's; and alone, a CPU finds all its lines.
                    let pairs = if cpus > 1 { cpus as u64 } else { 0 };
                    expected.fetches *= pairs;
                    expected.takes *= pairs;
                }
                assert_eq!(counted, expected, "{variant}, {step}, {cpus} CPUs");
            }
        }
    }
}

/// The first number of a cell, as `12,345`, and a second one, if there are interrupts.
#[test]
fn the_tables_of_numbers_say_the_same() {
    const GENERATION: [&str; 4] = [
        "close",
        "first refusal of each CPU",
        "re-init after refusals",
        "first pair of each CPU in a new generation",
    ];
    let check = |title, expected: &dyn Fn(usize, usize) -> [u64; 2]| {
        for row in table(title) {
            let cpus = row[0].parse().expect("a number of CPUs");
            for (column, cell) in row[1..=VARIANTS.len()].iter().enumerate() {
                let (first, second) = cell.split_once(", ").unwrap_or((cell, "0"));
                let number = |text: &str| text.replace(',', "").parse::<u64>().expect(title);
                let shown = [number(first), number(second)];
                assert_eq!(
                    shown,
                    expected(column, cpus),
                    "{title}: {}, {cpus} CPUs",
                    VARIANTS[column]
                );
            }
        }
    };
    for (title, steps) in [
        ("**One close", &GENERATION[..1]),
        ("**A generation", &GENERATION),
    ] {
        check(title, &|column, cpus| {
            // Those that come twice, once.
            let counted = costs_of(VARIANTS[column], cpus).into_iter().take(7);
            let counted = counted.filter(|(step, _)| steps.contains(step));
            counted.fold([0, 0], |[transfers, interrupts], (_, cost)| {
                [
                    transfers + cost.fetches + cost.takes,
                    interrupts + cost.interrupts,
                ]
            })
        });
    }
    check("**Memory of one object", &|column, cpus| {
        let bytes = match VARIANTS[column] {
            "plain" => size_of::<PlainRundown<Simulator>>(),
            "cache-aware" => size_of::<CacheAwareRundown<Simulator>>() + cpus * size_of::<Slot>(),
            _ => size_of::<PerCpuRundown<Simulator>>() + cpus * size_of::<u64>(),
        };
        [bytes as u64, 0]
    });
}

/// On a cache line.
#[repr(align(64))]
struct Aligned<T>(T);

/// As the row "B objects closed together" says.
#[test]
fn objects_that_are_closed_together() {
    fn check<V: Variant>(machine: &Arc<Machine>, objects: &[Rundown<V>], expected: Cost) {
        let use_all = || machine.each(|| objects.iter().for_each(pair));
        let close_all = || {
            let mut all: Vec<&Rundown<V>> = objects.iter().collect();
            machine.on(0, || {
                assert!(Rundown::close_all(&mut all).is_ok(), "legal here")
            });
        };
        // Once uncounted, as above.
        use_all();
        close_all();
        machine.on(0, || {
            assert!(
                objects.iter().all(|object| object.reinit().is_ok()),
                "drained"
            )
        });
        use_all();
        let counted = machine.count(&[&close_all]);
        assert_eq!(
            counted,
            expected,
            "{} objects, {} CPUs",
            objects.len(),
            machine.cpus
        );
        assert!(
            machine.on(0, || objects.iter().all(Rundown::is_drained)),
            "something is held"
        );
    }
    for cpus in [1, 2, 8, 64, 255, 4096] {
        // Around a full line of counters.
        for count in [1, 8, 9] {
            let machine = Machine::new(cpus);
            let (b, n, m) = (count as u64, sum("n", cpus), sum("m", cpus));
            let cost = |fetches, takes, interrupts| Cost {
                fetches,
                takes,
                interrupts,
            };
            let words = Aligned([const { PlainRundown::<Simulator>::new() }; 9]);
            let lines = b.div_ceil(4) * m;
            check(&machine, &words.0[..count], cost(lines, lines, 0));
            let many: Vec<_> = (0..count).map(|_| slots(cpus)).collect();
            check(&machine, &many, cost(0, b * (m + n), 0));
            let many: Vec<_> = (0..count).map(|_| counters(&machine)).collect();
            let (fetches, takes) = (n * b.div_ceil(8) + 4 * n, b * m + m + 3 * n);
            check(&machine, &many, cost(fetches, takes, n));
        }
    }
}

/// What the dense packing of per-CPU counters costs: draining one object leaves the lines of its
/// neighbours' counters shared, so each other CPU has to take its line back, once.
#[test]
fn a_close_disturbs_its_neighbours_once() {
    let machine = Machine::new(64);
    let [closed, neighbour] = [(); 2].map(|()| counters(&machine));
    let use_neighbour = || machine.each(|| pair(&neighbour));
    use_neighbour();
    assert_eq!(machine.count(&[&use_neighbour]), Cost::default());
    machine.on(0, || closed.close());
    assert_eq!(machine.count(&[&use_neighbour]), formula("0 / n", 64));
    assert_eq!(machine.count(&[&use_neighbour]), Cost::default());
}

/// An acquire on one CPU and its release on another leave counters that are not zero, and the
/// re-init has to write those, and those only.
#[test]
fn a_reinit_writes_the_counters_that_are_not_zero() {
    for moved in [0, 1, 5] {
        let machine = Machine::new(64);
        let object = counters(&machine);
        for cpu in 1..=moved {
            machine.on(cpu, || acquire(&object));
            machine.on(cpu + 30, || release(&object));
        }
        machine.on(0, || object.close());
        let reinit = || machine.on(0, || assert!(object.reinit().is_ok(), "it is drained"));
        assert_eq!(
            machine.count(&[&reinit]),
            formula(&format!("0 / {}", 2 * moved), 64)
        );
    }
}

/// CPUs that use one object at the same time cost each other nothing, however they interleave. Then they go
/// on until they find it closed: that costs what a close costs, and at most four transfers for each CPU that
/// it meets in the middle of a pair: the state word again, the two lines of a release that comes late, and one
/// more for a race that was reported in another order than it happened in.
#[test]
fn all_at_once_on_threads() {
    const CPUS: usize = 4;
    fn at_once(machine: &Arc<Machine>, work: &(dyn Fn(usize) + Sync)) -> Cost {
        let start = Barrier::new(CPUS);
        let all = || {
            thread::scope(|scope| {
                (0..CPUS).for_each(|cpu| {
                    let start = &start;
                    scope.spawn(move || {
                        start.wait();
                        machine.on(cpu, || work(cpu));
                    });
                });
            });
        };
        machine.count(&[&all])
    }
    fn pairs<V: Variant>(machine: &Arc<Machine>, object: &Rundown<V>) {
        machine.each(|| pair(object));
        let cost = at_once(machine, &|_| (0..500).for_each(|_| pair(object)));
        assert_eq!(cost, Cost::default(), "pairs stay on their own CPU");
    }
    let machine = Machine::new(CPUS);
    // It is not closed: its barrier is simulated, by one thread alone.
    pairs(&machine, &counters(&machine));
    let object = slots(CPUS);
    pairs(&machine, &object);
    let cost = at_once(&machine, &|cpu| match cpu {
        0 => assert_eq!(object.close(), CloseOutcome::Closed),
        _ => {
            while object.acquire().is_ok() {
                release(&object);
            }
        }
    });
    assert!(object.is_drained(), "something is held");
    let bounds = 3..=4 + 4 * 3;
    assert!(
        bounds.contains(&(cost.fetches + cost.takes)),
        "{cost:?} is not within {bounds:?}"
    );
}
