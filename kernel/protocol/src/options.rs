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
//!
//! One table below has all options. The text that the kernel reads, the arguments of `cargo boot`
//! and their help, the file on a stick, and errors follow from it.

mod fault;
mod scenario;
mod value;

use core::fmt;

pub use self::fault::Fault;
pub use self::scenario::Scenario;
use self::value::{ANY, Value, list};
pub use self::value::{ApicMode, ClockSource, FaultKind, Format, Job, StartMode};

/// In a row of the table: the option is for runs in QEMU, not for a PC.
const QEMU: bool = true;

/// Of each option: its description, field, name, type, default, limits of a number, and where it is
/// of use.
macro_rules! options {
    ($( $(#[doc = $about:literal])+
        $field:ident $name:literal: $type:ty = $default:expr, $limits:expr $(, $place:ident)?; )+) => {
        /// The options of the kernel. Those not mentioned keep their defaults.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Options { $( $(#[doc = $about])+ pub $field: $type, )+ }

        impl Default for Options {
            fn default() -> Self {
                Self { $($field: $default),+ }
            }
        }

        impl Options {
            pub const KEYS: &[Key] = &[$( Key {
                name: $name,
                about: concat!($($about),+),
                only_qemu: false $(|| $place)?,
                read: |options, text| {
                    options.$field = Value::read(text, &$limits)?;
                    Some(())
                },
                write: |options, f| options.$field.write(f),
                expected: |f| <$type as Value>::expected(&$limits, f),
                is_default: |options| options.$field == $default,
            } ),+];
        }
    };
}

options! {
    /// Length of the storm in seconds.
    seconds "seconds": u32 = 5, 1..=86_400;
    /// How the kernel reports: tables for people, or events for a program on the host.
    format "format": Format = Format::Text, ANY;
    /// The kernel's job once its CPUs are up.
    job "job": Job = Job::Storm, ANY;
    /// Start the CPUs all at once, by interrupts to everybody or to each; or one after the other.
    start "start": StartMode = StartMode::Broadcast, ANY;
    /// How to speak to the local APICs; preset: find them switched to x2APIC, as some firmware
    /// leaves them.
    apic "apic": ApicMode = ApicMode::Auto, ANY;
    /// Where the rate of the clock comes from; auto: the first that there is.
    clock "clock": ClockSource = ClockSource::Auto, ANY;
    /// Milliseconds without any CPU coming online, after which those that are missing are started
    /// again, and then given up.
    start_timeout "start-timeout": u32 = 3000, 1..=600_000;
    /// The pause between INIT and SIPI in milliseconds; by default what the CPU needs, none or 10.
    init_pause "init-pause": Option<u32> = None, 0..=1_000;
    /// An APIC ID to count as listed by the firmware, though no such CPU may exist: shows how a CPU
    /// that does not start is retried, reported and left out.
    ghost "ghost": Option<u32> = None, ANY;
    /// An APIC ID to count as not listed by the firmware, though the CPU exists and starts: shows
    /// how it parks itself and is reported.
    hide "hide": Option<u32> = None, ANY;
    /// A fault on purpose while the CPUs start: shows that it is reported, and that the boot
    /// continues.
    fault "fault": Option<Fault> = None, ANY;
    /// Makes the run the same, to the byte, each time it has this seed: all CPUs take turns in one
    /// thread of QEMU's TCG, and the clock counts instructions. Each seed is another interleaving.
    seed "seed": Option<u32> = None, ANY, QEMU;
    /// Instead of a storm: run this scenario of the test guest (tests/kernels/src/suite).
    scenario "scenario": Option<Scenario> = None, ANY, QEMU;
}

/// An option: a row of the table.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    /// Its purpose, as a sentence.
    about: &'static str,
    /// Whether it is for runs in QEMU, not for a PC.
    pub only_qemu: bool,
    read: fn(&mut Options, &str) -> Option<()>,
    write: fn(&Options, &mut fmt::Formatter<'_>) -> fmt::Result,
    expected: fn(&mut fmt::Formatter<'_>) -> fmt::Result,
    is_default: fn(&Options) -> bool,
}

impl Key {
    /// Sets the option to a value; `None`: it allows no such value.
    pub fn set(&self, options: &mut Options, value: &str) -> Option<()> {
        (self.read)(options, value)
    }

    /// Whether it has its default in these options.
    #[must_use]
    pub fn is_default(&self, options: &Options) -> bool {
        (self.is_default)(options)
    }

    /// Its value in these options; no text if it is not set.
    pub fn value<'a>(&self, options: &'a Options) -> impl fmt::Display + use<'a> {
        let write = self.write;
        fmt::from_fn(move |f| write(options, f))
    }

    pub fn expected(&self) -> impl fmt::Display + use<> {
        fmt::from_fn(self.expected)
    }

    #[must_use]
    pub fn about(&self) -> &'static str {
        self.about.trim()
    }
}

