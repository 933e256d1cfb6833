//! The barrier, see the guest of the same name.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use boot::Report;
use tests::Case;

fn main() -> ExitCode {
    let cases = Case::matrix("barrier", &[1, 2, 3, 4, 8, 16, 64])
        .into_iter()
        .map(|case| {
            let cpus = case.shape().cpus;
            case.also(move |report| the_silent_cpu_is_in_the_log(report, cpus))
        });
    tests::main("barrier", cases.collect())
}

/// On many virtual CPUs another one may be as slow, and be named in its place.
fn the_silent_cpu_is_in_the_log(report: &Report, cpus: u32) -> Result<()> {
    let named = |line: &&String| line.contains("has not answered for 1000 ms");
    let lines: Vec<_> = report.lines.iter().filter(named).collect();
    if cpus == 1 {
        ensure!(lines.is_empty(), "there is no other CPU: {lines:?}");
    } else {
        ensure!(!lines.is_empty(), "no CPU is named");
    }
    Ok(())
}
