//! What a boot reports: line by line, and at its end.

use std::time::Duration;

use protocol::event::Event;

use crate::outcome::Outcome;

/// One line that the guest wrote to its serial port.
#[derive(Clone, Copy, Debug)]
pub enum Line<'a> {
    /// Text for people; addresses in backtraces have names behind them. An event that was garbled on the way is shown as
    /// such, too.
    Log(&'a str),
    /// An event, and the line it came in.
    Event(&'a Event<'static>, &'a str),
    /// What UEFI's firmware writes before the kernel has started.
    Firmware(&'a str),
}

/// How a boot ended, and all that the guest wrote, if that was to be kept.
#[derive(Clone, Debug)]
pub struct Report {
    /// What came of it.
    pub outcome: Outcome,
    /// The serial port's lines as they came, without line ends; addresses in backtraces have names behind them.
    pub lines: Vec<String>,
    /// The events among them.
    pub events: Vec<Event<'static>>,
    /// What QEMU wrote to its standard error.
    pub stderr: String,
    /// From the start of QEMU to the first line of the kernel or its loader.
    pub first_line: Option<Duration>,
    /// From the start of QEMU to its end.
    pub elapsed: Duration,
    /// How many times each [action](super::Boot::act) was done, in the order in which they were given.
    pub done: Vec<u64>,
    /// QEMU's answers to the actions that [ask](crate::Action::ask).
    pub answers: Vec<String>,
    /// A shell command that boots the same, if nothing was to be done from outside meanwhile.
    pub command: Option<String>,
}
