//! The heap and the serial port, shared by all CPUs, see the guest of the same name.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use boot::Report;
use tests::Case;

fn main() -> ExitCode {
    let cases = Case::matrix("heap_and_log", &[1, 2, 4, 16, 64])
        .into_iter()
        .map(|case| {
            let cpus = case.shape().cpus;
            case.also(move |report| every_line_is_there_once_and_whole(report, cpus))
        });
    tests::main("heap_and_log", cases.collect())
}

fn every_line_is_there_once_and_whole(report: &Report, cpus: u32) -> Result<()> {
    let of_a_cpu = |cpu| {
        let thread = (0..10).map(move |number| ("thread", number, cpu));
        let handler = (0..3).map(move |number| ("handler", number, cpu));
        thread.chain(handler)
    };
    for (writer, number, cpu) in (0..cpus).flat_map(of_a_cpu) {
        let text = format!("{writer} line {number} of cpu {cpu} abcdefghijklmnopqrstuvwxyz");
        let line = format!("[CPU {cpu}] {text}");
        let times = report.lines.iter().filter(|&other| *other == line).count();
        ensure!(times == 1, "{line:?} is there {times} times");
    }
    Ok(())
}
