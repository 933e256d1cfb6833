//! Says what is wrong with a report, if anything is.

use std::fmt;

use anyhow::{Context, Result, bail, ensure};
use boot::{Outcome, Report};
use protocol::event::Event;

/// For test guests: passed, by its own account and by ours.
///
/// # Errors
///
/// What happened instead, in which test, and how many tests were missed because of it.
pub fn all_tests_passed(report: &Report) -> Result<()> {
    judge(&report.outcome, &Tally::of(&report.events))
}

/// For guests without tests, such as the kernel itself: ended as passed, and said so.
///
/// # Errors
///
/// What happened instead.
pub fn ended_well(report: &Report) -> Result<()> {
    ensure!(report.outcome.passed(), "{}", report.outcome);
    let said = report
        .events
        .iter()
        .any(|event| matches!(event, Event::Verdict { passed: true, .. }));
    ensure!(said, "passed by its exit code, but gave no verdict");
    Ok(())
}

/// The log has all these words.
///
/// # Errors
///
/// The first that it does not have.
pub fn log_has(report: &Report, words: &[&str]) -> Result<()> {
    let log = report.lines.join("\n");
    for word in words {
        ensure!(log.contains(word), "{word:?} is not in the log");
    }
    Ok(())
}

/// For a guest that panics: on this CPU, with this message.
///
/// # Errors
///
/// What happened instead.
pub fn panicked(report: &Report, message: &str, cpu: u32) -> Result<()> {
    let Outcome::Panicked {
        cpu: found,
        message: text,
        ..
    } = &report.outcome
    else {
        bail!("{}", report.outcome);
    };
    ensure!(
        *found == Some(cpu),
        "CPU {found:?} is said to have panicked"
    );
    ensure!(text.contains(message), "the message is {text:?}");
    Ok(())
}

/// No line comes after the panic's report: a CPU that still ran would have written one.
///
/// # Errors
///
/// That line.
pub fn others_were_stopped(report: &Report) -> Result<()> {
    let panic = report.lines.iter().position(|line| line.contains("PANIC"));
    let panic = panic.context("the log does not report the panic")?;
    let running = report.lines[panic + 1..]
        .iter()
        .find(|line| line.contains("still running"));
    ensure!(
        running.is_none(),
        "a CPU runs on after the panic: {running:?}"
    );
    Ok(())
}

/// For a guest that refuses its machine or its options, in words that have these among them.
///
/// # Errors
///
/// What happened instead.
pub fn unfit(report: &Report, words: &[&str]) -> Result<()> {
    ensure!(
        matches!(report.outcome, Outcome::Unfit { .. }),
        "{}",
        report.outcome
    );
    trouble_is(report, words)
}

/// What [`all_tests_passed`] says of the report has all these words.
///
/// # Errors
///
/// The first that it has not.
pub fn trouble_is(report: &Report, words: &[&str]) -> Result<()> {
    let trouble = all_tests_passed(report).err();
    let text = trouble.context("it is taken for a pass")?.to_string();
    for word in words {
        ensure!(
            text.contains(word),
            "{word:?} is not in the rig's words: {text}"
        );
    }
    Ok(())
}

fn judge(outcome: &Outcome, tally: &Tally<'_>) -> Result<()> {
    match outcome {
        Outcome::Passed => tally.is_complete(),
        // Names the test itself.
        Outcome::Panicked { .. } => bail!("{outcome}{}", tally.missed()),
        _ => bail!("{outcome}{}{}", tally.running(), tally.missed()),
    }
}

/// A guest's tests as its events tell of them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally<'a> {
    planned: Option<u32>,
    started: Vec<&'a str>,
    passed: Vec<&'a str>,
}

impl<'a> Tally<'a> {
    fn of(events: &'a [Event<'_>]) -> Self {
        let mut tally = Self::default();
        for event in events {
            match event {
                Event::TestPlan { tests } => tally.planned = Some(*tests),
                Event::TestStart { name } => tally.started.push(name),
                Event::TestPass { name } => tally.passed.push(name),
                _ => {}
            }
        }
        tally
    }

    /// Whether as many tests passed as were planned, each one that started, in order.
    fn is_complete(&self) -> Result<()> {
        let Some(planned) = self.planned else {
            bail!("passed by its exit code, but ran no test");
        };
        ensure!(planned > 0, "has no tests");
        ensure!(
            self.started.len() == planned as usize && self.started == self.passed,
            "passed by its exit code{}{}",
            self.running(),
            self.missed()
        );
        Ok(())
    }

    /// The test that started and did not pass, as part of a sentence.
    fn running(&self) -> impl fmt::Display {
        let running = self.started.get(self.passed.len());
        running.map_or(String::new(), |name| format!(", in test {name}"))
    }

    /// How many tests never started, as part of a sentence.
    fn missed(&self) -> impl fmt::Display {
        let started = u32::try_from(self.started.len()).unwrap_or(u32::MAX);
        match self.planned {
            Some(planned) if planned > started => {
                format!("; {} of {planned} tests missed", planned - started)
            }
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use boot::Outcome;
    use protocol::event::Event;

    use super::{Tally, judge};

    fn plan(tests: u32) -> Event<'static> {
        Event::TestPlan { tests }
    }

    fn start(name: &'static str) -> Event<'static> {
        Event::TestStart { name: name.into() }
    }

    fn pass(name: &'static str) -> Event<'static> {
        Event::TestPass { name: name.into() }
    }

    fn trouble(outcome: &Outcome, events: &[Event<'_>]) -> String {
        judge(outcome, &Tally::of(events))
            .expect_err("it is not in order")
            .to_string()
    }

    #[test]
    fn every_planned_test_passed() {
        let events = [plan(2), start("a"), pass("a"), start("b"), pass("b")];
        assert!(judge(&Outcome::Passed, &Tally::of(&events)).is_ok());
    }

    #[test]
    fn a_pass_without_tests_is_none() {
        let text = "passed by its exit code, but ran no test";
        assert_eq!(trouble(&Outcome::Passed, &[]), text);
        assert_eq!(trouble(&Outcome::Passed, &[plan(0)]), "has no tests");
    }

    #[test]
    fn tests_left_out_are_counted() {
        let events = [plan(3), start("a"), pass("a"), start("b")];
        let text = "passed by its exit code, in test b; 1 of 3 tests missed";
        assert_eq!(trouble(&Outcome::Passed, &events), text);
    }

    #[test]
    fn a_pass_of_another_test_than_the_one_started_is_none() {
        let events = [plan(1), start("a"), pass("b")];
        assert_eq!(
            trouble(&Outcome::Passed, &events),
            "passed by its exit code"
        );
    }

    #[test]
    fn a_hang_names_the_test_it_happened_in() {
        let outcome = Outcome::Hang {
            after: Duration::from_secs(3),
        };
        let events = [plan(3), start("a"), pass("a"), start("b")];
        let text = "hang: still running at the deadline of 3 s, in test b; 1 of 3 tests missed";
        assert_eq!(trouble(&outcome, &events), text);
    }

    #[test]
    fn a_panic_names_its_test_once() {
        let outcome = Outcome::Panicked {
            cpu: Some(3),
            apic_id: Some(5),
            message: "message".into(),
            test: Some("b".into()),
        };
        let events = [plan(3), start("a"), pass("a"), start("b")];
        let text = "CPU 3 (APIC ID 5) panicked in test b: message; 1 of 3 tests missed";
        assert_eq!(trouble(&outcome, &events), text);
    }
}
