//! `cargo boot --topology`: the machine as a tree, and a table of its caches.
//!
//! Every part of the machine is a set of CPUs: a package, a die, a core, those who share a cache. A set
//! that lies within another is drawn below it. A cache is named on the line of the part whose CPUs
//! share it; one whose CPUs are no such part (those of a module, or of a core complex) makes a part of
//! its own.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use protocol::event::Cpu;
use protocol::human::Bytes;
use protocol::topology::{Cache, CacheKind, Ranges};

/// Trees of more lines than this are shortened, unless the user wants all.
const SHORT_TREE: usize = 48;

/// Of parts side by side in a tree that is shortened, so many are drawn at the beginning and at the
/// end.
const FIRST: usize = 2;
const LAST: usize = 1;

/// The tree and the table, as lines.
pub(super) fn tree(cpus: &[Cpu], caches: &[Cache], verbose: bool) -> Vec<String> {
    let mut machine = Part::machine(cpus);
    machine.add_all(parts(cpus, caches));
    let mut lines = machine.draw(usize::MAX);
    if lines.len() > SHORT_TREE && !verbose {
        lines = machine.draw(FIRST + LAST);
    }
    lines.push(String::new());
    lines.extend(cache_table(caches));
    lines
}

/// A part of the machine.
#[derive(Debug)]
struct Part {
    rank: Rank,
    /// As in its line, without its caches.
    name: String,
    /// Indices.
    cpus: BTreeSet<u32>,
    /// The caches that just these CPUs share, the largest level first.
    caches: Vec<String>,
    /// Parts within it.
    parts: Vec<Part>,
}

/// Kinds of parts, from the outside in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Machine,
    Package,
    Die,
    /// Those who share a cache, and are nothing else together.
    Sharers,
    Core,
    Thread,
}

/// All parts, in no order and not yet in one another.
fn parts(cpus: &[Cpu], caches: &[Cache]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut add = |rank, name, cpus| parts.push(Part::new(rank, name, cpus));
    for ((package,), cpus) in groups(cpus, |cpu| (cpu.package,)) {
        add(Rank::Package, format!("Package {package}"), indices(&cpus));
    }
    if cpus.iter().any(|cpu| cpu.die > 0) {
        for ((_, die), cpus) in groups(cpus, |cpu| (cpu.package, cpu.die)) {
            add(Rank::Die, format!("Die {die}"), indices(&cpus));
        }
    }
    for ((_, _, core), cpus) in groups(cpus, |cpu| (cpu.package, cpu.die, cpu.core)) {
        let kind = cpus[0].kind.map(|kind| format!(" ({})", kind.name()));
        let mut name = format!("Core {core}{}", kind.unwrap_or_default());
        let names = |cpu: &Cpu| format!("CPU {}, APIC ID {}", cpu.index, cpu.apic_id);
        match cpus[..] {
            [cpu] => name = format!("{name}: {}", names(cpu)),
            _ => cpus.iter().for_each(|cpu| {
                let name = format!("Thread {}: {}", cpu.thread, names(cpu));
                add(Rank::Thread, name, BTreeSet::from([cpu.index]));
            }),
        }
        add(Rank::Core, name, indices(&cpus));
    }
    for (cache, sharers) in shared(caches).into_iter().rev() {
        let name = format!("{cache} {}", Bytes(cache.bytes));
        let owner = owner_ranks(&cache).into_iter().find_map(|rank| {
            parts
                .iter()
                .position(|part| part.rank == rank && part.cpus == sharers)
        });
        let owner = owner.unwrap_or_else(|| {
            let name = format!("CPUs {}", Ranges(sharers.iter().copied()));
            parts.push(Part::new(Rank::Sharers, name, sharers));
            parts.len() - 1
        });
        parts[owner].caches.push(name);
    }
    parts
}

/// Who may have a cache on its line, of several that have the same CPUs: caches of level 3 and up are
/// by their nature for many cores, the others for one.
const fn owner_ranks(cache: &Cache) -> [Rank; 5] {
    use Rank::{Core, Die, Package, Sharers, Thread};
    match cache.level {
        3.. => [Die, Package, Sharers, Core, Thread],
        _ => [Core, Thread, Sharers, Die, Package],
    }
}

