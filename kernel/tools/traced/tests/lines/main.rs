//! What each variant touches, counted in cache lines on simulated machines of 1 to 4,096 CPUs, is
//! what `docs/cost.md` says, exactly. The formulas are there, and are read from there.
//!
//! One thread plays all CPUs, one after the other, so that counts are exact.

mod machine;

use std::{fs, iter};

use machine::{Cost, Simulator, count, each, on, start};
use rundown_traced::{
    CacheAwareRundown, CloseOutcome, PerCpuRundown, PlainRundown, Rundown, Slot, Variant,
};

/// In the order of the document's columns.
const VARIANTS: [&str; 3] = ["plain", "cache-aware", "per-CPU"];

fn counters() -> PerCpuRundown<Simulator> {
    on(0, || PerCpuRundown::new().expect("there are counters"))
}

fn release<V: Variant>(object: &Rundown<V>) {
    // SAFETY: the scripts release as often as they were granted. One release too many would be
    // reported as misuse, and do no more harm, since the object guards nothing.
    unsafe { object.release() };
}

fn pair<V: Variant>(object: &Rundown<V>) {
    object.acquire().expect("open");
    release(object);
}

/// The cost of each step, by its name in the document.
fn costs_of(variant: &str, cpus: usize) -> Vec<(&'static str, Cost)> {
    start(cpus);
    match variant {
        "plain" => costs(cpus, &PlainRundown::<Simulator>::new()),
        "cache-aware" => costs(cpus, &CacheAwareRundown::<Simulator>::boxed(cpus)),
        _ => costs(cpus, &counters()),
    }
}

/// An object that all CPUs have used is closed, opened again, and so on. CPU 0 is the owner.
fn costs<V: Variant>(cpus: usize, object: &Rundown<V>) -> Vec<(&'static str, Cost)> {
    let again = || on(cpus - 1, || (0..10).for_each(|_| pair(object)));
    let pairs = || each(|| pair(object));
    let hold = || each(|| object.acquire().expect("open"));
    let let_go = || each(|| release(object));
    let refused = || each(|| assert!(object.acquire().is_err(), "it is closed"));
    let close = || assert_eq!(on(0, || object.close()), CloseOutcome::Closed);
    let look = || assert!(on(0, || object.is_drained()), "something is held");
    let reinit = || assert!(on(0, || object.reinit()).is_ok(), "something is held");
    // The first time is not counted: where lines come from when no CPU has them.
    count(&[&pairs, &close, &reinit, &pairs]);
    let steps: [(_, &[&dyn Fn()]); 11] = [
        ("a pair, by the CPU that made the last one", &[&again]),
        ("a pair, by another CPU", &[&pairs]),
        ("a pair, when others come between acquire and release", &[&hold, &let_go]),
        ("close", &[&close, &look]),
        ("first refusal of each CPU", &[&refused]),
        ("re-init after refusals", &[&reinit]),
        ("first pair of each CPU in a new generation", &[&pairs]),
        ("", &[&hold, &close]),
        ("all release late; the owner looks", &[&let_go, &look]),
        ("re-init after late releases", &[&reinit]),
        ("first pair of each CPU in a new generation", &[&pairs]),
    ];
    let costs = steps.map(|(name, step)| (name, count(step)));
    costs.into_iter().filter(|(name, _)| !name.is_empty()).collect()
}

/// The rows of the document's table below this text, cell by cell.
fn table(title: &str) -> Vec<Vec<String>> {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/cost.md");
    let document = fs::read_to_string(document).expect("the document is there");
    let (_, below) = document.split_once(title).expect("it has the table");
    let rows = below.lines().skip_while(|line| !line.starts_with('|')).skip(2);
    let trimmed = |cell: &str| cell.trim().to_owned();
    let cells = |row: &str| row.trim_matches('|').split('|').map(trimmed).collect();
    rows.take_while(|row| row.starts_with('|')).map(cells).collect()
}

/// A sum of numbers, and of the letters that the document explains, for so many CPUs.
fn sum(formula: &str, cpus: usize) -> u64 {
    let term = |term: &str| {
        let factor = match term.trim_end().chars().next_back() {
            Some('n') => cpus as u64 - 1,
            Some('m') => u64::from(cpus > 1),
            _ => 1,
        };
        match term.trim().trim_end_matches(['n', 'm']) {
            "" => factor,
            number => factor * number.parse::<u64>().expect("a number"),
        }
    };
    formula.split('+').map(term).sum()
}

/// Fetches and takes, as `n + m / n`; and those of a barrier.
fn formula(cell: &str, cpus: usize) -> Cost {
    let sum = |formula| sum(formula, cpus);
    let own = cell.trim_end_matches(", a barrier");
    let barrier = if own == cell { [0; 3] } else { ["4n", "m + 3n", "n"].map(sum) };
    let (fetches, takes) = own.split_once('/').unwrap_or(("0", own));
    [sum(fetches) + barrier[0], sum(takes) + barrier[1], barrier[2]]
}

