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

fn panic(message: &'static str) -> Event<'static> {
    Event::Panic { cpu: Some(3), apic_id: Some(5), message: message.into() }
}

#[test]
fn a_pass_needs_the_word_and_the_code() {
    for (events, end, name) in [
        (&[verdict(true)][..], exit(ExitCode::Passed), "passed"),
        (&[], exit(ExitCode::Passed), "silent-exit"),
        (&[verdict(false)], exit(ExitCode::Passed), "failed"),
        (&[verdict(false), verdict(true)], exit(ExitCode::Passed), "failed"),
        (&[Event::TestPlan { tests: 0 }], exit(ExitCode::Passed), "silent-exit"),
        (&[verdict(true)], exit(ExitCode::Failed), "failed"),
        // A reset is no pass, and no interruption.
        (&[verdict(true)], End::Exited(0), "reset"),
        (&[], End::Exited(0), "reset"),
        (&[verdict(true)], End::Interrupted, "interrupted"),
    ] {
        assert_eq!(outcome(events, end.clone(), "").name(), name, "{end:?}");
    }
    let stderr = "qemu-system-x86_64: terminating on signal 2";
    assert_eq!(outcome(&[], End::Exited(0), stderr), Outcome::Interrupted);
    let failed = outcome(&[verdict(false)], exit(ExitCode::Passed), "");
    assert_eq!(failed.to_string(), "failed: the text");
}

#[test]
fn a_pass_by_tests_needs_all_of_them() {
    let plan = Event::TestPlan { tests: 2 };
    let start = |name: &'static str| Event::TestStart { name: name.into() };
    let pass = |name: &'static str| Event::TestPass { name: name.into() };
    let mut events = vec![plan, start("a"), pass("a")];
    let missed = Outcome::Failed { text: "1 of 2 tests passed".into() };
    assert_eq!(outcome(&events, exit(ExitCode::Passed), ""), missed);
    events.extend([start("b"), pass("b")]);
    assert_eq!(outcome(&events, exit(ExitCode::Passed), ""), Outcome::Passed);
}

#[test]
fn a_pass_needs_every_cpu_that_was_asked_for() {
    let online = |online| Event::Online { online, listed: 4, micros: 1 };
    let end = || exit(ExitCode::Passed);
    assert!(outcome(&[online(4), verdict(true)], end(), "").passed());
    let missing = Event::Missing { apic_id: 6 };
    let found = outcome(&[missing.clone(), online(3), verdict(true)], end(), "");
    let text = "incomplete: 3 of the 4 CPUs asked for are online; missing: APIC IDs [6]";
    assert_eq!(found.to_string(), text);
    let panicked = [missing.clone(), panic("first"), online(3)];
    let found = outcome(&panicked, End::Incomplete, "");
    assert_eq!(found.name(), "panicked");
    let found = outcome(&[missing, online(3)], End::Incomplete, "");
    assert_eq!(found.to_string(), text);
    let hello = Event::Hello { kernel: "k".into(), memory_kib: 1 };
    let found = outcome(&[hello, verdict(true)], end(), "");
    assert_eq!(found.name(), "incomplete");
    let found = outcome(&[online(1), verdict(true)], end(), "");
    assert!(found.to_string().ends_with("the firmware lists no more"));
    // What failed besides is worth more.
    let found = outcome(&[online(3), verdict(false)], end(), "");
    assert_eq!(found.name(), "failed");
}

#[test]
fn the_first_panic_names_its_cpu_and_test_however_the_guest_ends() {
    let start = Event::TestStart { name: "t".into() };
    let events = [start, panic("first"), panic("second")];
    for end in [
        exit(ExitCode::Panicked),
        exit(ExitCode::Passed),
        End::Exited(0),
        End::Exited(5),
        End::Deadline(Duration::from_secs(1)),
    ] {
        let found = outcome(&events, end.clone(), "");
        let text = "CPU 3 (APIC ID 5) panicked in test t: first";
        assert_eq!(found.to_string(), text, "{end:?}");
    }
}

#[test]
fn a_panic_without_an_event_shows_the_last_words() {
    let mut testimony = Testimony::default();
    testimony.hear_log("no long mode");
    testimony.hear_log("  ");
    let found = testimony.clone().outcome(&exit(ExitCode::Panicked), "", None);
    assert_eq!(found.to_string(), "a CPU panicked: no long mode");
    let found = testimony.outcome(&exit(ExitCode::Unfit), "", None);
    assert_eq!(found, Outcome::Unfit { said: "no long mode".into() });
}

#[test]
fn qemu_is_told_from_the_guest() {
    // Status 1 is both QEMU's own failure and a guest that writes 0: before the first line it is QEMU's.
    let begun = [Event::TestPlan { tests: 1 }];
    for (events, status, stderr, name) in [
        (&[][..], 1, "qemu: invalid option\n", "qemu-refused"),
        (&[], 1, "", "qemu-refused"),
        (&begun, 1, "", "unknown-exit"),
        (&begun, 0x55, "qemu: warning: many CPUs\n", "unknown-exit"),
        (&begun, 1, "qemu: broken\n", "qemu-died"),
    ] {
        let found = outcome(events, End::Exited(status), stderr);
        assert_eq!(found.name(), name, "{status} {stderr:?}");
    }
    let killed = outcome(&[], End::Killed("signal: 9".into()), "");
    assert_eq!(killed.name(), "qemu-died");
}
