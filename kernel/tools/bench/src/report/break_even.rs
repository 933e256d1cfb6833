//! When the cheaper pair pays for the more expensive close.

use serde::Serialize;

use super::Report;
use crate::names;

/// After how many pairs the variant with the cheaper pair has paid for its more expensive close.
#[derive(Debug, Serialize)]
pub struct BreakEven {
    /// Whether all other CPUs use the object when it is closed.
    pub loaded: bool,
    /// Pairs per close. Below, the cache-aware variant is cheaper altogether; above, the per-CPU variant.
    pub pairs: f64,
}

/// The per-CPU variant against the cache-aware variant with a slot per CPU, both on `HostPlatform`, whose
/// wake-up of waiters is part of a close.
#[must_use]
pub fn break_even(report: &Report) -> Vec<BreakEven> {
    let pairs = |loaded| {
        let slots = report.machine.cpus.next_power_of_two();
        let close = |kind| Some(report.teardown(kind, slots, loaded)?.ns.median);
        let pair = |name| Some(report.pair(name)?.alone());
        let more = close(names::PER_CPU_LINUX)? - close(names::CACHE_AWARE_HOSTED)?;
        let saved = pair(names::CACHE_AWARE_HOSTED)? - pair(names::PER_CPU_LINUX)?;
        (saved > 0.0).then_some(BreakEven {
            loaded,
            pairs: (more / saved).max(0.0),
        })
    };
    [false, true].into_iter().filter_map(pairs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::criteria::tests::report;

    #[test]
    fn cheaper_pairs_pay_for_a_more_expensive_close() {
        let even = break_even(&report());
        assert_eq!(even.len(), 1);
        assert!(!even[0].loaded);
        // 5,000 ns more a close, 10 ns less a pair.
        assert_eq!(even[0].pairs, 500.0);
    }
}
