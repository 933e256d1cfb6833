use std::io::Write;

use clap::Parser;
use protocol::options::{Job, StartMode};
use tempfile::NamedTempFile;

use super::result::Results;
use super::{Sample, Stopped, measure};
use crate::cli::args::BringUpArgs;
use crate::cli::{Cli, Command};
use crate::outcome::Outcome;

const FAKE_QEMU: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/fake-qemu.sh");

fn args(line: &[&str]) -> BringUpArgs {
    let all = [&["cargo boot", "bring-up", "--qemu", FAKE_QEMU], line].concat();
    match Cli::try_parse_from(all).expect("valid").command {
        Some(Command::BringUp(args)) => args,
        other => panic!("{other:?}"),
    }
}

/// Says that its CPUs are online after 1 ms, one by one after 5 ms.
const HONEST: &str = r#"
for a; do [ "$p" = -initrd ] && f=$a; [ "$p" = -smp ] && n=$a; p=$a; done
us=1000; grep -q start=serial "$f" && us=5000
grep -q job=bring-up "$f" || exit 1
echo "@event {\"Online\":{\"online\":$n,\"enabled\":$n,\"micros\":$us}}"
echo '@event {"Verdict":{"passed":true,"text":"fine"}}'
exit 33"#;

fn measured(script: &str, line: &[&str]) -> Result<Results, Stopped> {
    let (mut kernel, mut args) = (NamedTempFile::new().expect("temporary file"), args(line));
    writeln!(kernel, "{script}").expect("written");
    args.boot.kernel.0.job = Job::BringUp;
    measure(kernel.path(), &args, None).expect("QEMU is there")
}

#[test]
fn both_ways_are_measured_at_each_count() {
    let results = measured(HONEST, &["--smp", "5", "--rounds", "2"]).expect("no trouble");
    let document = results.json();
    let rows = document["rows"].as_array().expect("rows");
    let figures: Vec<_> = rows
        .iter()
        .map(|row| (row["cpus"].as_u64(), row["serial_online_us"]["median"].as_u64()))
        .collect();
    let (serial, none) = (Some(5000), None);
    assert_eq!(figures, [(Some(1), none), (Some(2), serial), (Some(4), serial), (Some(5), serial)]);
    assert_eq!(rows[3]["online_us"]["max"].as_u64(), Some(1000));
    assert!(document["growth_per_ap"].is_null());
}

#[test]
fn a_boot_that_fails_ends_it_and_is_reported() {
    let script = format!("{}\n{HONEST}", r#"case "$*" in *"-smp 4"*) exit 0;; esac"#);
    let stopped = measured(&script, &["--smp", "8", "--rounds", "1"]).expect_err("a reset");
    assert_eq!(stopped.outcome, Outcome::Reset);
    let story = stopped.story;
    assert!(story.starts_with("4 CPUs, start=broadcast: the machine was reset"), "{story}");
    assert!(story.contains("By hand: "), "{story}");
    // A pass without figures is none.
    let mute = r#"echo '@event {"Verdict":{"passed":true,"text":"fine"}}'; exit 33"#;
    assert_eq!(measured(mute, &["--smp", "1"]).expect_err("mute").outcome, Outcome::Passed);
}

#[test]
fn the_tables_compare_per_cpu_that_is_started() {
    let sample = |online_us| Sample { first_line_us: 120_000, online_us, whole_us: 900_000 };
    let args = args(&[]);
    let mut results = Results::new(&args.boot, [1, 64, 255].into_iter(), 3);
    results.add(1, StartMode::Broadcast, sample(0));
    for us in [6_300, 12_600, 63_000] {
        results.add(64, StartMode::Broadcast, sample(us));
        results.add(64, StartMode::Serial, sample(us * 10));
    }
    results.add(255, StartMode::Broadcast, sample(25_400));
    let text = results.to_string();
    let rows: Vec<_> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for row in [
        "1 120 ms - - - - - 900 ms",
        "64 120 ms 12.6 ms 6.30 ms..63.0 ms 200 us 126 ms 63.0 ms..630 ms 2.00 ms 10.0 900 ms",
        "From 64 to 255 CPUs the time per AP grows 0.50 times (1: linear; less is better).",
    ] {
        assert!(rows.iter().any(|it| it == row), "{row} is not in:\n{text}");
    }
}
