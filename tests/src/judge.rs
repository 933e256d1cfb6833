//! Says what is wrong with a report, if anything is.

use anyhow::{Context, Result, bail, ensure};
use boot::{Outcome, Report};
use protocol::event::Event;

/// For test guests: passed, by its own account and by ours.
pub fn all_tests_passed(report: &Report) -> Result<()> {
    judge(&report.outcome, &report.events)
}

/// For guests without tests, such as the kernel itself: ended as passed, and said so.
pub fn ended_well(report: &Report) -> Result<()> {
    ensure!(report.outcome.passed(), "{}", report.outcome);
    let said =
        report.events.iter().any(|event| matches!(event, Event::Verdict { passed: true, .. }));
    ensure!(said, "passed by its exit code, but gave no verdict");
    Ok(())
}

/// The log has all these words.
pub fn log_has(report: &Report, words: &[&str]) -> Result<()> {
    let log = report.lines.join("\n");
    for word in words {
        ensure!(log.contains(word), "{word:?} is not in the log");
    }
    Ok(())
}

/// For a guest that panics: on this CPU, with this message.
pub fn panicked(report: &Report, message: &str, cpu: u32) -> Result<()> {
    let Outcome::Panicked { cpu: found, message: text, .. } = &report.outcome else {
        bail!("{}", report.outcome);
    };
    ensure!(*found == Some(cpu), "CPU {found:?} is said to have panicked");
    ensure!(text.contains(message), "the message is {text:?}");
    Ok(())
}

/// No line comes after the panic's report: a CPU that still ran would have written one.
pub fn others_were_stopped(report: &Report) -> Result<()> {
    let panic = report.lines.iter().position(|line| line.contains("PANIC"));
    let panic = panic.context("the log does not report the panic")?;
    let running = report.lines[panic + 1..].iter().find(|line| line.contains("still running"));
    ensure!(running.is_none(), "a CPU runs on after the panic: {running:?}");
    Ok(())
}

/// For a guest that refuses its machine or its options, in words that have these among them.
pub fn unfit(report: &Report, words: &[&str]) -> Result<()> {
    ensure!(matches!(report.outcome, Outcome::Unfit { .. }), "{}", report.outcome);
    trouble_is(report, words)
}

/// The text of [`all_tests_passed`] on the report has all these words.
pub fn trouble_is(report: &Report, words: &[&str]) -> Result<()> {
    let trouble = all_tests_passed(report).err();
    let text = trouble.context("it counts as a pass")?.to_string();
    for word in words {
        ensure!(text.contains(word), "{word:?} is not in the rig's words: {text}");
    }
    Ok(())
}

fn judge(outcome: &Outcome, events: &[Event<'_>]) -> Result<()> {
    let (mut planned, mut started, mut passed) = (None, Vec::new(), Vec::new());
    for event in events {
        match event {
            Event::TestPlan { tests } => planned = Some(*tests as usize),
            Event::TestStart { name } => started.push(name),
            Event::TestPass { name } => passed.push(name),
            _ => {}
        }
    }
    let running = started.get(passed.len());
    let running = running.map_or(String::new(), |name| format!(", in test {name}"));
    let missed = match planned {
        Some(planned) if planned > started.len() => {
            format!("; {} of {planned} tests missed", planned - started.len())
        }
        _ => String::new(),
    };
    match (outcome, planned) {
        (Outcome::Passed, None) => bail!("passed by its exit code, but ran no test"),
        (Outcome::Passed, Some(0)) => bail!("has no tests"),
        (Outcome::Passed, Some(planned)) => ensure!(
            started.len() == planned && started == passed,
            "passed by its exit code{running}{missed}"
        ),
        // Names the test itself.
        (Outcome::Panicked { .. }, _) => bail!("{outcome}{missed}"),
        _ => bail!("{outcome}{running}{missed}"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use boot::Outcome;
    use protocol::event::Event;

    use super::judge;

    /// The events of a guest that plans `planned` tests, and these: `+a` starts, `-a` passes.
    fn events(planned: Option<u32>, tests: &'static str) -> Vec<Event<'static>> {
        let plan = planned.map(|tests| Event::TestPlan { tests });
        let tests = tests.split_whitespace().map(|test| match test.split_at(1) {
            ("+", name) => Event::TestStart { name: name.into() },
            (_, name) => Event::TestPass { name: name.into() },
        });
        plan.into_iter().chain(tests).collect()
    }

    /// The cases of `rig` are the other outcomes.
    #[test]
    fn what_is_wrong_is_said_with_the_test_and_what_was_missed() {
        for (planned, tests, trouble) in [
            (Some(2), "+a -a +b -b", ""),
            (None, "", "passed by its exit code, but ran no test"),
            (Some(0), "", "has no tests"),
            (Some(3), "+a -a +b", "passed by its exit code, in test b; 1 of 3 tests missed"),
            (Some(1), "+a -b", "passed by its exit code"),
        ] {
            let judged = judge(&Outcome::Passed, &events(planned, tests));
            assert_eq!(judged.err().map_or(String::new(), |it| it.to_string()), trouble);
        }
    }
}
