//! Numbers as a person reads them: three significant digits and a unit.
//!
//! Digits are cut off, not rounded, so that 999,999 never turns into "1000 k". A width is
//! honoured (`{:>8}`), and nothing allocates.

use core::fmt::{self, Write as _};

/// A number of things: `999`, `1.23 k`, `45.6 M`.
#[derive(Clone, Copy, Debug)]
pub struct Count(pub u64);

/// A time in nanoseconds: `850 ns`, `4.50 us`, `12.3 ms`, `1.00 s`.
#[derive(Clone, Copy, Debug)]
pub struct Nanos(pub u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        scaled(f, self.0, &["", " k", " M", " G", " T", " P", " E"])
    }
}

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        scaled(f, self.0, &[" ns", " us", " ms", " s"])
    }
}

fn scaled(f: &mut fmt::Formatter<'_>, value: u64, units: &[&str]) -> fmt::Result {
    let mut unit = 1_u64;
    let mut name = 0;
    while value / unit >= 1000 && name + 1 < units.len() {
        unit *= 1000;
        name += 1;
    }
    let whole = value / unit;
    let thousandths = u128::from(value % unit) * 1000 / u128::from(unit);
    let mut text = Short::default();
    match whole {
        _ if unit == 1 => write!(text, "{whole}")?,
        0..=9 => write!(text, "{whole}.{:02}", thousandths / 10)?,
        10..=99 => write!(text, "{whole}.{}", thousandths / 100)?,
        _ => write!(text, "{whole}")?,
    }
    text.write_str(units[name])?;
    f.pad(text.as_str())
}

/// Room for the longest number: 20 digits, and a unit.
#[derive(Default)]
struct Short {
    bytes: [u8; 24],
    len: usize,
}

impl Short {
    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::{Count, Nanos};

    #[test]
    fn numbers_have_three_digits_and_a_unit_and_widths_line_up() {
        for (value, count, nanos) in [
            (0, "0", "0 ns"),
            (999, "999", "999 ns"),
            (1_239, "1.23 k", "1.23 us"),
            (45_678, "45.6 k", "45.6 us"),
            (999_999, "999 k", "999 us"),
            (1_050_000, "1.05 M", "1.05 ms"),
            (5_000_000_000_000, "5.00 T", "5000 s"),
            (u64::MAX, "18.4 E", "18446744073 s"),
        ] {
            assert_eq!(Count(value).to_string(), count);
            assert_eq!(Nanos(value).to_string(), nanos);
        }
        assert_eq!(format!("{:>8}|{:<8}|", Count(1_500), Nanos(20)), "  1.50 k|20 ns   |");
    }
}
