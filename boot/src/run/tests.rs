use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use protocol::exit::ExitCode;
use serde_json::Value;
use tempfile::NamedTempFile;

use super::{Boot, Line};
use crate::action::{Action, Trigger};
use crate::outcome::Outcome;

const VERDICT: &str = r#"echo '@event {"Verdict":{"passed":true,"text":"fine"}}'"#;

/// A boot whose QEMU is a shell script; the file must live as long as the boot.
fn fake(script: &str) -> (Boot, NamedTempFile) {
    let mut kernel = NamedTempFile::new().expect("temporary file");
    writeln!(kernel, "{script}").expect("written");
    let qemu = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/fake-qemu.sh");
    let boot = Boot::new(kernel.path()).qemu(PathBuf::from(qemu));
    (boot.deadline(Duration::from_secs(60)), kernel)
}

#[test]
fn lines_and_events_are_distinguished_and_all_kept() {
    let (boot, _kernel) = fake(&format!(
        "echo 'hello\r'; printf '[CPU 1] hal'; {VERDICT}; echo '@event {{\"Verd'; printf 'no line end'; exit 33"
    ));
    let report = boot.run().expect("QEMU is there");
    assert_eq!((report.outcome, report.events.len()), (Outcome::Passed, 1));
    let log = [0, 1, 3, 4].map(|place| &*report.lines[place]);
    assert_eq!(log, ["hello", "[CPU 1] hal", "@event {\"Verd", "no line end"]);
}

#[test]
fn an_endless_talker_ends_at_the_deadline() {
    let (boot, _kernel) = fake("exec yes");
    let report = boot.deadline(Duration::from_millis(100)).watch(|_| ()).expect("QEMU is there");
    assert_eq!(report.outcome.name(), "hang");
}

/// QEMU 10 does not end within the write to the exit port: guests may still write a line for PCs.
#[test]
fn an_exit_long_after_the_verdict_is_the_guests() {
    for (code, outcome) in [(ExitCode::Passed, "passed"), (ExitCode::Failed, "failed")] {
        let status = code.status();
        // It ends only when the last line has been seen: no time decides.
        let (boot, kernel) = fake(&format!(
            r#"mkfifo "$argument.seen"; {VERDICT}; echo "done: switch off or press reset"
            read -r _ <"$argument.seen"; rm "$argument.seen"; exit {status}"#
        ));
        let seen = format!("{}.seen", kernel.path().display());
        let ending = boot.watch(|line| {
            if matches!(line, Line::Log(text) if text.starts_with("done: ")) {
                std::fs::write(&seen, "\n").expect("it listens");
            }
        });
        let ending = ending.expect("QEMU is there");
        assert_eq!(ending.outcome.name(), outcome, "{}", ending.outcome);
    }
}

#[test]
fn an_interrupt_ends_it_and_keeps_what_was_said() {
    static FLAG: AtomicBool = AtomicBool::new(false);
    // The script is gone when all is said.
    let (boot, kernel) = fake("echo alive; printf half; rm \"$argument\"; exec sleep 600");
    let script = kernel.path().to_owned();
    thread::spawn(move || {
        while script.exists() {
            thread::yield_now();
        }
        FLAG.store(true, Ordering::Relaxed);
    });
    let report = boot.interrupt(&FLAG).run().expect("QEMU is there");
    assert_eq!(report.outcome, Outcome::Interrupted);
    assert_eq!(report.lines, ["alive", "half"]);
}

#[test]
fn what_the_monitor_cannot_do_ends_the_boot_and_is_an_error() {
    // This QEMU has no monitor, and a guest that waits for ever.
    let (boot, _kernel) = fake("echo ready; exec sleep 600");
    let action = Action::qmp(Trigger::Log("ready".to_string()), "device_add", Value::Null);
    let deadline = Duration::from_secs(600);
    let start = Instant::now();
    let error = boot.deadline(deadline).act(action).run().expect_err("asked");
    assert!(format!("{error:#}").contains("QEMU has not connected"), "{error:#}");
    assert!(start.elapsed() < deadline);
}
