//! Pairs of acquire and release on one object.

use crate::{Bench, Group, Object, Table};

/// Something that can be measured.
pub struct Contender {
    /// As the table shows it.
    pub name: &'static str,
    /// Which part of the table it belongs to.
    pub group: Group,
    /// What one object takes besides its value, in bytes: however many CPUs there are, and for each CPU.
    pub memory: Option<[usize; 2]>,
    /// Makes a new object, for each measurement.
    pub make: Box<dyn Fn() -> Object>,
}

impl Contender {
    fn row(&self) -> (Group, String) {
        (self.group, self.name.to_owned())
    }
}

/// What Windows does.
pub const WINDOWS: &str = "Windows' shape: own slot, load + lock cmpxchg";
/// The limit for counters in slots: locked instructions on a slot of the thread's own.
pub const LOCKED: &str = "own slot, lock xadd twice";
/// The limit for plain counters: no lock prefix.
pub const UNLOCKED: &str = "own word, test flag, inc gs:, dec gs:";

/// What a pair costs each of 1, 2, 4... threads on the same object.
pub fn pairs(bench: &Bench<'_>, title: &str, contenders: &[Contender]) -> Table {
    let title = format!("{title}; ns per pair and thread, by threads");
    let steps = bench.workers.steps();
    let ns = |one: &Contender, threads: &usize| vec![bench.pair(*threads, &one.make)];
    let mut table = Table::measured(bench, title, &steps, contenders, Contender::row, ns);
    if let [1, .., all] = steps[..] {
        table.derive("scaling", |row| {
            row.cells[0]
                .to(&row.cells[steps.len() - 1])
                .times(all as f64)
        });
    }
    let alone = |table: &Table, name| Some(table.row(name)?.cells[0].clone());
    for (column, yardstick) in [("/lock", LOCKED), ("/plain", UNLOCKED)] {
        if let Some(yardstick) = alone(&table, yardstick) {
            table.derive(column, |row| row.cells[0].to(&yardstick));
        }
    }
    if let Some(windows) = alone(&table, WINDOWS) {
        table.derive("Windows/", |row| windows.to(&row.cells[0]));
    }
    table.sort();
    table.note = "scaling: throughput of all threads to that of one. /lock, /plain: one thread to the limit with a lock\n\
                  prefix, and without. Windows/: how many times faster than Windows' shape. Ratios are taken within rounds.\n";
    table
}

/// What one object takes.
#[must_use]
pub fn memory(contenders: &[Contender]) -> Table {
    let columns = ["object", "each CPU", "2 CPUs", "64 CPUs", "4096 CPUs"];
    let mut table = Table {
        title: "memory of one object besides its value, bytes".to_owned(),
        columns: columns.map(str::to_owned).to_vec(),
        rows: Vec::new(),
        note: "",
    };
    for contender in contenders {
        if let Some([fixed, per_cpu]) = contender.memory {
            let bytes = |cpus| (fixed + cpus * per_cpu) as f64;
            let figures = [bytes(0), per_cpu as f64, bytes(2), bytes(64), bytes(4096)];
            table.add(contender.group, contender.name, figures);
        }
    }
    table
}

/// An object whose value users write: each contender as all of them write it, and as only one CPU takes
/// protection and gives it back while all others write.
pub fn written(bench: &Bench<'_>, contenders: &[[Contender; 2]]) -> Table {
    let all = bench.workers.count();
    let columns = ["one CPU", "all CPUs", "the only reader"];
    let title = "one object whose value users increment, by all CPUs at once; ns per use";
    let row = |[writers, _]: &[Contender; 2]| writers.row();
    let ns = |[writers, reader]: &[Contender; 2], column: &&str| match *column {
        "one CPU" => vec![bench.pair(1, &writers.make)],
        "all CPUs" => vec![bench.pair(all, &writers.make)],
        _ => vec![bench.pair(all, &reader.make)],
    };
    let mut table = Table::measured(bench, title, &columns, contenders, row, ns);
    table.note = "the only reader: one CPU only takes protection and gives it back, while all others increment.\n";
    table
}

/// After how many pairs between two closes the variant called `fast`, whose pair is cheaper, has paid for
/// its more expensive close; by tables of pairs and of closes, in the column for as many slots as there are
/// CPUs.
#[must_use]
pub fn break_even(
    [fast, other]: [&str; 2],
    pairs: &Table,
    closes: &Table,
    cpus: usize,
) -> Option<f64> {
    let slots = cpus.next_power_of_two().to_string();
    let column = closes.columns.iter().position(|column| *column == slots)?;
    let close = |name| closes.row(name)?.cells[column].median();
    let pair = |name| pairs.row(name)?.cells[0].median();
    let saved = pair(other)? - pair(fast)?;
    (saved > 0.0).then_some(((close(fast)? - close(other)?) / saved).max(0.0))
}
