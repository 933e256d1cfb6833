//! Host to guest: a few `key=value` lines in the ramdisk.
//!
//! ```text
//! # Blank lines and lines that begin with `#` are skipped.
//! seconds=5
//! format=json
//! ```
//!
//! No ramdisk, or an empty one, means the defaults: a kernel started by hand needs no file.
//! Nothing here allocates, so the kernel can read its options before it has a heap.

mod choice;
mod fault;
mod scenario;

use core::fmt;
use core::ops::RangeInclusive;

use self::choice::Choice;
pub use self::choice::{ApicMode, ClockSource, Format, Job, StartMode};
pub use self::fault::{Fault, FaultKind};
pub use self::scenario::Scenario;

/// What the kernel may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Length of the main job in seconds, one of [`Options::SECONDS`].
    pub seconds: u32,
    /// How the kernel reports.
    pub format: Format,
    /// What the kernel is for once its CPUs are up.
    pub job: Job,
    /// How the other CPUs are started.
    pub start: StartMode,
    /// How the local APICs are spoken to.
    pub apic: ApicMode,
    /// Where the rate of the clock comes from.
    pub clock: ClockSource,
    /// After so many milliseconds without any CPU coming online, those that are not are started once more, then given up: one
    /// of [`Options::PATIENCE`].
    pub patience: u32,
    /// The pause between INIT and SIPI in milliseconds, one of [`Options::INIT_PAUSE`]; `None`: what the CPU
    /// needs.
    pub init_pause: Option<u32>,
    /// An APIC ID to count as listed by the firmware, though no such CPU may exist: shows how a CPU
    /// that does not start is retried, reported and left out. Written in decimal.
    pub ghost: Option<u32>,
    /// An APIC ID to take for one that the firmware does not list, though the CPU exists and starts:
    /// shows how it parks itself and is reported.
    pub hide: Option<u32>,
    /// Something that goes wrong on purpose while CPUs start: shows that it is told and survived.
    pub fault: Option<Fault>,
    /// Of a run that is to be repeated: where, under QEMU's `-icount`, one CPU's turn ends and the next one's begins.
    pub seed: Option<u32>,
    /// Of a guest that has several: the scenario to run.
    pub scenario: Option<Scenario>,
}

impl Options {
    /// Allowed values of [`seconds`](Self::seconds): a second to a day.
    pub const SECONDS: RangeInclusive<u32> = 1..=86_400;

    /// Allowed values of [`patience`](Self::patience), in milliseconds: up to ten minutes.
    pub const PATIENCE: RangeInclusive<u32> = 1..=600_000;

    /// Allowed values of [`init_pause`](Self::init_pause), in milliseconds: up to a second.
    pub const INIT_PAUSE: RangeInclusive<u32> = 0..=1_000;

