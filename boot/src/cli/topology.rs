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

use crate::machine::Smp;

/// Trees of more lines than this are shortened, unless the user wants all.
const SHORT_TREE: usize = 48;

/// How many of the parts side by side are drawn, at the beginning and at the end: all; if that makes too
/// long a tree, fewer.
const DRAWN: [(usize, usize); 4] = [(usize::MAX, 0), (2, 1), (1, 1), (1, 0)];

/// The tree and the table, as lines.
pub(super) fn tree(cpus: &[Cpu], caches: &[Cache], verbose: bool) -> Vec<String> {
    let mut machine = Part::machine(cpus);
    machine.add_all(parts(cpus, caches));
    let mut lines = Vec::new();
    for drawn in DRAWN {
        lines = machine.draw(drawn);
        if verbose || lines.len() <= SHORT_TREE {
            break;
        }
    }
    lines.push(String::new());
    lines.extend(cache_table(caches));
    lines
}

/// What is to be said below a tree without dies to somebody who has asked QEMU for some.
pub(super) fn notes(smp: &Smp) -> Vec<String> {
    let dies = smp
        .as_str()
        .split(',')
        .filter_map(|part| part.strip_prefix("dies="));
    let asked = dies.last().is_some_and(|dies| dies != "1");
    let note = "This CPU model does not tell of its dies: their cores count as the package's. To see \
                dies, add a model that does: -- -cpu EPYC";
    asked.then(|| note.to_string()).into_iter().collect()
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
    let mut shared = shared(caches);
    shared.sort_by_key(|(cache, _)| (Reverse(cache.level), cache.kind));
    for (cache, sharers) in shared {
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

    /// Its line and those of the parts within it, of which so many are drawn at the beginning and at the
    /// end, and one line about the others.
    fn draw(&self, drawn: (usize, usize)) -> Vec<String> {
        let (first, last) = drawn;
        let mut lines = vec![self.line()];
        let count = self.parts.len();
        // One that is left out would save no line if it had but one.
        let left_out = match count > first.saturating_add(last).saturating_add(1) {
            true => first..count - last,
            false => 0..0,
        };
        for (place, part) in self.parts.iter().enumerate() {
            let (own, below) = match place + 1 == count {
                true => ("└─ ", "   "),
                false => ("├─ ", "│  "),
            };
            if left_out.contains(&place) {
                // The line about them stands where the last one would.
                if place + 1 == left_out.end {
                    let left_out = said_of(&self.parts[left_out.clone()]);
                    lines.push(format!("{own}{left_out}"));
                }
                continue;
            }
            let marks = std::iter::once(own).chain(std::iter::repeat(below));
            let within = part.draw(drawn);
            lines.extend(
                marks
                    .zip(within)
                    .map(|(mark, line)| format!("{mark}{line}")),
            );
        }
        lines
    }

    fn line(&self) -> String {
        match self.caches[..] {
            [] => self.name.clone(),
            _ => format!("{} [{}]", self.name, self.caches.join(", ")),
        }
    }
}

/// What stands for parts that are not drawn.
fn said_of(parts: &[Part]) -> String {
    let cpus: BTreeSet<u32> = parts.iter().flat_map(|part| &part.cpus).copied().collect();
    let cpus = Ranges(cpus.iter().copied());
    format!("... {} more: CPUs {cpus} (all with --verbose)", parts.len())
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
