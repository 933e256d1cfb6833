//! Actions of QEMU's monitor on a machine while its guest runs, and their times.

use protocol::event::Event;
use serde_json::{Value, json};

use crate::run::Line;

/// Has lines for people executed as QMP's commands are.
pub(crate) const HMP: &str = "human-monitor-command";

/// A command for QEMU's monitor.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "an action does nothing unless a boot is given it"]
pub struct Action {
    /// The event that starts it.
    pub when: Trigger,
    /// The command's name in QMP: `inject-nmi`, `device_add`.
    pub command: String,
    /// Its arguments, an object; `null` if it takes none.
    pub arguments: Value,
    /// Whether it is done again and again from then on, until the end of the guest; else once.
    pub repeats: bool,
    /// Whether it is a question: QEMU's text is then an answer for the report, else a refusal.
    pub asks: bool,
}

/// The line of the guest that starts an action. Only the first line that fits does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The guest's first event: its memory and its serial port work, no other CPU has started yet.
    Hello,
    /// The start of the guest's first test.
    FirstTest,
    /// The start of the test with this name.
    TestStart(String),
    /// A line of log that contains this.
    Log(String),
}

impl Action {
    /// A command of QMP, done once.
    pub fn qmp(when: Trigger, command: impl Into<String>, arguments: Value) -> Self {
        Self { when, command: command.into(), arguments, repeats: false, asks: false }
    }

    /// A line as people type it, for what QMP lacks, such as `mce`. Done once. QEMU must answer it
    /// by silence: any text counts as an error, since QEMU does not mark errors here.
    pub fn hmp(when: Trigger, line: &str) -> Self {
        Self::qmp(when, HMP, json!({ "command-line": line }))
    }

    /// A question as people type it, such as `info lapic 0`. The answer goes into
    /// [`Report::answers`](crate::Report::answers).
    pub fn ask(when: Trigger, line: &str) -> Self {
        Self { asks: true, ..Self::hmp(when, line) }
    }

    /// A non-maskable interrupt to each CPU that listens to its LINT1 pin, again and again.
    pub fn nmis(when: Trigger) -> Self {
        Self { repeats: true, ..Self::qmp(when, "inject-nmi", Value::Null) }
    }
}

impl Trigger {
    /// Whether this line of the guest is what was waited for.
    pub(crate) fn fits(&self, line: Line<'_>) -> bool {
        match (self, line) {
            (Self::Hello, Line::Event(Event::Hello { .. }, _))
            | (Self::FirstTest, Line::Event(Event::TestStart { .. }, _)) => true,
            (Self::TestStart(wanted), Line::Event(Event::TestStart { name }, _)) => name == wanted,
            (Self::Log(part), Line::Log(text)) => text.contains(part.as_str()),
            _ => false,
        }
    }
}
