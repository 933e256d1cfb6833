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

use core::fmt;
use core::ops::RangeInclusive;

/// What the kernel may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Length of the main job in seconds, one of [`Options::SECONDS`].
    pub seconds: u32,
    /// Makes the main job a soak: instead of for `seconds`, it goes on until each kind of protection
    /// has granted and released so many, and...
    pub pairs: u64,
    /// ...has been torn down so many times. If both are 0, it is no soak.
    pub teardowns: u64,
    /// Measures instead of storming, in windows of so many milliseconds, one of
    /// [`Options::BENCH`].
    pub bench: Option<u32>,
    /// How the kernel reports.
    pub format: Format,
    /// An APIC ID to count as listed by the firmware, though no such CPU may exist: shows how a CPU
    /// that does not start is retried, reported and left out. Written in decimal.
    pub ghost: Option<u32>,
}

/// How the kernel reports on the serial port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Tables for people: what a kernel started by hand shows.
    Text,
    /// Event lines ([`crate::event`]) for a program on the host.
    Json,
}

impl Options {
    /// Allowed values of [`seconds`](Self::seconds): a second to a day.
    pub const SECONDS: RangeInclusive<u32> = 1..=86_400;

    /// Allowed values of [`bench`](Self::bench), in milliseconds.
    pub const BENCH: RangeInclusive<u32> = 1..=1_000;

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
            Key::Pairs => self.pairs = value.parse().ok()?,
            Key::Teardowns => self.teardowns = value.parse().ok()?,
            Key::Bench => {
                let millis = value.parse().ok().filter(|ms| Self::BENCH.contains(ms))?;
                self.bench = Some(millis);
            }
            Key::Format => self.format = Format::from_name(value)?,
            Key::Ghost => self.ghost = Some(value.parse().ok()?),
        }
        Some(())
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seconds: 5,
            pairs: 0,
            teardowns: 0,
            bench: None,
            format: Format::Text,
            ghost: None,
        }
    }
}

/// Writes the lines that [`Options::parse`] reads.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}={}", Key::Seconds.name(), self.seconds)?;
        for (key, count) in [(Key::Pairs, self.pairs), (Key::Teardowns, self.teardowns)] {
            if count > 0 {
                writeln!(f, "{}={count}", key.name())?;
            }
        }
        if let Some(millis) = self.bench {
            writeln!(f, "{}={millis}", Key::Bench.name())?;
        }
        writeln!(f, "{}={}", Key::Format.name(), self.format.name())?;
        if let Some(ghost) = self.ghost {
            writeln!(f, "{}={ghost}", Key::Ghost.name())?;
        }
        Ok(())
    }
}

impl Format {
    const ALL: [Self; 2] = [Self::Text, Self::Json];

    const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// An option's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// [`Options::seconds`].
    Seconds,
    /// [`Options::pairs`].
    Pairs,
    /// [`Options::teardowns`].
    Teardowns,
    /// [`Options::bench`].
    Bench,
    /// [`Options::format`].
    Format,
    /// [`Options::ghost`].
    Ghost,
}

impl Key {
    const ALL: [Self; 6] = [
        Self::Seconds,
        Self::Pairs,
        Self::Teardowns,
        Self::Bench,
        Self::Format,
        Self::Ghost,
    ];

    /// The name as it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Pairs => "pairs",
            Self::Teardowns => "teardowns",
            Self::Bench => "bench",
            Self::Format => "format",
            Self::Ghost => "ghost",
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
            Problem::BadValue(Key::Bench) => range(f, &Options::BENCH),
            Problem::BadValue(Key::Pairs | Key::Teardowns) => {
                write!(f, "expected a count, a whole number up to {}", u64::MAX)
            }
            Problem::BadValue(Key::Ghost) => {
                write!(f, "expected an APIC ID, a whole number up to {}", u32::MAX)
            }
            Problem::BadValue(Key::Format) => {
                f.write_str("expected one of")?;
                list(f, Format::ALL.map(Format::name))
            }
        }
    }
}

impl core::error::Error for OptionError<'_> {}

