//! The result as one JSON document.

use std::time::Duration;

use protocol::options::Job;
use serde_json::{Value, json};

use super::args::BootArgs;
use super::story::Story;
use crate::accel::Engine;
use crate::run::Report;

/// Writes the document: the story, and what is known of the boot. Keys are only ever added.
pub(super) fn document(
    args: &BootArgs,
    engine: Engine,
    command: &str,
    report: &Report,
    story: &Story,
) -> serde_json::Result<String> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let options = args.kernel.0;
    let mut document = json!({
        // One word: see `Outcome::name`; and a sentence.
        "outcome": report.outcome.name(),
        "text": report.outcome.to_string(),
        "smp": args.smp.as_str(),
        "machine": args.machine.name(),
        "accel": engine.name(),
        // Of a storm.
        "seconds": (options.job == Job::Storm).then_some(options.seconds),
        // From the start of QEMU to its end, and to the guest's first line.
        "elapsed_ms": millis(report.elapsed),
        "first_line_ms": report.first_line.map(millis),
        // A shell command that boots the same.
        "command": command,
    });
    if let (Value::Object(document), Value::Object(mut story)) =
        (&mut document, serde_json::to_value(story)?)
    {
        document.append(&mut story);
    }
    serde_json::to_string_pretty(&document)
}
