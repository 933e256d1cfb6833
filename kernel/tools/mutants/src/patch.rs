//! One replacement in one text.

use std::num::NonZeroUsize;

use anyhow::{Result, bail};

/// A text to find, and what comes in its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patch<'a> {
    pub(crate) find: &'a str,
    pub(crate) replace: &'a str,
    /// Which occurrence, from 1. `None`: the only one.
    pub(crate) nth: Option<NonZeroUsize>,
}

impl Patch<'_> {
    /// The source with the replacement made.
    ///
    /// # Errors
    /// If the text is not there, or is there more than once without a word on which is meant.
    pub(crate) fn apply(&self, source: &str) -> Result<String> {
        let places: Vec<usize> = source.match_indices(self.find).map(|(at, _)| at).collect();
        let at = match (places.as_slice(), self.nth) {
            ([], _) => bail!("`find` is not in the file"),
            ([at], None) => *at,
            (many, None) => bail!(
                "`find` is in the file {} times: make it longer, or say `nth`",
                many.len()
            ),
            (some, Some(nth)) => match some.get(nth.get() - 1) {
                Some(at) => *at,
                None => bail!("`nth` is {nth}, but `find` is there {} times", some.len()),
            },
        };
        let (before, rest) = source.split_at(at);
        Ok([before, self.replace, &rest[self.find.len()..]].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(find: &str, nth: Option<usize>) -> Result<String> {
        let nth = nth.and_then(NonZeroUsize::new);
        let patch = Patch {
            find,
            replace: "-",
            nth,
        };
        patch.apply("a b a c")
    }

    #[test]
    fn one_place_is_replaced() {
        assert_eq!(apply("b", None).expect("once"), "a - a c");
        assert_eq!(apply("a c", None).expect("once"), "a b -");
        assert_eq!(apply("a", Some(1)).expect("first"), "- b a c");
        assert_eq!(apply("a", Some(2)).expect("second"), "a b - c");
    }

    #[test]
    fn a_patch_that_does_not_fit_says_why() {
        for (find, nth, why) in [
            ("d", None, "not in the file"),
            ("d", Some(1), "not in the file"),
            ("a", None, "2 times"),
            ("a", Some(3), "`nth` is 3"),
        ] {
            let error = apply(find, nth).expect_err(why).to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
