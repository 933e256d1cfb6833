//! Whether the figures are to be believed.

use alloc::{format, string::String};

use protocol::{
    bench::{Barrier, Contender, Pairs, Teardown},
    exit::ExitCode,
};

use crate::log;

/// Says the verdict, and how the kernel is to end.
pub(super) fn announce(pairs: &[Pairs], teardowns: &[Teardown], barriers: &[Barrier]) -> ExitCode {
    let fault = pairs
        .iter()
        .find_map(of_pairs)
        .or_else(|| teardowns.iter().find_map(of_teardown))
        .or_else(|| barriers.iter().find_map(of_barrier));
    let figures = format!(
        "bench: {} contenders on up to {} CPUs, {} teardowns",
        Contender::ALL.len(),
        pairs.iter().map(|line| line.cpus).max().unwrap_or(0),
        teardowns
            .iter()
            .map(|line| u64::from(line.times))
            .sum::<u64>(),
    );
    match fault {
        None => log::verdict(true, &format!("{figures}, nothing left held: PASSED")),
        Some(fault) => log::verdict(false, &format!("{figures}: FAILED ({fault})")),
    }
}

fn of_pairs(line: &Pairs) -> Option<String> {
    let Pairs {
        contender,
        cpus,
        slowest_cpu,
        left,
        ..
    } = *line;
    let fault = match (slowest_cpu, left) {
        (_, 1.. | ..=-1) => format!("{left} left held"),
        (0, _) => String::from("a CPU did nothing"),
        _ => return None,
    };
    Some(format!("{}, {cpus} CPUs: {fault}", contender.name()))
}

fn of_teardown(line: &Teardown) -> Option<String> {
    let Teardown {
        variant,
        cpus,
        times,
        left,
        ..
    } = *line;
    let fault = match (times, left) {
        (_, 1.. | ..=-1) => format!("{left} left held after teardowns"),
        (0, _) => String::from("no teardown"),
        _ => return None,
    };
    Some(format!("{}, {cpus} CPUs: {fault}", variant.name()))
}

fn of_barrier(line: &Barrier) -> Option<String> {
    (line.times == 0).then(|| format!("no barrier with {} CPUs", line.cpus))
}
