//! Pairs of acquire and release on one object.

use crate::{Bench, Contender, MakeObject, Table};

/// A pair as Windows does it.
pub const WINDOWS: &str = "Windows' shape: own slot, load + lock cmpxchg";
/// The limit for counters in slots: locked instructions on a slot of the thread's own.
pub const LOCKED: &str = "own slot, lock xadd twice";
/// The limit for plain counters: no lock prefix.
pub const UNLOCKED: &str = "own word, test flag, inc gs:, dec gs:";

/// The cost of a pair to each of 1, 2, 4... threads on the same object.
pub fn pairs(bench: &Bench, title: &str, contenders: &[Contender<MakeObject>]) -> Table {
    let title = format!("{title}; ns per pair and thread, by threads");
    let steps = bench.workers.steps();
    let ns = |make: &MakeObject, threads: &usize| vec![bench.pair(*threads, make)];
    let mut table = Table::measured(bench.rounds, title, &steps, contenders, &[], ns);
    if let [1, .., all] = steps[..] {
        let last = steps.len() - 1;
        table.derive("scaling", |row| row.cells[0].to(&row.cells[last], all as f64));
    }
    let alone = |table: &Table, name| Some(table.row(name)?.cells[0].clone());
    for (column, yardstick) in [("/lock", LOCKED), ("/plain", UNLOCKED)] {
        if let Some(limit) = alone(&table, yardstick) {
            table.derive(column, |row| row.cells[0].to(&limit, 1.0));
        }
    }
    if let Some(windows) = alone(&table, WINDOWS) {
        table.derive("Windows/", |row| windows.to(&row.cells[0], 1.0));
    }
    table.sort();
    table.note = "scaling: throughput of all threads to that of one. /lock, /plain: one thread to the limit with a lock\n\
                  prefix, and without. Windows/: how many times faster than Windows' shape. Ratios are taken within rounds.\n";
    table
}
