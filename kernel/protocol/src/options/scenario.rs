//! Which of a guest's scenarios to run.

use core::fmt;
use core::str::FromStr;

/// A scenario's name. (Held in place, since options borrow nothing and are read before there is a heap.)
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Scenario([u8; Self::LONGEST]);

impl Scenario {
    /// The most bytes of a name.
    pub const LONGEST: usize = 32;

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        let length = self.0.iter().position(|&byte| byte == 0);
        str::from_utf8(&self.0[..length.unwrap_or(Self::LONGEST)]).unwrap_or_default()
    }
}

impl FromStr for Scenario {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if !(1..=Self::LONGEST).contains(&name.len()) || !name.bytes().all(is_part) {
            return Err("expected a name: at most 32 of a-z, 0-9 and _");
        }
        let mut bytes = [0; Self::LONGEST];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        Ok(Self(bytes))
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
