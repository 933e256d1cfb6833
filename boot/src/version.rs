//! `major.minor` of the programs this tool needs.

use std::fmt;

/// The part of a version that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The number before the first dot.
    pub major: u32,
    /// The number after it.
    pub minor: u32,
}

impl Version {
    /// The first `<number>.<number>` in what a program says of itself with `--version`.
    pub fn find(text: &str) -> Option<Self> {
        text.split_whitespace().find_map(|word| {
            let mut numbers = word.split(|c: char| !c.is_ascii_digit()).map(str::parse);
            let (major, minor) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
            Some(Self { major, minor })
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn versions_are_found_in_what_programs_say_and_compare_as_numbers() {
        let debian = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright 2003";
        for (text, major, minor) in
            [("rustc 1.97.0-nightly (0123456 2026-06-01)", 1, 97), (debian, 7, 2)]
        {
            assert_eq!(Version::find(text), Some(Version { major, minor }), "{text}");
        }
        assert_eq!(Version::find("no number here. 7"), None);
        assert!(Version::find("10.0") > Version::find("7.2"));
    }
}
