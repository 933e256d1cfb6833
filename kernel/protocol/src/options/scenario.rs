//! Which of a guest's scenarios to run.

use core::fmt;

use super::value::{ANY, Limits, Value};

/// A scenario's name. (Held in place: options borrow nothing, and are read before there is a heap.)
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Scenario([u8; Self::LONGEST]);

impl Scenario {
    pub const LONGEST: usize = 32;

    /// The scenario of this name, if it is one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Value::read(name, &ANY)
    }

    #[must_use]
    pub fn name(&self) -> &str {
        let length = self.0.iter().position(|&byte| byte == 0);
        str::from_utf8(&self.0[..length.unwrap_or(Self::LONGEST)]).unwrap_or_default()
    }
}

impl Value for Scenario {
    fn read(text: &str, _: &Limits) -> Option<Self> {
        let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if !(1..=Self::LONGEST).contains(&text.len()) || !text.bytes().all(is_part) {
            return None;
        }
        let mut bytes = [0; Self::LONGEST];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Some(Self(bytes))
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }

    fn expected(_: &Limits, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a name: at most {} of a-z, 0-9 and _", Self::LONGEST)
    }
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