    /// Reads options from the contents of the ramdisk.
    ///
    /// NUL bytes at the end are ignored, since a loader may pad a ramdisk. What is not mentioned
    /// keeps its default.
    ///
    /// # Errors
    ///
    /// The first line that is not understood, with the reason: see [`Problem`].
    pub fn parse(ramdisk: &[u8]) -> Result<Self, OptionError<'_>> {
        let mut options = Self::default();
        let mut seen = [false; Key::ALL.len()];
        for (index, line) in unpadded(ramdisk).split(|&byte| byte == b'\n').enumerate() {
            let at = |text, problem| OptionError {
                line: index + 1,
                text,
                problem,
            };
            let text = match core::str::from_utf8(line) {
                Ok(text) => text.trim(),
                Err(error) => {
                    let valid = core::str::from_utf8(&line[..error.valid_up_to()]);
                    return Err(at(valid.unwrap_or_default(), Problem::NotUtf8));
                }
            };
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let (name, value) = text.split_once('=').ok_or(at(text, Problem::Malformed))?;
            let key = Key::from_name(name.trim()).ok_or(at(text, Problem::UnknownKey))?;
            if core::mem::replace(&mut seen[key as usize], true) {
                return Err(at(text, Problem::Duplicate));
            }
            options
                .set(key, value.trim())
                .ok_or(at(text, Problem::BadValue(key)))?;
        }
        Ok(options)
    }

    /// Sets one option; `None` if the value is not one that its key allows.
    fn set(&mut self, key: Key, value: &str) -> Option<()> {
        match key {
            Key::Seconds => {
                self.seconds = value.parse().ok().filter(|s| Self::SECONDS.contains(s))?;
            }
            Key::Format => self.format = Choice::from_name(value)?,
            Key::Job => self.job = Choice::from_name(value)?,
            Key::Start => self.start = Choice::from_name(value)?,
            Key::Apic => self.apic = Choice::from_name(value)?,
            Key::Clock => self.clock = Choice::from_name(value)?,
            Key::Patience => {
                let millis = value.parse().ok();
                self.patience = millis.filter(|ms| Self::PATIENCE.contains(ms))?;
            }
            Key::InitPause => {
                let millis = value.parse().ok();
                self.init_pause = Some(millis.filter(|ms| Self::INIT_PAUSE.contains(ms))?);
            }
            Key::Ghost => self.ghost = Some(value.parse().ok()?),
            Key::Hide => self.hide = Some(value.parse().ok()?),
            Key::Fault => self.fault = Some(value.parse().ok()?),
            Key::Seed => self.seed = Some(value.parse().ok()?),
            Key::Scenario => self.scenario = Some(value.parse().ok()?),
        }
        Some(())
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seconds: 5,
            format: Format::Text,
            job: Job::Storm,
            start: StartMode::Broadcast,
            apic: ApicMode::Auto,
            clock: ClockSource::Auto,
            patience: 3000,
            init_pause: None,
            ghost: None,
            hide: None,
            fault: None,
            seed: None,
            scenario: None,
        }
    }
}

/// Writes the lines that [`Options::parse`] reads.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}={}", Key::Seconds.name(), self.seconds)?;
        writeln!(f, "{}={}", Key::Format.name(), self.format.name())?;
        // What is as it is by default goes without saying.
        let usual = Self::default();
        let choices = [
            (Key::Job, self.job.name(), usual.job.name()),
            (Key::Start, self.start.name(), usual.start.name()),
            (Key::Apic, self.apic.name(), usual.apic.name()),
            (Key::Clock, self.clock.name(), usual.clock.name()),
        ];
        for (key, name, usual) in choices {
            if name != usual {
                writeln!(f, "{}={name}", key.name())?;
            }
        }
        if self.patience != usual.patience {
            writeln!(f, "{}={}", Key::Patience.name(), self.patience)?;
        }
        for (key, value) in [
            (Key::InitPause, self.init_pause),
            (Key::Ghost, self.ghost),
            (Key::Hide, self.hide),
            (Key::Seed, self.seed),
        ] {
            if let Some(value) = value {
                writeln!(f, "{}={value}", key.name())?;
            }
        }
        if let Some(fault) = self.fault {
            writeln!(f, "{}={fault}", Key::Fault.name())?;
        }
        if let Some(scenario) = self.scenario {
            writeln!(f, "{}={scenario}", Key::Scenario.name())?;
        }
        Ok(())
    }
}

/// An option's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// [`Options::seconds`].
    Seconds,
    /// [`Options::format`].
    Format,
    /// [`Options::job`].
    Job,
    /// [`Options::start`].
    Start,
    /// [`Options::apic`].
    Apic,
    /// [`Options::clock`].
    Clock,
    /// [`Options::patience`].
    Patience,
    /// [`Options::init_pause`].
    InitPause,
    /// [`Options::ghost`].
    Ghost,
    /// [`Options::hide`].
    Hide,
    /// [`Options::fault`].
    Fault,
    /// [`Options::seed`].
    Seed,
    /// [`Options::scenario`].
    Scenario,
}

