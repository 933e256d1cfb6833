use core::cell::{Cell, RefCell};
use std::vec::Vec;

use proptest::prelude::*;

use super::{Measured, first_sound, measure};
use crate::rate::Counter;

const TSC_HZ: u64 = 2_294_608_000;
const APIC_HZ: u64 = 62_500_000;

/// A machine whose time goes on with every counter reading, and which loses its CPU now and then.
struct Machine {
    reference: Counter,
    /// In picoseconds.
    now: Cell<u128>,
    /// How long a reading takes.
    reading_ps: u128,
    readings: Cell<u64>,
    /// Absences of the CPU: after how many readings, for how many microseconds.
    absences: RefCell<Vec<(u64, u64)>>,
    /// The reference's count. It stops after this many readings.
    count: Cell<u64>,
    stops_after: u64,
}

impl Machine {
    fn new(reference: Counter) -> Self {
        Self {
            reference,
            now: Cell::new(123_456_789),
            reading_ps: 1_000_000,
            readings: Cell::new(0),
            absences: RefCell::default(),
            count: Cell::new(0),
            stops_after: u64::MAX,
        }
    }

    fn count(&self, hz: u64) -> u64 {
        let readings = self.readings.get() + 1;
        self.readings.set(readings);
        let mut now = self.now.get() + self.reading_ps;
        self.absences.borrow_mut().retain(|&(after, micros)| {
            let is_due = readings >= after;
            if is_due {
                now += u128::from(micros) * 1_000_000;
            }
            !is_due
        });
        self.now.set(now);
        (now * u128::from(hz) / 1_000_000_000_000) as u64
    }

    fn measure(&self) -> Option<Measured> {
        self.measure_also(&|| self.count(APIC_HZ))
    }

    fn measure_also(&self, other: &dyn Fn() -> u64) -> Option<Measured> {
        let read: [&dyn Fn() -> u64; 3] = [&|| self.read(), &|| self.count(TSC_HZ), other];
        measure(self.reference, read)
    }

    /// The reference.
    fn read(&self) -> u64 {
        let count = self.count(self.reference.clocks_in(1_000_000_000));
        if self.readings.get() <= self.stops_after {
            self.count.set(count);
        }
        // As it would read if it had begun at 0: as wide as it is, and in its direction.
        self.reference.elapsed(0, self.count.get())
    }
}

fn references() -> [Counter; 4] {
    let hpet = Counter::hpet(0x0098_9680_8086_a201).expect("valid");
    [Counter::PIT, Counter::pm_timer(false), Counter::pm_timer(true), hpet]
}

/// To one part in 1000.
fn is_right(measured: Option<Measured>) -> bool {
    let fits = |rate: u64, hz: u64| rate.abs_diff(hz) <= hz / 1000;
    measured.is_some_and(|measured| {
        let [tsc, apic] = measured.rates;
        fits(tsc, TSC_HZ) && fits(apic, APIC_HZ)
    })
}

fn is_doubtful(measured: Option<Measured>) -> bool {
    measured.is_some_and(|measured| measured.is_doubtful)
}

#[test]
fn an_unseen_round_of_the_8254_is_noticed() {
    let round_us = 54_925;
    for more_us in [0, 100, 2_000, 4_000, 20_000, 50_000] {
        let by = |absences: &mut dyn Iterator<Item = u64>| {
            let machine = Machine::new(Counter::PIT);
            *machine.absences.borrow_mut() = absences.map(|at| (at, round_us + more_us)).collect();
            let measured = machine.measure();
            (is_right(measured), is_doubtful(measured))
        };
        // Early in the first three windows, then in all.
        assert_eq!(by(&mut [100, 3_000, 6_000].into_iter()), (true, false));
        assert_eq!(by(&mut (0..100).map(|number| number * 500)), (false, true));
    }
}

#[test]
fn on_a_host_that_is_always_busy_only_the_8254_is_doubtful() {
    for reference in references() {
        let machine = Machine::new(reference);
        *machine.absences.borrow_mut() = (0..100).map(|number| (number * 500, 4_000)).collect();
        let measured = machine.measure();
        assert!(is_right(measured), "{reference:?}: {measured:?}");
        assert_eq!(is_doubtful(measured), reference == Counter::PIT);
    }
}

#[test]
fn the_first_answer_without_doubt_is_taken_and_no_further_one_asked_for() {
    for (answers, taken, asked) in [
        (&[][..], None, 0),
        (&[1, 2], Some(1), 1),
        (&[-1, 2, 3], Some(2), 2),
        (&[-1, -2, -3], Some(-1), 3),
    ] {
        let mut seen = 0;
        let answers = answers.iter().copied().inspect(|_| seen += 1);
        assert_eq!(first_sound(answers, |&answer: &i32| answer < 0), taken);
        assert_eq!(seen, asked);
    }
}

#[test]
fn a_reference_that_stands_still_is_none() {
    for reference in references() {
        for stops_after in [0, 1, 100, 2_000] {
            let machine = Machine::new(reference);
            let machine = Machine { stops_after, ..machine };
            assert_eq!(machine.measure(), None, "{reference:?} after {stops_after}");
        }
    }
}

#[test]
fn a_counter_that_stands_still_has_no_rate() {
    let measured = Machine::new(Counter::PIT).measure_also(&|| 5);
    let [tsc, other] = measured.expect("the reference moves").rates;
    assert!(tsc.abs_diff(TSC_HZ) < TSC_HZ / 1000);
    assert_eq!(other, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Three absences at most, so that one window of four is without any.
    #[test]
    fn absences_do_no_harm(
        which in 0_usize..4,
        absences in prop::collection::vec((0_u64..20_000, 0_u64..1_000_000), 0..4),
        reading_ps in 100_000_u128..3_000_000,
    ) {
        let machine = Machine { reading_ps, absences: RefCell::new(absences), ..Machine::new(references()[which]) };
        let rates = machine.measure();
        prop_assert!(is_right(rates) && !is_doubtful(rates), "{:?}", rates);
    }
}
