//! The result as one JSON document.

use std::time::Duration;

use serde::Serialize;

use super::args::BootArgs;
use super::job::Job;
use super::story::Story;
use crate::accel::Engine;
use crate::run::Ending;

/// The document.
#[derive(Debug, Serialize)]
struct Document<'a> {
    /// One word: see [`crate::Outcome::name`].
    outcome: &'static str,
    /// The same in a sentence.
    text: String,
    smp: &'a str,
    machine: &'static str,
    accel: &'static str,
    /// Of a storm.
    seconds: Option<u32>,
    /// From the start of QEMU to its end.
    elapsed_ms: u64,
    /// From the start of QEMU to the guest's first line.
    first_line_ms: Option<u64>,
    /// A shell command that boots the same.
    command: &'a str,
    #[serde(flatten)]
    story: &'a Story,
}

/// Writes the document.
///
/// # Errors
///
/// None that can be met: all of it can be written as JSON.
pub(super) fn document(
    args: &BootArgs,
    job: Job,
    engine: Engine,
    command: &str,
    ending: &Ending,
    story: &Story,
) -> anyhow::Result<String> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let seconds = match job {
        Job::Storm { seconds } => Some(seconds),
        Job::Timeline | Job::Scenario(_) => None,
    };
    let document = Document {
        outcome: ending.outcome.name(),
        text: ending.outcome.to_string(),
        smp: args.smp.as_str(),
        machine: args.machine.name(),
        accel: engine.name(),
        seconds,
        elapsed_ms: millis(ending.elapsed),
        first_line_ms: ending.first_line.map(millis),
        command,
        story,
    };
    Ok(serde_json::to_string_pretty(&document)?)
}