impl Options {
    /// Reads options from the contents of the ramdisk.
    ///
    /// NUL bytes at the end are ignored, since a loader may pad a ramdisk.
    ///
    /// # Errors
    ///
    /// The first line that is not understood, with the reason.
    pub fn parse(ramdisk: &[u8]) -> Result<Self, OptionError<'_>> {
        let mut options = Self::default();
        let mut seen = [false; Self::KEYS.len()];
        for (index, line) in unpadded(ramdisk).split(|&byte| byte == b'\n').enumerate() {
            let at = |text, problem| OptionError { line: index + 1, text, problem };
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
            let mut rows = Self::KEYS.iter().zip(&mut seen);
            let row = rows.find(|(key, _)| key.name == name.trim());
            let (key, seen) = row.ok_or(at(text, Problem::UnknownKey))?;
            if core::mem::replace(seen, true) {
                return Err(at(text, Problem::Duplicate));
            }
            let set = key.set(&mut options, value.trim());
            set.ok_or(at(text, Problem::BadValue(key)))?;
        }
        Ok(options)
    }

    /// The table as a file of options for a PC, that sets none, but says how to.
    pub fn template() -> impl fmt::Display {
        fmt::from_fn(|f| {
            let options = Self::default();
            let mut keys = Self::KEYS.iter().filter(|key| !key.only_qemu);
            keys.try_for_each(|key| {
                let (name, value) = (key.name, key.value(&options));
                writeln!(f, "# {} ({})\n#{name}={value}", key.about(), key.expected())
            })
        })
    }
}

/// Writes the lines that [`Options::parse`] reads; options at their defaults are left out.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut set = Self::KEYS.iter().filter(|key| !key.is_default(self));
        set.try_for_each(|key| writeln!(f, "{}={}", key.name, key.value(self)))
    }
}

/// A line of options that was not understood. Its `Display` says what is wrong with which line,
/// and what would be right.
#[derive(Clone, Copy, Debug)]
pub struct OptionError<'a> {
    line: usize,
    /// Without surrounding spaces; of a line that is not UTF-8, the part before that.
    text: &'a str,
    problem: Problem,
}

#[derive(Clone, Copy, Debug)]
enum Problem {
    NotUtf8,
    Malformed,
    UnknownKey,
    Duplicate,
    BadValue(&'static Key),
}

impl fmt::Display for OptionError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {:?}: ", self.line, self.text)?;
        match self.problem {
            Problem::NotUtf8 => f.write_str("not UTF-8 text after this"),
            Problem::Malformed => f.write_str("expected `key=value`"),
            Problem::UnknownKey => {
                f.write_str("unknown key; known are")?;
                list(f, Options::KEYS.iter().map(|key| key.name))
            }
            Problem::Duplicate => f.write_str("set twice"),
            Problem::BadValue(key) => write!(f, "expected {}", key.expected()),
        }
    }
}

impl core::error::Error for OptionError<'_> {}

fn unpadded(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|&byte| byte != 0);
    &bytes[..end.map_or(0, |last| last + 1)]
}

#[cfg(test)]
mod tests;
