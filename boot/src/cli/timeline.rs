//! `cargo boot --timeline`: when each CPU was how far while it started, as a picture and a table.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

use super::args::BootArgs;
use super::job::Job;
use super::run::{self, Seen};
use crate::timeline::Timeline;

/// Boots an ELF, draws how its CPUs started, and returns the process's exit status.
pub(super) fn run(elf: &Path, args: &BootArgs, file: &Path) -> anyhow::Result<u8> {
    if args.smp.cpus() < 2 {
        bail!("with one CPU there is nothing to draw: --smp 2 or more");
    }
    run::run_then(elf, args, Job::Timeline, |seen| draw(seen, args, file))
}

/// A boot in which CPUs were missing is drawn, too: that is when people want to know.
fn draw(seen: &Seen<'_>, args: &BootArgs, file: &Path) -> anyhow::Result<()> {
    let story = seen.story;
    let Some(timeline) = Timeline::new(args.start.start, story.steps, &story.stamps) else {
        if seen.outcome.passed() {
            bail!(
                "the kernel has not told when its CPUs started: is it this workspace's, built from the \
                 same sources? (Event `Steps` {}, events `Stamps`: {})",
                if story.steps.is_some() {
                    "came"
                } else {
                    "is missing"
                },
                story.stamps.len()
            );
        }
        return Ok(());
    };
    let online = story
        .online
        .map_or("?".to_string(), |online| online.to_string());
    let about = format!(
        "Start of {online} CPUs ({}, QEMU {}, {})",
        args.start.start.name(),
        args.machine,
        seen.engine
    );
    let svg = timeline.svg(&about)?;
    fs::write(file, svg).with_context(|| format!("cannot write {}", file.display()))?;
    seen.say("");
    timeline.to_string().lines().for_each(|line| seen.say(line));
    seen.say(&format!("Drawn in {}", file.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use protocol::event::Event;
    use protocol::start::{Stamps, Steps};

    use super::draw;
    use crate::accel::Engine;
    use crate::cli::Cli;
    use crate::cli::run::Seen;
    use crate::cli::story::Story;
    use crate::outcome::Outcome;

    /// What comes of a boot that has passed, or not, and told this; and whether there is a picture.
    fn drawn(outcome: &Outcome, stamps: &[Stamps]) -> (Result<(), String>, bool) {
        let mut story = Story::default();
        story.note(&Event::Steps(Steps::default()));
        for cpu in stamps {
            story.note(&Event::Stamps(*cpu));
        }
        let args = Cli::try_parse_from(["cargo boot", "--json"])
            .expect("valid")
            .run
            .boot;
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.svg");
        let seen = Seen {
            story: &story,
            outcome,
            engine: Engine::Tcg,
            view: None,
        };
        let result = draw(&seen, &args, &file).map_err(|error| format!("{error:#}"));
        (result, file.is_file())
    }

    #[test]
    fn a_kernel_that_tells_nothing_is_an_error_unless_there_is_a_worse_one() {
        let (result, exists) = drawn(&Outcome::Passed, &[]);
        let error = result.expect_err("nothing was told");
        assert!(error.contains("events `Stamps`: 0"), "{error}");
        assert!(!exists);
        assert_eq!(drawn(&Outcome::Reset, &[]), (Ok(()), false));
    }

    #[test]
    fn a_boot_that_failed_is_drawn_too() {
        let stamps = [Stamps {
            index: 1,
            at_ns: [1, 2, 3, 4, 5, 6],
            ..Stamps::default()
        }];
        assert_eq!(drawn(&Outcome::Reset, &stamps), (Ok(()), true));
        assert_eq!(drawn(&Outcome::Passed, &stamps), (Ok(()), true));
    }
}
