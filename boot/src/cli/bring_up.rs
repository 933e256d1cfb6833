//! `cargo boot bring-up`: how long the start of the CPUs takes, and how that grows with their number.

mod result;

use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use console::style;
use protocol::event::Event;
use protocol::human::Nanos;
use protocol::options::{Format, Job, Options, StartMode};

use self::result::Results;
use super::args::{BootArgs, BringUpArgs};
use super::screen::Screen;
use super::{FAILED, INCOMPLETE, INTERRUPTED, NOT_TRIED, print, run};
use crate::outcome::Outcome;
use crate::run::{Ending, Line};

/// What one boot has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sample {
    /// From the start of QEMU to the guest's first line.
    first_line: Duration,
    /// From the first INIT to the last check-in, by the guest's clock.
    online_us: u64,
    /// From the start of QEMU to its end.
    whole: Duration,
}

/// A boot that ended otherwise than it was to end.
#[derive(Debug)]
struct Stopped {
    outcome: Outcome,
    story: String,
}

/// Boots again and again, shows what came of it, and returns the process's exit status.
pub(super) fn run(elf: &Path, args: &BringUpArgs) -> anyhow::Result<u8> {
    run::check(elf, &args.boot, super::job::Job::Timeline)?;
    let counts = counts(args)?;
    run::catch_ctrl_c()?;
    let screen = Screen::new(args.boot.json);
    let results = measure(elf, args, &counts, Some(&screen));
    screen.clear();
    match results? {
        Ok(results) => {
            screen.say("");
            screen.say(results.to_string().trim_end());
            if args.boot.json {
                print(&results.json()?)?;
            }
            Ok(0)
        }
        Err(Stopped { outcome, story }) => {
            eprintln!("{}: {story}", style("error").red());
            Ok(match outcome {
                Outcome::Interrupted => INTERRUPTED,
                Outcome::Incomplete { .. } => INCOMPLETE,
                Outcome::QemuRefused { .. } => NOT_TRIED,
                _ => FAILED,
            })
        }
    }
}

/// The numbers of CPUs to boot with: 1, 2, 4, ... and all.
fn counts(args: &BringUpArgs) -> anyhow::Result<Vec<u32>> {
    let smp = args.boot.smp.as_str();
    let Ok(all) = smp.parse::<u32>() else {
        bail!(
            "--smp {smp}: bring-up boots many numbers of CPUs up to this one, so it must be a plain number"
        );
    };
    if args.boot.seed.is_some() {
        bail!("--seed: times of a run that counts instructions say nothing; leave it out");
    }
    if args.boot.gdb {
        bail!("--gdb: there are many boots here and no one to debug; `cargo boot --gdb` has one");
    }
    let powers = (0..u32::BITS).map(|power| 1 << power);
    let powers = powers.take_while(|&count| count < all);
    Ok(powers.chain([all]).collect())
}

fn measure(
    elf: &Path,
    args: &BringUpArgs,
    counts: &[u32],
    screen: Option<&Screen>,
) -> anyhow::Result<Result<Results, Stopped>> {
    let parallel = args.boot.start.start;
    let mut progress = Progress {
        screen,
        done: 0,
        all: counts.len() * args.rounds as usize,
    };
    let mut results = Results::new(&args.boot, counts, args.rounds);
    for round in 0..args.rounds {
        for &cpus in counts {
            let round_of = format!("round {} of {}", round + 1, args.rounds);
            progress.draw(&format!("{round_of}: {cpus} CPUs"));
            let mut figures = Vec::new();
            // What drifts on this machine is to hit both ways alike.
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
            progress.step(&match cpus {
                1 => format!("{round_of}, 1 CPU"),
                _ => format!("{round_of}, {cpus} CPUs: {}", figures.join(", ")),
            });
        }
    }
    Ok(Ok(results))
}

/// How far it is: a bar, or, where nothing can be redrawn, a line for each step.
struct Progress<'a> {
    /// `None`: shown nowhere.
    screen: Option<&'a Screen>,
    done: u32,
    all: usize,
}

impl Progress<'_> {
    fn draw(&self, doing: &str) {
        if let Some(screen) = self.screen.filter(|screen| screen.is_live()) {
            let done = f64::from(self.done) / self.all as f64;
            screen.draw(done, doing, "", &[]);
        }
    }

    fn step(&mut self, line: &str) {
        self.done += 1;
        if let Some(screen) = self.screen.filter(|screen| !screen.is_live()) {
            screen.say(line);
        }
    }
}

/// Boots our kernel once.
fn boot(
    elf: &Path,
    args: &BootArgs,
    cpus: u32,
    way: StartMode,
) -> anyhow::Result<Result<Sample, Stopped>> {
    let options = Options {
        format: Format::Json,
        job: Job::BringUp,
        ..Options::default()
    };
    let mut options = args.start.added_to(options);
    options.start = way;
    let boot = run::boot_with(elf, args, &options).smp(cpus);
    let command = boot.command()?;
    let mut online_us = None;
    let ending = boot.watch(|line| {
        if let Line::Event(Event::Online { micros, .. }, _) = line {
            online_us = Some(*micros);
        }
    })?;
    Ok(match (ending.first_line, online_us) {
        (Some(first_line), Some(online_us)) if ending.outcome.passed() => Ok(Sample {
            first_line,
            online_us,
            whole: ending.elapsed,
        }),
        _ => Err(stopped(
            &format!("{cpus} CPUs, start={}", way.name()),
            ending,
            &command,
        )),
    })
}

fn stopped(what: &str, ending: Ending, command: &str) -> Stopped {
    let mut story = format!("{what}: {}", ending.outcome);
    if ending.outcome != Outcome::Interrupted {
        story.push_str(&format!("\nBy hand: {command}"));
    }
    Stopped {
        outcome: ending.outcome,
        story,
    }
}

#[cfg(test)]
mod tests;