#[test]
fn every_step_costs_what_its_formula_says() {
    let rows = table("## Formulas");
    // Small numbers of CPUs, those around a full line of counters, and the largest the model is
    // meant for.
    for cpus in [1, 2, 3, 7, 8, 9, 17, 64, 65, 255, 1024, 4096] {
        for (column, variant) in VARIANTS.iter().enumerate() {
            for (step, counted) in costs_of(variant, cpus) {
                let row = rows.iter().find(|row| row[0] == step).expect("it has a formula");
                // A pair's is that of each CPU; and alone, a CPU finds all its lines.
                let is_pair = step.starts_with("a pair");
                let times = if is_pair { cpus as u64 * sum("m", cpus) } else { 1 };
                let expected = formula(&row[1 + column], cpus).map(|one| one * times);
                assert_eq!(counted, expected, "{variant}, {step}, {cpus} CPUs");
            }
        }
    }
}

/// The first number of a cell, as `12,345`, is of transfers (or bytes), a second one of interrupts.
#[test]
fn the_tables_of_numbers_say_the_same() {
    fn check(title: &str, expected: impl Fn(&str, usize) -> [u64; 2]) {
        for row in table(title) {
            let cpus = row[0].parse().expect("a number of CPUs");
            for (variant, cell) in VARIANTS.iter().zip(&row[1..]) {
                let (first, second) = cell.split_once(", ").unwrap_or((cell, "0"));
                let shown = [first, second].map(|number| number.replace(',', "").parse());
                let expected = expected(variant, cpus).map(Ok);
                assert_eq!(shown, expected, "{title}: {variant}, {cpus} CPUs");
            }
        }
    }
    let transfers = |steps: &[(&str, Cost)]| {
        let sum = |part: fn(&Cost) -> u64| steps.iter().map(|(_, cost)| part(cost)).sum();
        [sum(|cost| cost[0] + cost[1]), sum(|cost| cost[2])]
    };
    // The fourth step is a close, the seventh is the first pair after it.
    check("**One close", |variant, cpus| transfers(&costs_of(variant, cpus)[3..4]));
    check("**A generation", |variant, cpus| transfers(&costs_of(variant, cpus)[3..7]));
    check("**Memory of one object", |variant, cpus| {
        let bytes = match variant {
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

/// As the paragraph below the formulas says.
#[test]
fn objects_that_are_closed_together() {
    fn check<V: Variant>(cpus: usize, objects: &[Rundown<V>], expected: Cost) {
        let use_all = || each(|| objects.iter().for_each(pair));
        let close_all = || {
            let mut all: Vec<&Rundown<V>> = objects.iter().collect();
            let closed = on(0, || Rundown::close_all(&mut all));
            assert_eq!(closed, Ok(objects.len()));
        };
        // Once uncounted, as above.
        use_all();
        close_all();
        let reinit = |object: &Rundown<V>| assert!(object.reinit().is_ok(), "something is held");
        on(0, || objects.iter().for_each(reinit));
        use_all();
        assert_eq!(count(&[&close_all]), expected, "{} objects, {cpus} CPUs", objects.len());
        assert!(on(0, || objects.iter().all(Rundown::is_drained)));
    }
    for cpus in [1, 2, 8, 64, 255, 4096] {
        // Around a full line of counters.
        for count in [1, 8, 9] {
            start(cpus);
            let (b, n, m) = (count as u64, sum("n", cpus), sum("m", cpus));
            let words = Aligned([const { PlainRundown::<Simulator>::new() }; 9]);
            let lines = b.div_ceil(4) * m;
            check(cpus, &words.0[..count], [lines, lines, 0]);
            let slots = iter::repeat_with(|| CacheAwareRundown::<Simulator>::boxed(cpus));
            let many: Vec<_> = slots.take(count).collect();
            check(cpus, &many, [0, b * (m + n), 0]);
            let many: Vec<_> = iter::repeat_with(counters).take(count).collect();
            let [fetches, takes, interrupts] = formula("0 / 0, a barrier", cpus);
            let lines = n * b.div_ceil(8);
            check(cpus, &many, [fetches + lines, takes + b * m, interrupts]);
        }
    }
}

/// The cost of packing per-CPU counters densely: draining one object leaves the lines of its
/// neighbours' counters shared, so each other CPU has to take its line back, once.
#[test]
fn a_close_disturbs_its_neighbours_once() {
    start(64);
    let [closed, neighbour] = [(); 2].map(|()| counters());
    let use_neighbour = || each(|| pair(&neighbour));
    use_neighbour();
    assert_eq!(count(&[&use_neighbour]), [0; 3]);
    assert_eq!(on(0, || closed.close()), CloseOutcome::Closed);
    assert_eq!(count(&[&use_neighbour]), formula("0 / n", 64));
    assert_eq!(count(&[&use_neighbour]), [0; 3]);
}

/// An acquire on one CPU and its release on another leave counters that are not zero, and the
/// re-init has to write those, and those only.
#[test]
fn a_reinit_writes_the_counters_that_are_not_zero() {
    for moved in [0, 1, 5] {
        start(64);
        let object = counters();
        for cpu in 1..=moved {
            on(cpu, || object.acquire().expect("open"));
            on(cpu + 30, || release(&object));
        }
        assert_eq!(on(0, || object.close()), CloseOutcome::Closed);
        let reinit = || assert!(on(0, || object.reinit()).is_ok(), "something is held");
        assert_eq!(count(&[&reinit]), formula(&format!("0 / {}", 2 * moved), 64));
    }
}
