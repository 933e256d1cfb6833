//! The guest's reports so far.

use std::time::Duration;

use protocol::event::{Cpu, Event};
use protocol::options::Job;
use protocol::start::{Stamps, Steps};
use protocol::storm::{CpuLine, Totals};
use serde::Serialize;
use serde_json::{Value, json};

use super::args::BootArgs;
use crate::accel::Engine;
use crate::run::Report;

/// All that the final tables and the JSON document show. Grows with CPUs and tests, not with time.
#[derive(Debug, Default, Serialize)]
pub(super) struct Story {
    pub(super) kernel: Option<String>,
    pub(super) memory_kib: Option<u64>,
    /// CPUs that run, the BSP included.
    pub(super) online: Option<u32>,
    /// CPUs that the firmware lists as enabled.
    pub(super) enabled: Option<u32>,
    /// Microseconds from the first INIT to the last check-in.
    pub(super) bring_up_us: Option<u64>,
    pub(super) cpus: Vec<Cpu>,
    pub(super) steps: Option<Steps>,
    pub(super) stamps: Vec<Stamps>,
    /// APIC IDs of the CPUs that never checked in.
    pub(super) missing: Vec<u32>,
    pub(super) tests_passed: Vec<String>,
    /// The last whole report of the storm.
    pub(super) storm: Option<StormReport>,
    pub(super) verdict: Option<String>,
    /// The report that is coming in.
    #[serde(skip)]
    incoming: Option<StormReport>,
}

/// One report of the storm, live or final.
#[derive(Clone, Debug, Serialize)]
pub(super) struct StormReport {
    pub(super) totals: Totals,
    pub(super) cpus: Vec<CpuLine>,
}

impl Story {
    /// Keeps an event. Returns a storm report when this event has completed it.
    pub(super) fn note(&mut self, event: &Event<'_>) -> Option<&StormReport> {
        match event {
            Event::Hello { kernel, memory_kib } => {
                self.kernel = Some(kernel.to_string());
                self.memory_kib = Some(*memory_kib);
            }
            Event::Cpu(cpu) => self.cpus.push(*cpu),
            Event::Missing { apic_id } => self.missing.push(*apic_id),
            Event::Online { online, enabled, micros } => {
                self.online = Some(*online);
                self.enabled = Some(*enabled);
                self.bring_up_us = Some(*micros);
            }
            Event::TestPass { name } => self.tests_passed.push(name.to_string()),
            Event::Storm(totals) => {
                self.incoming = Some(StormReport { totals: *totals, cpus: Vec::new() });
                return self.completed();
            }
            Event::StormCpu(line) => {
                self.incoming.as_mut()?.cpus.push(*line);
                return self.completed();
            }
            Event::Verdict { text, .. } => self.verdict = Some(text.to_string()),
            Event::TestPlan { .. } | Event::TestStart { .. } | Event::Panic { .. } => {}
            Event::Faulted(_)
            | Event::Unlisted { .. }
            | Event::Late { .. }
            | Event::Clock { .. } => {}
            Event::Steps(steps) => self.steps = Some(*steps),
            Event::Stamps(stamps) => self.stamps.push(*stamps),
        }
        None
    }

    /// The result as one JSON document: the story, and facts of the boot. Keys are only ever added.
    pub(super) fn document(
        &self,
        args: &BootArgs,
        engine: Engine,
        command: &str,
        report: &Report,
    ) -> serde_json::Result<String> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let options = args.kernel.0;
        let mut document = json!({
            // One word: see `Outcome::name`; and a sentence.
            "outcome": report.outcome.name(),
            "text": report.outcome.to_string(),
            "smp": args.smp.as_str(),
            "machine": args.machine.to_string(),
            "accel": engine.to_string(),
            // Of a storm.
            "seconds": (options.job == Job::Storm).then_some(options.seconds),
            // From the start of QEMU to its end, and to the guest's first line.
            "elapsed_ms": millis(report.elapsed),
            "first_line_ms": report.first_line.map(millis),
            // A shell command that boots the same.
            "command": command,
        });
        if let (Value::Object(document), Value::Object(mut story)) =
            (&mut document, serde_json::to_value(self)?)
        {
            document.append(&mut story);
        }
        serde_json::to_string_pretty(&document)
    }

    fn completed(&mut self) -> Option<&StormReport> {
        let whole = |report: &mut StormReport| report.cpus.len() >= report.totals.cpus as usize;
        let report = self.incoming.take_if(whole)?;
        Some(self.storm.insert(report))
    }
}

#[cfg(test)]
mod tests {
    use protocol::event::Event;
    use protocol::storm::{CpuLine, Lane, Totals};

    use super::Story;

    #[test]
    fn a_report_counts_when_its_last_line_is_there() {
        let variants = [Lane::default(); 3];
        let totals =
            |elapsed_ms| Event::Storm(Totals { last: false, elapsed_ms, cpus: 2, variants });
        let line = |index| Event::StormCpu(CpuLine { index, ..CpuLine::default() });
        let mut story = Story::default();
        // Without a report of its own it changes nothing.
        assert!(story.note(&line(0)).is_none());
        assert!(story.note(&totals(1000)).is_none());
        assert!(story.note(&line(0)).is_none());
        assert_eq!(story.note(&line(1)).expect("whole").cpus.len(), 2);
        // One that is cut short leaves the one before.
        story.note(&totals(2000));
        story.note(&line(0));
        assert_eq!(story.storm.expect("whole").totals.elapsed_ms, 1000);
    }
}
