//! The model in numbers.

use std::fmt::Write;

use lines::{Cost, Kind, Step};

/// Numbers of CPUs that the tables show.
const CPUS: [u64; 7] = [1, 2, 8, 64, 255, 1024, 4096];

/// What things cost in time, in nanoseconds: see the document for where these come from.
struct Prices {
    /// A line that comes from another CPU.
    transfer: f64,
    /// An interrupt, taken and answered, on a machine of one's own.
    interrupt: f64,
    /// The same between two CPUs of a virtual machine.
    interrupt_in_vm: f64,
    /// A pair without transfers.
    plain: f64,
    cache_aware: f64,
    per_cpu: f64,
}

const PRICES: Prices = Prices {
    transfer: 31.0,
    interrupt: 1_000.0,
    interrupt_in_vm: 16_500.0,
    plain: 18.7,
    cache_aware: 10.0,
    per_cpu: 0.7,
};

/// All tables.
pub(crate) fn all() -> String {
    [
        pairs(),
        closes(),
        lives(),
        batches(),
        memory(),
        break_even(),
    ]
    .join("\n")
}

/// One pair: the same on any machine with a full line of CPUs or more.
fn pairs() -> String {
    const CPUS: u64 = 64;
    let steps = [Step::PairsAgain, Step::PairsInTurn, Step::Interleaved];
    let head = [
        "the same CPU again",
        "each pair by another CPU",
        "each call by another CPU",
    ];
    let rows = Kind::ALL.map(|kind| {
        let costs = steps.map(|step| {
            let Cost { fetches, takes, .. } = kind.cost(step, CPUS).expect("all have pairs");
            match (fetches / CPUS, takes / CPUS) {
                (0, 0) => "0".to_owned(),
                (0, takes) => format!("{takes} taken"),
                (fetches, takes) => format!("{fetches} fetched, {takes} taken"),
            }
        });
        (name(kind), costs.to_vec())
    });
    table("Transfers of one pair, 2 CPUs or more", "", &head, &rows)
}

fn closes() -> String {
    let kinds = [Kind::Plain, Kind::CacheAware, Kind::PerCpu, Kind::Windows];
    by_cpus("One close: transfers, interrupts", &kinds, |kind, cpus| {
        shown(kind.cost(Step::Close, cpus).expect("it can be closed"))
    })
}

/// The steps of a generation beside its pairs.
fn life(kind: Kind, cpus: u64) -> Cost {
    let steps = [Step::Close, Step::Refusals, Step::Reinit, Step::FirstPairs];
    let costs = steps.map(|step| kind.cost(step, cpus).expect("it has a life"));
    costs.into_iter().fold(Cost::NONE, |sum, one| sum + one)
}

fn lives() -> String {
    let kinds = [Kind::Plain, Kind::CacheAware, Kind::PerCpu, Kind::Windows];
    let title = "A generation: close, each CPU refused once, re-init, each CPU's first pair";
    by_cpus(title, &kinds, |kind, cpus| shown(life(kind, cpus)))
}

fn batches() -> String {
    const OBJECTS: u64 = 1000;
    let kinds = [Kind::Plain, Kind::CacheAware, Kind::PerCpu];
    let title = "1,000 objects closed together, per object";
    by_cpus(title, &kinds, |kind, cpus| {
        let cost = kind.batch(OBJECTS, cpus).expect("it can be closed");
        let each = |number: u64| number as f64 / OBJECTS as f64;
        match each(cost.interrupts) {
            0.0 => format!("{:.3}", each(cost.transfers())),
            interrupts => format!("{:.3}, {interrupts:.3}", each(cost.transfers())),
        }
    })
}

fn memory() -> String {
    by_cpus(
        "Memory of one object, in bytes",
        &Kind::ALL,
        |kind, cpus| thousands(kind.memory().total(cpus)),
    )
}

/// So many pairs per generation, on all CPUs together, from which on the variant pays that costs more to close.
fn break_even() -> String {
    let time = |cost: Cost, interrupt: f64| {
        cost.transfers() as f64 * PRICES.transfer + cost.interrupts as f64 * interrupt
    };
    let pays = |from: Kind, to: Kind, cpus, interrupt, saved: f64| {
        let more = time(life(to, cpus), interrupt) - time(life(from, cpus), interrupt);
        thousands((more / saved).ceil().max(0.0) as u64)
    };
    let calm = PRICES.plain - PRICES.cache_aware;
    let contended = calm + 2.0 * PRICES.transfer;
    let unlocked = PRICES.cache_aware - PRICES.per_cpu;
    let rows = CPUS.map(|cpus| {
        let numbers = vec![
            pays(Kind::Plain, Kind::CacheAware, cpus, 0.0, calm),
            pays(Kind::Plain, Kind::CacheAware, cpus, 0.0, contended),
            pays(
                Kind::CacheAware,
                Kind::PerCpu,
                cpus,
                PRICES.interrupt,
                unlocked,
            ),
            pays(
                Kind::CacheAware,
                Kind::PerCpu,
                cpus,
                PRICES.interrupt_in_vm,
                unlocked,
            ),
        ];
        (cpus.to_string(), numbers)
    });
    let head = [
        "cache-aware for plain, one user at a time",
        "the same, each pair by another CPU",
        "per-CPU for cache-aware, 1 us an interrupt",
        "the same, 16.5 us",
    ];
    table(
        "Pairs per generation from which on it pays to take",
        "CPUs",
        &head,
        &rows,
    )
}

fn name(kind: Kind) -> String {
    match kind {
        Kind::Plain => "plain",
        Kind::CacheAware => "cache-aware",
        Kind::PerCpu => "per-CPU",
        Kind::Windows => "Windows' shape",
        Kind::Shared => "one shared counter",
        Kind::Unpadded => "own counters, unpadded",
    }
    .to_owned()
}

fn shown(cost: Cost) -> String {
    match cost.interrupts {
        0 => thousands(cost.transfers()),
        interrupts => format!("{}, {}", thousands(cost.transfers()), thousands(interrupts)),
    }
}

fn by_cpus(title: &str, kinds: &[Kind], cell: impl Fn(Kind, u64) -> String) -> String {
    let head: Vec<String> = kinds.iter().map(|&kind| name(kind)).collect();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let rows = CPUS.map(|cpus| {
        let cells = kinds.iter().map(|&kind| cell(kind, cpus)).collect();
        (cpus.to_string(), cells)
    });
    table(title, "CPUs", &head, &rows)
}

fn table(title: &str, corner: &str, head: &[&str], rows: &[(String, Vec<String>)]) -> String {
    let mut text = format!("**{title}**\n\n| {corner} | {} |\n", head.join(" | "));
    text.push_str(&"|---".repeat(head.len() + 1));
    text.push_str("|\n");
    for (name, cells) in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    }
    text
}

/// `12,345`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1234567, "1,234,567"),
        ] {
            assert_eq!(thousands(number), text);
        }
    }
}
