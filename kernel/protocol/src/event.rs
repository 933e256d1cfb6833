//! Guest to host: one event, one line.
//!
//! A line is [`MARK`] and the event as JSON. All other lines on the serial port are log text for
//! people. Events are written whole (the serial lock is held for a line), by any CPU.

use alloc::borrow::Cow;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::human::Nanos;
use crate::{start, storm};

/// The prefix of an event's line. No log line has it.
pub const MARK: &str = "@event ";

/// Longest event line in bytes, mark and line feed included. Texts that would pass it are cut.
pub const MAX_LINE: usize = 1536;

/// The source in [`Event::Clock`] if no source gives the rate.
pub const ASSUMED: &str = "assumed";

/// A report from the guest to the host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "nothing here allocates, and events are few")]
pub enum Event<'a> {
    /// The kernel's first line: serial port and memory work, options are read.
    Hello {
        kernel: Cow<'a, str>,
        /// Usable.
        memory_kib: u64,
    },
    /// One CPU of the index table. Sent in index order, once bring-up is over.
    Cpu(Cpu),
    /// A CPU that the firmware lists as enabled but that never checked in.
    Missing { apic_id: u32 },
    /// A CPU faulted while it started; it has parked itself, and is started again or left out.
    Faulted(start::Faulted),
    /// A CPU started that the firmware does not list as enabled; it has parked itself.
    Unlisted { apic_id: u32 },
    /// A CPU started after it had been given up; it has parked itself.
    Late { apic_id: u32 },
    /// Where the rate of the clock comes from.
    Clock {
        /// Its name, as in [`ClockSource`](crate::options::ClockSource); or [`ASSUMED`].
        source: Cow<'a, str>,
        /// Ticks of the time-stamp counter per second.
        hz: u64,
    },
    /// The BSP's steps of the start. Sent before [`Event::Online`], if the job is `timeline`.
    Steps(start::Steps),
    /// One CPU's way, in index order, after [`Event::Steps`].
    Stamps(start::Stamps),
    /// Bring-up is over.
    Online {
        /// CPUs that run, the BSP included.
        online: u32,
        /// CPUs that the firmware lists as enabled.
        enabled: u32,
        /// Microseconds from the first INIT to the last check-in.
        micros: u64,
    },
    /// A test is about to start.
    TestStart { name: Cow<'a, str> },
    /// The test started last has passed.
    TestPass { name: Cow<'a, str> },
    /// How many tests this guest has: sent first, so that missed ones are noticed.
    TestPlan { tests: u32 },
    /// One CPU's line of a storm report: follows [`Event::Storm`], in index order.
    StormCpu(storm::CpuLine),
    /// A storm report's totals. `cpus` lines of [`Event::StormCpu`] follow.
    Storm(storm::Totals),
    /// A CPU panicked. The text is cut to fit.
    Panic {
        /// Index of the CPU, if it had one yet.
        cpu: Option<u32>,
        /// The CPU's APIC ID, if it could be read.
        apic_id: Option<u32>,
        /// The message with its place in the source.
        message: Cow<'a, str>,
    },
    /// The last line.
    Verdict { passed: bool, text: Cow<'a, str> },
}

impl<'a> Event<'a> {
    /// Writes the event as one line, line feed included, and returns it.
    ///
    /// Takes no lock, and allocates nothing if its text is borrowed, so it may be called in any
    /// context. A text that would not fit is cut; the event itself never gets lost.
    pub fn write_line<'b>(&self, buffer: &'b mut [u8; MAX_LINE]) -> &'b str {
        let mut event = self.clone();
        let mut most = MAX_LINE;
        let len = loop {
            if let Some(text) = event.text() {
                most = text.floor_char_boundary(most);
                match text {
                    Cow::Borrowed(text) => *text = &text[..most],
                    Cow::Owned(text) => text.truncate(most),
                }
            }
            if let Some(len) = event.try_write(buffer) {
                break len;
            }
            // Escapes make it hard to know what fits (a control character becomes six bytes).
            // Without its text every event fits (the tests try the largest numbers).
            assert!(most > 0, "an event without text is too long");
            most -= most.div_ceil(8);
        };
        core::str::from_utf8(&buffer[..len]).expect("JSON is UTF-8")
    }

    /// Length of the line, or `None` if it does not fit.
    fn try_write(&self, buffer: &mut [u8; MAX_LINE]) -> Option<usize> {
        let (mark, json) = buffer.split_at_mut(MARK.len());
        mark.copy_from_slice(MARK.as_bytes());
        let len = serde_json_core::to_slice(self, json).ok()?;
        *json.get_mut(len)? = b'\n';
        Some(MARK.len() + len + 1)
    }

    /// The event's text, if it has one. Without an arm here, a text that is too long panics.
    fn text(&mut self) -> Option<&mut Cow<'a, str>> {
        match self {
            Self::Hello { kernel: text, .. }
            | Self::Clock { source: text, .. }
            | Self::TestStart { name: text }
            | Self::TestPass { name: text }
            | Self::Panic { message: text, .. }
            | Self::Verdict { text, .. } => Some(text),
            _ => None,
        }
    }
}

impl Event<'static> {
    /// Reads a line of the serial port. `None`: it is log text, no event.
    ///
    /// # Errors
    ///
    /// The line has the mark of an event but is none that this version knows: it was garbled, or
    /// host and guest were not built from the same sources.
    #[cfg(feature = "host")]
    pub fn from_line(line: &str) -> Option<Result<Self, serde_json::Error>> {
        line.strip_prefix(MARK).map(serde_json::from_str)
    }
}

/// One row of the CPU index table. The default is the BSP of a machine without any structure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// Dense; the BSP is 0.
    pub index: u32,
    pub apic_id: u32,
    pub package: u32,
    /// Within the package; 0 where the CPU knows no dies.
    pub die: u32,
    /// Within the die.
    pub core: u32,
    /// Within the core.
    pub thread: u32,
    /// On a machine that has several.
    pub kind: Option<CoreKind>,
    /// Microseconds from the first INIT to this CPU's check-in; 0 for the BSP.
    pub online_us: u64,
}

/// Kinds of cores that a machine may mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CoreKind {
    Performance,
    Efficiency,
}

impl Cpu {
    /// The heading above the rows of the table.
    pub const HEADER: &str = " CPU  APIC ID  package  die  core  thread  online after";
}

/// One row of the table below [`Cpu::HEADER`]; behind it the kind of core, if there are several.
impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, apic_id, package, die, core, thread, kind, online_us } = *self;
        write!(f, "{index:>4}  {apic_id:>7}  {package:>7}  {die:>3}  {core:>4}  {thread:>6}  ")?;
        match online_us {
            0 => write!(f, "{:>12}", "(BSP)")?,
            micros => write!(f, "{:>12}", Nanos(micros.saturating_mul(1000)))?,
        }
        f.write_str(match kind {
            Some(CoreKind::Performance) => "  performance",
            Some(CoreKind::Efficiency) => "  efficiency",
            None => "",
        })
    }
}

#[cfg(test)]
mod tests;
