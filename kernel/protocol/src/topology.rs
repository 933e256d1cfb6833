//! What a CPU is made of: kinds of cores, caches, and who shares them.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::human::Bytes;

/// Kinds of cores that a machine may mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CoreKind {
    /// Fast.
    Performance,
    /// Small.
    Efficiency,
}

/// What a cache keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheKind {
    /// Data.
    Data,
    /// Instructions.
    Instruction,
    /// Both.
    Unified,
}

/// A cache of one CPU. CPUs share it if each has one with the same `level`, `kind` and `first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// Index of the CPU.
    pub cpu: u32,
    /// 1 is next to the core.
    pub level: u8,
    /// What it keeps.
    pub kind: CacheKind,
    /// Its size.
    pub bytes: u64,
    /// Ways of associativity; 0 if it is fully associative, or if that is not known.
    pub ways: u16,
    /// Length of a line in bytes.
    pub line: u16,
    /// The lowest APIC ID that a CPU which shares it could have.
    pub first: u32,
}

impl Cache {
    /// What stands above the rows of a table of caches.
    pub const HEADER: &str = "cache        size  ways  line  shared by CPUs";

    /// Which cache it is, whoever's it is: equal for those who share it, and in the order of a table.
    #[must_use]
    pub const fn identity(&self) -> (u8, CacheKind, u32) {
        (self.level, self.kind, self.first)
    }

    /// The row about it, below [`Cache::HEADER`]; `cpus` are the indices of those who share it.
    pub fn row(&self, cpus: impl Iterator<Item = u32> + Clone) -> impl fmt::Display {
        Row {
            cache: *self,
            cpus: Ranges(cpus),
        }
    }
}

/// Its name: `L1d`, `L1i`, `L2`.
impl fmt::Display for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "L{}{}", self.level, self.kind.suffix())
    }
}

impl CacheKind {
    const fn suffix(self) -> &'static str {
        match self {
            Self::Data => "d",
            Self::Instruction => "i",
            Self::Unified => "",
        }
    }
}

impl CoreKind {
    /// In a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Performance => "performance",
            Self::Efficiency => "efficiency",
        }
    }
}

/// Numbers in ascending order, as ranges: `0-3, 8, 10-11`.
#[derive(Clone, Copy, Debug)]
pub struct Ranges<I>(pub I);

impl<I: Iterator<Item = u32> + Clone> fmt::Display for Ranges<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut numbers = self.0.clone().peekable();
        let mut separator = "";
        while let Some(first) = numbers.next() {
            let mut last = first;
            while let Some(next) = numbers.next_if(|next| last.checked_add(1) == Some(*next)) {
                last = next;
            }
            write!(f, "{separator}{first}")?;
            if last > first {
                write!(f, "-{last}")?;
            }
            separator = ", ";
        }
        Ok(())
    }
}

struct Row<I> {
    cache: Cache,
    cpus: Ranges<I>,
}

impl<I: Iterator<Item = u32> + Clone> fmt::Display for Row<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cache {
            bytes, ways, line, ..
        } = self.cache;
        let (level, suffix) = (self.cache.level, self.cache.kind.suffix());
        write!(f, "L{level}{suffix:<3}{:>12}", Bytes(bytes))?;
        match ways {
            0 => write!(f, "  {:>4}", "-")?,
            ways => write!(f, "  {ways:>4}")?,
        }
        write!(f, "  {line:>4}  {}", self.cpus)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::{Cache, CacheKind, Ranges};

    #[test]
    fn ranges() {
        for (numbers, text) in [
            (&[][..], ""),
            (&[5], "5"),
            (&[0, 1], "0-1"),
            (&[0, 1, 2, 3, 8, 10, 11], "0-3, 8, 10-11"),
            (&[u32::MAX], "4294967295"),
        ] {
            assert_eq!(Ranges(numbers.iter().copied()).to_string(), text);
        }
    }

    #[test]
    fn columns_line_up() {
        let data = Cache {
            cpu: 0,
            level: 1,
            kind: CacheKind::Data,
            bytes: 32 << 10,
            ways: 8,
            line: 64,
            first: 0,
        };
        let unified = Cache {
            level: 3,
            kind: CacheKind::Unified,
            bytes: 16 << 20,
            ways: 0,
            line: 128,
            ..data
        };
        let table = [
            Cache::HEADER.to_string(),
            data.row(0..2).to_string(),
            unified.row([0, 1, 2, 7].into_iter()).to_string(),
        ];
        assert_eq!(
            table,
            [
                "cache        size  ways  line  shared by CPUs",
                "L1d        32 KiB     8    64  0-1",
                "L3         16 MiB     -   128  0-2, 7",
            ]
        );
    }
}
