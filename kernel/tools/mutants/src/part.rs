//! A part of the list, so that CI can go through it in turns.

use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

/// The part `k` of `n`, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    k: usize,
    n: usize,
}

impl Part {
    /// What is in the part: every n-th of the list, so that each part has a little of everything.
    pub(crate) fn of<T>(self, list: Vec<T>) -> Vec<T> {
        list.into_iter().skip(self.k - 1).step_by(self.n).collect()
    }

    fn parse(text: &str, day: u64) -> Result<Self> {
        let (k, n) = text.split_once('/').context("a part is `k/n`")?;
        let n: usize = n.parse().context("`n` in `k/n` is no number")?;
        ensure!(n > 0, "a list has at least one part");
        let k = match k {
            "today" => usize::try_from(day % n as u64)? + 1,
            k => k.parse().context("`k` in `k/n` is no number")?,
        };
        ensure!((1..=n).contains(&k), "`k` in `k/n` is between 1 and n");
        Ok(Self { k, n })
    }
}

impl FromStr for Part {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        const SECONDS_PER_DAY: u64 = 24 * 60 * 60;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        Self::parse(text, now.as_secs() / SECONDS_PER_DAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_together_are_the_list() {
        for n in 1..6 {
            let mut all: Vec<usize> = (1..=n)
                .flat_map(|k| Part { k, n }.of((0..5).collect()))
                .collect();
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2, 3, 4]);
        }
    }

    #[test]
    fn days_go_through_all_parts() {
        let parts: Vec<Part> = (20_000..20_003)
            .map(|day| Part::parse("today/3", day).expect("a part"))
            .collect();
        for k in 1..=3 {
            assert!(parts.contains(&Part { k, n: 3 }), "{parts:?}");
        }
    }

    #[test]
    fn what_is_no_part_is_refused() {
        for text in ["", "1", "0/2", "3/2", "1/0", "a/2", "1/a", "yesterday/2"] {
            assert!(text.parse::<Part>().is_err(), "{text}");
        }
    }
}
