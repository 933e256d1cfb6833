//! `cargo boot bring-up`: how long starting the CPUs takes, and how that grows with their number.

mod result;

use std::path::Path;
use std::time::Duration;

use console::style;
use protocol::event::Event;
use protocol::human::Nanos;
use protocol::options::{Job, StartMode};

use self::result::Results;
use super::args::{BootArgs, BringUpArgs};
use super::screen::Screen;
use super::{kernel, print, refuse, run, status};
use crate::outcome::Outcome;
use crate::run::Line;

/// The times of one boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sample {
    /// From the start of QEMU to the guest's first line.
    first_line_us: u64,
    /// From the first INIT to the last check-in, by the guest's clock.
    online_us: u64,
    /// From the start of QEMU to its end.
    whole_us: u64,
}

/// A boot that ended otherwise than it was to end.
#[derive(Debug)]
struct Stopped {
    outcome: Outcome,
    story: String,
}

/// Boots again and again, shows what came of it, and returns the process's exit status.
pub(super) fn run(mut args: BringUpArgs) -> anyhow::Result<u8> {
    args.boot.kernel.0.job = Job::BringUp;
    refuse::boot(None, &args.boot)?;
    let elf = &kernel(None, args.boot.qemu.as_deref(), &args.boot.kernel.0)?;
    run::catch_ctrl_c()?;
    let screen = Screen::new(args.boot.json);
    let results = measure(elf, &args, Some(&screen));
    screen.clear();
    match results? {
        Ok(results) => {
            screen.say("");
            screen.table(results.to_string().trim_end().lines());
            if args.boot.json {
                print(format!("{:#}", results.json()))?;
            }
            screen.check()?;
            Ok(0)
        }
        Err(Stopped { outcome, story }) => {
            eprintln!("{}: {story}", style("error").red());
            run::advise(&outcome);
            Ok(status(&outcome))
        }
    }
}

/// The numbers of CPUs to boot with: 1, 2, 4, ... and all.
fn counts(all: u32) -> impl Iterator<Item = u32> + Clone {
    let powers = (0..u32::BITS).map(|power| 1 << power);
    powers.take_while(move |&count| count < all).chain([all])
}

fn measure(
    elf: &Path,
    args: &BringUpArgs,
    screen: Option<&Screen>,
) -> anyhow::Result<Result<Results, Stopped>> {
    let parallel = args.boot.kernel.0.start;
    let counts = counts(args.boot.smp.cpus());
    let all = f64::from(args.rounds) * counts.clone().count() as f64;
    let mut done = 0;
    let mut results = Results::new(&args.boot, counts.clone(), args.rounds);
    for round in 0..args.rounds {
        for cpus in counts.clone() {
            let name = format!("round {} of {}, {cpus} CPUs", round + 1, args.rounds);
            if let Some(screen) = screen.filter(|screen| screen.is_live()) {
                screen.draw(f64::from(done) / all, &name, "", &[]);
            }
            let mut figures = Vec::new();
            // Drift on this machine is to hit both ways alike.
            let ways = match round % 2 {
                _ if cpus == 1 || parallel == StartMode::Serial => vec![parallel],
                0 => vec![parallel, StartMode::Serial],
                _ => vec![StartMode::Serial, parallel],
            };
            for way in ways {
                let sample = match boot(elf, &args.boot, cpus, way)? {
                    Ok(sample) => sample,
                    Err(stopped) => return Ok(Err(stopped)),
                };
                let online = Nanos(sample.online_us.saturating_mul(1000));
                figures.push(format!("{} {online}", way.name()));
                results.add(cpus, way, sample);
            }
            done += 1;
            if let Some(screen) = screen.filter(|screen| !screen.is_live()) {
                screen.say(&format!("{name}: {}", figures.join(", ")));
            }
        }
    }
    Ok(Ok(results))
}

/// Boots our kernel once.
fn boot(
    elf: &Path,
    args: &BootArgs,
    cpus: u32,
    way: StartMode,
) -> anyhow::Result<Result<Sample, Stopped>> {
    let mut args = args.clone();
    args.kernel.0.start = way;
    let boot = run::boot_with(elf, &args)?.smp(cpus);
    let command = boot.command()?;
    let mut online_us = None;
    let ending = boot.watch(|line| {
        if let Line::Event(Event::Online { micros, .. }, _) = line {
            online_us = Some(*micros);
        }
    })?;
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let (first_line_us, whole_us) = (ending.first_line.map(micros), micros(ending.elapsed));
    let outcome = ending.outcome;
    if let (Some(first_line_us), Some(online_us), true) =
        (first_line_us, online_us, outcome.passed())
    {
        return Ok(Ok(Sample { first_line_us, online_us, whole_us }));
    }
    let mut story = format!("{cpus} CPUs, start={}: {outcome}", way.name());
    if outcome != Outcome::Interrupted {
        story.push_str(&format!("\nBy hand: {command}"));
    }
    Ok(Err(Stopped { outcome, story }))
}

#[cfg(test)]
mod tests;