impl Key {
    const ALL: [Self; 13] = [
        Self::Seconds,
        Self::Format,
        Self::Job,
        Self::Start,
        Self::Apic,
        Self::Clock,
        Self::Patience,
        Self::InitPause,
        Self::Ghost,
        Self::Hide,
        Self::Fault,
        Self::Seed,
        Self::Scenario,
    ];

    /// The name as it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Format => "format",
            Self::Job => "job",
            Self::Start => "start",
            Self::Apic => "apic",
            Self::Clock => "clock",
            Self::Patience => "patience",
            Self::InitPause => "init-pause",
            Self::Ghost => "ghost",
            Self::Hide => "hide",
            Self::Fault => "fault",
            Self::Seed => "seed",
            Self::Scenario => "scenario",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }
}

/// A line of options that was not understood. Its `Display` says what is wrong with which line,
/// and what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionError<'a> {
    /// Number of the line; the first is 1.
    pub line: usize,
    /// The line, without surrounding spaces; of a line that is not UTF-8, the part before that.
    pub text: &'a str,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong with a line of options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is not UTF-8 text: probably the ramdisk is not an options file at all.
    NotUtf8,
    /// It has no `=`.
    Malformed,
    /// No option has this name.
    UnknownKey,
    /// An earlier line has set this option.
    Duplicate,
    /// The option does not allow this value.
    BadValue(Key),
}

impl fmt::Display for OptionError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {:?}: ", self.line, self.text)?;
        match self.problem {
            Problem::NotUtf8 => f.write_str("not UTF-8 text after this"),
            Problem::Malformed => f.write_str("expected `key=value`"),
            Problem::UnknownKey => {
                f.write_str("unknown key; known are")?;
                list(f, Key::ALL.map(Key::name))
            }
            Problem::Duplicate => f.write_str("set twice"),
            Problem::BadValue(Key::Seconds) => range(f, &Options::SECONDS),
            Problem::BadValue(Key::Patience) => range(f, &Options::PATIENCE),
            Problem::BadValue(Key::InitPause) => range(f, &Options::INIT_PAUSE),
            Problem::BadValue(Key::Ghost | Key::Hide) => {
                write!(f, "expected an APIC ID, a whole number up to {}", u32::MAX)
            }
            Problem::BadValue(Key::Seed) => {
                write!(f, "expected a whole number up to {}", u32::MAX)
            }
            Problem::BadValue(Key::Scenario) => f.write_str("expected a name"),
            Problem::BadValue(Key::Format) => one_of::<Format>(f),
            Problem::BadValue(Key::Job) => one_of::<Job>(f),
            Problem::BadValue(Key::Start) => one_of::<StartMode>(f),
            Problem::BadValue(Key::Apic) => one_of::<ApicMode>(f),
            Problem::BadValue(Key::Clock) => one_of::<ClockSource>(f),
            Problem::BadValue(Key::Fault) => {
                f.write_str("expected `kind`, `kind:<APIC ID>` (but for memory and bsp) or `late:<APIC ID>:<milliseconds>`; kinds are")?;
                list(f, FaultKind::ALL.iter().map(|(name, _)| *name))
            }
        }
    }
}

impl core::error::Error for OptionError<'_> {}

fn range(f: &mut fmt::Formatter<'_>, allowed: &RangeInclusive<u32>) -> fmt::Result {
    let (from, to) = (allowed.start(), allowed.end());
    write!(f, "expected a whole number from {from} to {to}")
}

fn one_of<C: Choice>(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("expected one of")?;
    list(f, C::ALL.iter().map(|(name, _)| *name))
}

fn list(f: &mut fmt::Formatter<'_>, names: impl IntoIterator<Item = &'static str>) -> fmt::Result {
    let mut names = names.into_iter().enumerate();
    names.try_for_each(|(index, name)| write!(f, "{}{name}", if index == 0 { " " } else { ", " }))
}

fn unpadded(bytes: &[u8]) -> &[u8] {
    let end = bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    &bytes[..end]
}

#[cfg(test)]
mod tests;