impl Part {
    fn new(rank: Rank, name: String, cpus: BTreeSet<u32>) -> Self {
        Self {
            rank,
            name,
            cpus,
            caches: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// All of it, with what it has counted.
    fn machine(cpus: &[Cpu]) -> Self {
        let packages = groups(cpus, |cpu| cpu.package).len();
        let dies = groups(cpus, |cpu| (cpu.package, cpu.die)).len();
        let cores = groups(cpus, |cpu| (cpu.package, cpu.die, cpu.core)).len();
        let mut name = format!(
            "{}: {}",
            count(cpus.len(), "CPU"),
            count(packages, "package")
        );
        if dies > packages {
            name = format!("{name}, {}", count(dies, "die"));
        }
        let name = format!("{name}, {}", count(cores, "core"));
        Self::new(
            Rank::Machine,
            name,
            cpus.iter().map(|cpu| cpu.index).collect(),
        )
    }

    /// Puts parts at their places.
    fn add_all(&mut self, mut parts: Vec<Self>) {
        // Larger ones first, so that what a part belongs into is there before it.
        parts.sort_by_key(|part| (Reverse(part.cpus.len()), part.rank));
        for part in parts {
            self.add(part);
        }
        self.sort();
    }

    /// Puts a part below the smallest one that it lies within. One that lies across others, which no
    /// real machine has, comes to be beside them.
    fn add(&mut self, part: Self) {
        let within = |outer: &&mut Self| outer.cpus.is_superset(&part.cpus);
        match self.parts.iter_mut().find(within) {
            Some(outer) => outer.add(part),
            None => self.parts.push(part),
        }
    }

    fn sort(&mut self) {
        self.parts.sort_by_key(|part| part.cpus.first().copied());
        self.parts.iter_mut().for_each(Self::sort);
    }

    /// Its line and those of all parts within it, of which at most so many are drawn side by side (and
    /// one line about the others).
    fn draw(&self, most: usize) -> Vec<String> {
        let mut lines = vec![self.line()];
        let count = self.parts.len();
        // A single one takes no more room than the line about it.
        let short = count > most.saturating_add(1);
        for (place, part) in self.parts.iter().enumerate() {
            let (own, below) = match place + 1 == count {
                true => ("└─ ", "   "),
                false => ("├─ ", "│  "),
            };
            if short && (FIRST..count - LAST).contains(&place) {
                if place == FIRST {
                    lines.push(format!("├─ {}", self.left_out()));
                }
                continue;
            }
            let drawn = part.draw(most);
            let marks = std::iter::once(own).chain(std::iter::repeat(below));
            lines.extend(marks.zip(drawn).map(|(mark, line)| format!("{mark}{line}")));
        }
        lines
    }

    fn line(&self) -> String {
        match self.caches[..] {
            [] => self.name.clone(),
            _ => format!("{} [{}]", self.name, self.caches.join(", ")),
        }
    }

    /// What stands for the parts between the first and the last ones.
    fn left_out(&self) -> String {
        let parts = &self.parts[FIRST..self.parts.len() - LAST];
        let cpus: BTreeSet<u32> = parts.iter().flat_map(|part| &part.cpus).copied().collect();
        let cpus = Ranges(cpus.iter().copied());
        format!("... {} more: CPUs {cpus} (all with --verbose)", parts.len())
    }
}

/// CPUs that have the same key, by key.
fn groups<K: Ord>(cpus: &[Cpu], key: impl Fn(&Cpu) -> K) -> BTreeMap<K, Vec<&Cpu>> {
    let mut groups: BTreeMap<K, Vec<&Cpu>> = BTreeMap::new();
    for cpu in cpus {
        groups.entry(key(cpu)).or_default().push(cpu);
    }
    groups
}

fn indices(cpus: &[&Cpu]) -> BTreeSet<u32> {
    cpus.iter().map(|cpu| cpu.index).collect()
}

/// Each cache once, as the first of its CPUs tells of it, with all of them: by level and kind.
fn shared(caches: &[Cache]) -> Vec<(Cache, BTreeSet<u32>)> {
    let mut shared: BTreeMap<_, (Cache, BTreeSet<u32>)> = BTreeMap::new();
    for cache in caches {
        let (_, cpus) = shared
            .entry(cache.identity())
            .or_insert_with(|| (*cache, BTreeSet::new()));
        cpus.insert(cache.cpu);
    }
    shared.into_values().collect()
}

/// A row for all caches that are alike.
fn cache_table(caches: &[Cache]) -> Vec<String> {
    if caches.is_empty() {
        return vec!["The CPUs do not tell of their caches.".to_string()];
    }
    type Like = (u8, CacheKind, u64, u16, u16);
    let mut rows: BTreeMap<Like, (Cache, Vec<usize>)> = BTreeMap::new();
    for (cache, cpus) in shared(caches) {
        let like = (cache.level, cache.kind, cache.bytes, cache.ways, cache.line);
        let (_, sharers) = rows.entry(like).or_insert_with(|| (cache, Vec::new()));
        sharers.push(cpus.len());
    }
    let rows = rows.into_values().map(|(cache, sharers)| {
        let ways = match cache.ways {
            0 => "-".to_string(),
            ways => ways.to_string(),
        };
        let (least, most) = (sharers.iter().min(), sharers.iter().max());
        let (least, most) = (*least.unwrap_or(&0), *most.unwrap_or(&0));
        let each = match least == most {
            true => count(most, "CPU"),
            false => format!("{least} to {most} CPUs"),
        };
        let size = Bytes(cache.bytes);
        let name = cache.to_string();
        let line = format!("{} B", cache.line);
        let number = sharers.len();
        format!("{name:<5}  {size:>9}  {ways:>4}  {line:>5}  {number:>6}  {each}")
    });
    let header = "cache       size  ways   line  number  each is shared by".to_string();
    std::iter::once(header).chain(rows).collect()
}

/// `1 core`, `2 cores`.
fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
