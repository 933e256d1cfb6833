use std::time::Duration;

use protocol::event::Event;
use protocol::exit::ExitCode;

use super::{End, Outcome, Testimony};

fn outcome(events: &[Event<'_>], end: End, stderr: &str) -> Outcome {
    let mut testimony = Testimony::default();
    events.iter().for_each(|event| testimony.hear_event(event));
    testimony.outcome(&end, stderr, Some(4))
}

fn exit(code: ExitCode) -> End {
    End::Exited(code.status())
}

fn verdict(passed: bool) -> Event<'static> {
    Event::Verdict { passed, text: "the text".into() }
}

#[test]
fn a_pass_needs_the_word_and_the_code() {
    for (events, end, text) in [
        (&[verdict(true)][..], exit(ExitCode::Passed), "passed"),
        (&[], exit(ExitCode::Passed), "never said"),
        (&[verdict(false)], exit(ExitCode::Passed), "failed: the text"),
        (&[verdict(false), verdict(true)], exit(ExitCode::Passed), "failed: the text"),
        (&[Event::TestPlan { tests: 0 }], exit(ExitCode::Passed), "never said"),
        (&[verdict(true)], exit(ExitCode::Failed), "failed: the text"),
        // A reset is no pass, and no interruption.
        (&[verdict(true)], End::Exited(0), "the machine was reset"),
        (&[verdict(true)], End::Interrupted, "interrupted"),
        (&[], End::Killed("signal: 2 (SIGINT)".into()), "interrupted"),
    ] {
        let found = outcome(events, end, "").to_string();
        assert!(found.contains(text), "{text}: {found}");
    }
    let stderr = "qemu-system-x86_64: terminating on signal 2";
    assert_eq!(outcome(&[], End::Exited(0), stderr), Outcome::Interrupted);
}

#[test]
fn a_pass_needs_every_cpu_that_was_asked_for() {
    let online = |online| Event::Online { online, enabled: 4, micros: 1 };
    let (missing, passed) = (Event::Missing { apic_id: 6 }, || exit(ExitCode::Passed));
    let hello = Event::Hello { kernel: "k".into(), memory_kib: 1 };
    let panic = Event::Panic { cpu: None, apic_id: None, message: "it".into() };
    let three = "incomplete: 3 of the 4 CPUs asked for are online; missing: APIC IDs [6]";
    for (events, end, text) in [
        (&[online(4), verdict(true)][..], passed(), "passed"),
        (&[missing.clone(), online(3), verdict(true)], passed(), three),
        (&[missing.clone(), online(3)], End::Incomplete, three),
        (&[missing.clone(), panic, online(3)], End::Incomplete, "a CPU panicked: it"),
        (&[hello, verdict(true)], passed(), "incomplete: 0 of the 4"),
        (&[online(1), verdict(true)], passed(), "the firmware lists no more"),
        // A failure besides is worth more.
        (&[online(3), verdict(false)], passed(), "failed: the text"),
    ] {
        let found = outcome(events, end, "").to_string();
        assert!(found.contains(text), "{text}: {found}");
    }
}

#[test]
fn the_first_panic_counts_however_the_guest_ends() {
    let panic = |message: &'static str| Event::Panic {
        cpu: Some(3),
        apic_id: Some(5),
        message: message.into(),
    };
    let events = [Event::TestStart { name: "t".into() }, panic("first"), panic("second")];
    for end in [
        exit(ExitCode::Panicked),
        exit(ExitCode::Passed),
        End::Exited(0),
        End::Exited(5),
        End::Deadline(Duration::from_secs(1)),
    ] {
        let found = outcome(&events, end, "").to_string();
        assert_eq!(found, "CPU 3 (APIC ID 5) panicked in test t: first");
    }
    let mut testimony = Testimony::default();
    ["no event", "  "].iter().for_each(|line| testimony.hear_log(line));
    let found = testimony.outcome(&exit(ExitCode::Panicked), "", None);
    assert_eq!(found.to_string(), "a CPU panicked: no event");
}

#[test]
fn qemus_failures_are_not_the_guests() {
    // Status 1 is QEMU's own failure or a guest that writes 0: before the first line it is QEMU's.
    let begun = [Event::TestPlan { tests: 1 }];
    for (events, end, stderr, name) in [
        (&[][..], End::Exited(1), "qemu: invalid option\n", "qemu-refused"),
        (&[], End::Exited(1), "", "qemu-refused"),
        (&begun, End::Exited(1), "", "unknown-exit"),
        (&begun, End::Exited(0x55), "qemu: warning: many CPUs\n", "unknown-exit"),
        (&begun, End::Exited(1), "qemu: broken\n", "qemu-died"),
        (&begun, End::Killed("signal: 9".into()), "", "qemu-died"),
    ] {
        assert_eq!(outcome(events, end.clone(), stderr).name(), name, "{end:?} {stderr:?}");
    }
}