fn range(f: &mut fmt::Formatter<'_>, allowed: &RangeInclusive<u32>) -> fmt::Result {
    let (from, to) = (allowed.start(), allowed.end());
    write!(f, "expected a whole number from {from} to {to}")
}

fn list<const N: usize>(f: &mut fmt::Formatter<'_>, names: [&str; N]) -> fmt::Result {
    names
        .iter()
        .enumerate()
        .try_for_each(|(index, name)| write!(f, "{}{name}", if index == 0 { " " } else { ", " }))
}

fn unpadded(bytes: &[u8]) -> &[u8] {
    let end = bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    &bytes[..end]
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::{Format, Options};

    fn error(text: &[u8]) -> alloc::string::String {
        Options::parse(text)
            .expect_err("must be refused")
            .to_string()
    }

    #[test]
    fn nothing_said_means_defaults() {
        for text in ["", "\n", "\0\0\0", "# only a comment\n\n  \n"] {
            assert_eq!(
                Options::parse(text.as_bytes()),
                Ok(Options::default()),
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for seconds in [1, 5, 86_400] {
            for format in Format::ALL {
                for (ghost, bench) in [(None, Some(1)), (Some(0), None), (Some(u32::MAX), None)] {
                    for (pairs, teardowns) in [(0, 0), (1, 0), (0, u64::MAX), (5, 7)] {
                        let options = Options {
                            seconds,
                            pairs,
                            teardowns,
                            bench,
                            format,
                            ghost,
                        };
                        assert_eq!(Options::parse(options.to_string().as_bytes()), Ok(options));
                    }
                }
            }
        }
    }

    #[test]
    fn spaces_comments_line_ends_and_padding_do_not_matter() {
        let text = b"# two\r\n  seconds = 7 \r\n\n format=json\0\0\0\0";
        assert_eq!(
            Options::parse(text),
            Ok(Options {
                seconds: 7,
                format: Format::Json,
                ..Options::default()
            })
        );
    }

    #[test]
    fn errors_name_the_line_the_text_and_what_is_allowed() {
        assert_eq!(
            error(b"seconds=1\n\nsecnods=2"),
            "line 3: \"secnods=2\": unknown key; known are seconds, pairs, teardowns, bench, format, ghost"
        );
        assert_eq!(
            error(b"seconds"),
            "line 1: \"seconds\": expected `key=value`"
        );
        assert_eq!(
            error(b"seconds=1\nseconds=1"),
            "line 2: \"seconds=1\": set twice"
        );
        assert_eq!(
            error(b"format=xml"),
            "line 1: \"format=xml\": expected one of text, json"
        );
        assert_eq!(
            error(b"format=json\nab\xff"),
            "line 2: \"ab\": not UTF-8 text after this"
        );
    }

    #[test]
    fn seconds_have_a_range() {
        for value in ["0", "86401", "-1", "1.5", "", "4294967296", "five", "5 s"] {
            let line = alloc::format!("seconds={value}");
            let said = error(line.as_bytes());
            assert!(said.ends_with("a whole number from 1 to 86400"), "{said}");
        }
    }

    #[test]
    fn a_window_has_a_range() {
        for value in ["0", "1001", "", "ten"] {
            let said = error(alloc::format!("bench={value}").as_bytes());
            assert!(said.ends_with("a whole number from 1 to 1000"), "{said}");
        }
    }

    #[test]
    fn a_ghost_is_an_apic_id() {
        for value in ["", "-1", "0x10", "4294967296"] {
            let said = error(alloc::format!("ghost={value}").as_bytes());
            assert!(said.ends_with("a whole number up to 4294967295"), "{said}");
        }
    }

    #[test]
    fn counts_are_whole_numbers() {
        for line in ["pairs=-1", "teardowns=1e6", "pairs=18446744073709551616"] {
            let said = error(line.as_bytes());
            assert!(said.contains("a count, a whole number"), "{said}");
        }
    }

    #[test]
    fn a_nul_in_the_middle_is_not_padding() {
        assert!(error(b"seconds=1\0\nformat=json").contains("whole number"));
    }
}
