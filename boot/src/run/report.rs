//! A boot's report: line by line, and at its end.

use std::time::{Duration, Instant};

use protocol::event::{Event, MARK};

use crate::firmware;
use crate::monitor::Operator;
use crate::outcome::{Outcome, Testimony};
use crate::symbols::Symbols;

/// One line that the guest wrote to its serial port.
#[derive(Clone, Copy, Debug)]
pub enum Line<'a> {
    /// Text for people; addresses in backtraces have names behind them. An event that was garbled
    /// on the way is shown as such, too.
    Log(&'a str),
    /// An event, and the line it came in.
    Event(&'a Event<'static>, &'a str),
    /// Text of UEFI's firmware before the kernel has started.
    Firmware(&'a str),
}

/// How a boot ended, and all that the guest wrote, if that was to be kept.
#[derive(Clone, Debug)]
pub struct Report {
    /// The verdict.
    pub outcome: Outcome,
    /// The serial port's lines as they came, without line ends; backtraces' addresses have names.
    pub lines: Vec<String>,
    /// The events among them.
    pub events: Vec<Event<'static>>,
    /// QEMU's standard error.
    pub stderr: String,
    /// From the start of QEMU to the first line of the kernel or its loader.
    pub first_line: Option<Duration>,
    /// From the start of QEMU to its end.
    pub elapsed: Duration,
    /// How often each [action](super::Boot::act) was done, in the order in which they were given.
    pub done: Vec<u64>,
    /// QEMU's answers to the actions that [ask](crate::Action::ask).
    pub answers: Vec<String>,
    /// A shell command that boots the same, if nothing was to be done from outside meanwhile.
    pub command: Option<String>,
}

/// Makes sense of the guest's lines.
pub(super) struct Listener {
    pub(super) start: Instant,
    /// Acts on what the guest says.
    pub(super) operator: Option<Operator>,
    pub(super) testimony: Testimony,
    pub(super) symbols: Symbols,
    pub(super) in_firmware: bool,
    pub(super) first_line: Option<Duration>,
}

impl Listener {
    pub(super) fn hear(&mut self, line: &str, see: &mut impl FnMut(Line<'_>)) {
        let operator = self.operator.as_ref();
        let mut see = |line: Line<'_>| {
            operator.inspect(|operator| operator.hear(line));
            see(line);
        };
        self.in_firmware &= !line.contains(firmware::LOADER_SPEAKS) && !line.contains(MARK);
        if self.in_firmware {
            return see(Line::Firmware(&firmware::plain(line)));
        }
        self.first_line.get_or_insert_with(|| self.start.elapsed());
        // A CPU that panics stops the others, maybe in the middle of a line of log.
        let (log, event) = match line.find(MARK) {
            Some(at) => line.split_at(at),
            None => (line, ""),
        };
        let Some(Ok(parsed)) = Event::from_line(event) else {
            self.testimony.hear_log(line);
            return match self.symbols.named(line) {
                Some(lines) => lines.iter().for_each(|line| see(Line::Log(line))),
                None => see(Line::Log(line)),
            };
        };
        if !log.is_empty() {
            self.testimony.hear_log(log);
            see(Line::Log(log));
        }
        self.testimony.hear_event(&parsed);
        see(Line::Event(&parsed, event));
    }
}
