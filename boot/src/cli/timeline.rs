//! `cargo boot --timeline`: when each CPU was how far while it started, as a picture and a table.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};

use super::args::BootArgs;
use super::story::Story;
use crate::accel::Engine;
use crate::outcome::Outcome;
use crate::timeline::Timeline;

/// Draws how the CPUs of a boot started, and returns the text that goes with it. A boot in which CPUs were missing is
/// drawn, too: that is when people want to know.
pub(super) fn draw(
    story: &Story,
    outcome: &Outcome,
    args: &BootArgs,
    engine: Engine,
    file: &Path,
) -> anyhow::Result<String> {
    let way = args.kernel.0.start;
    let Some(timeline) = Timeline::new(way, story.steps, &story.stamps) else {
        ensure!(
            !outcome.passed(),
            "the kernel has not reported when its CPUs started: is it this workspace's, built from the same sources? \
             (Event `Steps`: {}, events `Stamps`: {})",
            u32::from(story.steps.is_some()),
            story.stamps.len()
        );
        return Ok(String::new());
    };
    let online = story.online.map_or("?".to_string(), |online| online.to_string());
    let about = format!("Start of {online} CPUs ({}, QEMU {}, {engine})", way.name(), args.machine);
    fs::write(file, timeline.svg(&about))
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(format!("\n{timeline}Drawn in {}", file.display()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use protocol::event::Event;
    use protocol::start::{Stamps, Steps};

    use super::draw;
    use crate::accel::Engine;
    use crate::cli::Cli;
    use crate::cli::story::Story;
    use crate::outcome::Outcome;

    /// The result of a boot with this outcome and these reports; and whether there is a picture.
    fn drawn(outcome: &Outcome, stamps: &[Stamps]) -> (Result<(), String>, bool) {
        let mut story = Story::default();
        story.note(&Event::Steps(Steps::default()));
        for cpu in stamps {
            story.note(&Event::Stamps(*cpu));
        }
        let args = Cli::try_parse_from(["cargo boot", "--json"]).expect("valid").run.boot;
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.svg");
        let result = draw(&story, outcome, &args, Engine::Tcg, &file);
        (result.map(drop).map_err(|error| error.to_string()), file.is_file())
    }

    #[test]
    fn what_was_reported_is_drawn_and_a_pass_without_it_is_an_error() {
        let (result, exists) = drawn(&Outcome::Passed, &[]);
        let error = result.expect_err("nothing was reported");
        assert!(error.contains("events `Stamps`: 0") && !exists, "{error}");
        // There is a worse error.
        assert_eq!(drawn(&Outcome::Reset, &[]), (Ok(()), false));
        let stamps = [Stamps { index: 1, at_ns: [1, 2, 3, 4, 5, 6], ..Stamps::default() }];
        for outcome in [Outcome::Passed, Outcome::Reset] {
            assert_eq!(drawn(&outcome, &stamps), (Ok(()), true));
        }
    }
}
