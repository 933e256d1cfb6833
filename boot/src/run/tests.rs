use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use protocol::event::Event;
use protocol::exit::ExitCode;
use serde_json::Value;
use tempfile::NamedTempFile;

use super::{Boot, Line, Report};
use crate::action::{Action, Trigger};
use crate::outcome::Outcome;

/// Exit status of a QEMU whose guest wrote `ExitCode::Passed`.
const PASSED: &str = "exit 33";
const VERDICT: &str = r#"echo '@event {"Verdict":{"passed":true,"text":"fine"}}'"#;

/// A boot whose QEMU is a shell script; the file must live as long as the boot.
fn fake(script: &str) -> (Boot, NamedTempFile) {
    let mut kernel = NamedTempFile::new().expect("temporary file");
    writeln!(kernel, "{script}").expect("written");
    let qemu = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/fake-qemu.sh");
    (Boot::new(kernel.path()).qemu(qemu).deadline(Duration::from_secs(60)), kernel)
}

fn run(script: &str) -> Report {
    let (boot, _kernel) = fake(script);
    boot.run().expect("QEMU is there")
}

#[test]
fn lines_and_events_are_told_apart_and_all_kept() {
    let report = run(&format!("echo 'hello\r'; {VERDICT}; printf 'no line end'; {PASSED}"));
    assert_eq!(report.outcome, Outcome::Passed);
    assert_eq!(report.events, [Event::Verdict { passed: true, text: "fine".into() }]);
    assert_eq!(report.lines.len(), 3);
    assert_eq!((&*report.lines[0], &*report.lines[2]), ("hello", "no line end"));
}

#[test]
fn the_options_reach_the_ramdisk() {
    let script =
        format!("for a; do [ \"$p\" = -initrd ] && cat \"$a\"; p=$a; done; {VERDICT}; {PASSED}");
    assert_eq!(run(&script).lines[0], "format=json");
}

#[test]
fn a_garbled_event_is_kept_as_log() {
    let report = run(&format!("echo '@event {{\"Verd'; {PASSED}"));
    assert_eq!(report.outcome, Outcome::SilentExit);
    assert_eq!((report.lines.len(), report.events.len()), (1, 0));
}

#[test]
fn an_event_after_half_a_line_of_log_is_not_lost() {
    let report = run(&format!("printf '[CPU 1] hal'; {VERDICT}; {PASSED}"));
    assert_eq!(report.outcome, Outcome::Passed);
    assert_eq!(report.lines[0], "[CPU 1] hal");
    assert_eq!((report.lines.len(), report.events.len()), (2, 1));
}

#[test]
fn a_hang_ends_at_the_deadline() {
    let (boot, _kernel) = fake("exec sleep 600");
    let deadline = Duration::from_millis(300);
    let report = boot.deadline(deadline).run().expect("QEMU is there");
    assert_eq!(report.outcome, Outcome::Hang { after: deadline });
    assert!(report.elapsed >= deadline);
}

#[test]
fn an_endless_talker_ends_at_the_deadline_too() {
    let (boot, _kernel) = fake("exec yes");
    let report = boot.deadline(Duration::from_millis(100)).watch(|_| ()).expect("QEMU is there");
    assert_eq!(report.outcome.name(), "hang");
}

/// QEMU 10 does not end within the write to the exit port: a guest may have time for the line that it has for PCs.
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

#[test]
fn what_is_never_waited_for_is_done_no_time() {
    let (boot, _kernel) = fake(&format!("{VERDICT}; {PASSED}"));
    let nmis = Action::nmis(Trigger::FirstTest);
    let report = boot.act(nmis).run();
    let report = report.expect("QEMU is there");
    assert_eq!((report.outcome, report.done), (Outcome::Passed, vec![0]));
    assert_eq!(report.command, None, "without the NMIs it is another boot");
}

#[test]
fn a_kernel_that_is_not_ours_gets_no_ramdisk() {
    let (boot, _kernel) = fake(r#"echo "$@""#);
    let report = boot.no_ramdisk().run().expect("QEMU is there");
    assert!(!report.lines[0].contains("-initrd"), "{}", report.lines[0]);
    let command = report.command.expect("nothing acts on it");
    assert!(!command.contains("-initrd"), "{command}");
}

#[test]
fn what_cannot_be_tried_is_an_error() {
    let error = |boot: Boot| format!("{:#}", boot.run().expect_err("must be refused"));
    let (boot, kernel) = fake("");
    assert!(error(boot.clone().smp("four")).contains("smp \"four\""));
    assert!(error(boot.clone().qemu("/no/such/qemu")).contains("/no/such/qemu"));
    drop(kernel);
    assert!(error(boot).contains("there is no kernel at"));
}
