use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use protocol::event::Event;
use serde_json::json;

use super::{Done, Operator, TIMEOUT};
use crate::action::{Action, Trigger};
use crate::run::Line;

const TICK: Duration = Duration::from_millis(1);
const READY: &str = "{\"QMP\":{}}\n{\"return\":{}}\n";
const DONE: &str = "{\"return\":{}}\n";

fn nmis() -> Action {
    Action::nmis(Trigger::FirstTest)
}

/// The guest starts this test.
fn test_starts(operator: &Operator, name: &'static str) {
    operator.hear(Line::Event(&Event::TestStart { name: name.into() }, ""));
}

/// A QEMU that answers so many commands by these replies and then ends, while its guest starts
/// these tests. Returns the commands that it got, each as its name and argument, and the result.
fn fake(
    actions: &[Action],
    tests: &[&'static str],
    replies: &'static [&'static str],
) -> (Vec<String>, Result<Done>) {
    let operator = Operator::open(actions.to_vec(), TIMEOUT).expect("a port");
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, operator.port)).expect("it listens");
    tests.iter().for_each(|name| test_starts(&operator, name));
    let qemu = thread::spawn(move || {
        let mut commands = BufReader::new(stream.try_clone().expect("a copy")).lines();
        let mut out = &stream;
        let mut received = Vec::new();
        for reply in replies {
            received.extend(commands.next().map(|line| line.expect("a line")));
            write!(out, "{reply}").expect("sent");
        }
        received
    });
    (qemu.join().expect("no panic"), operator.end())
}

#[test]
fn each_action_waits_for_its_own_line_and_is_done_once() {
    let start = |name: &str| Trigger::TestStart(name.to_string());
    let actions = [
        Action::qmp(Trigger::Hello, "stop", json!(null)),
        Action::hmp(start("second"), "mce 1 0"),
        Action::qmp(start("first"), "device_add", json!({"driver": "cpu"})),
        Action::qmp(start("second"), "cont", json!(null)),
    ];
    let replies = &[READY, DONE, "{\"event\":\"RESUME\"}\n{\"return\":\"\"}\n", DONE];
    let (received, done) = fake(&actions, &["first", "second", "first"], replies);
    assert_eq!(
        received,
        [
            r#"{"execute":"qmp_capabilities"}"#,
            r#"{"arguments":{"driver":"cpu"},"execute":"device_add"}"#,
            r#"{"arguments":{"command-line":"mce 1 0"},"execute":"human-monitor-command"}"#,
            r#"{"execute":"cont"}"#,
        ]
    );
    assert_eq!(done.expect("no error").times, [0, 1, 1, 1]);
}

#[test]
fn what_repeats_leaves_time_for_the_others_and_ends_with_qemu() {
    let start = Trigger::TestStart("second".to_string());
    let actions = [nmis(), Action::qmp(start, "stop", json!(null))];
    let replies = &[READY, DONE, DONE, DONE, DONE, "{\"retu"];
    let (received, done) = fake(&actions, &["first", "second"], replies);
    let count = |name: &str| received.iter().filter(|line| line.contains(name)).count();
    assert_eq!((count("inject-nmi"), count("stop")), (4, 1));
    assert_eq!(done.expect("no error").times, [3, 1]);
}

#[test]
fn a_refusal_is_reported() {
    // QEMU's errors for people come as if they were answers.
    let hmp = Action::hmp(Trigger::FirstTest, "mce 9");
    const REFUSED: &str = "{\"error\":{\"class\":\"GenericError\",\"desc\":\"not here\"}}\n";
    let rows: [(_, &[&str], _); 4] = [
        (nmis(), &[REFUSED], "qmp_capabilities: not here"),
        (nmis(), &[READY, "{\"error\":{}}\n"], "inject-nmi: refused without a reason"),
        (nmis(), &["hello\n"], "is no JSON"),
        (hmp, &[READY, "{\"return\":\"unknown command\\r\\n\"}\n"], "\"mce 9\"}: unknown command"),
    ];
    for (action, replies, part) in rows {
        let (_, done) = fake(&[action], &["a test"], replies);
        let text = format!("{:#}", done.expect_err("refused"));
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn silence_is_an_error_that_is_known_before_the_end() {
    let operator = Operator::open(vec![nmis()], TICK).expect("a port");
    assert!(!operator.has_failed());
    // There until the end.
    let _stream = TcpStream::connect((Ipv4Addr::LOCALHOST, operator.port)).expect("it listens");
    test_starts(&operator, "a test");
    // Only a hang lasts so long.
    let start = Instant::now();
    while !operator.has_failed() && start.elapsed() < Duration::from_secs(60) {
        thread::sleep(TICK);
    }
    assert!(operator.has_failed());
    let error = format!("{:#}", operator.end().expect_err("no answer"));
    assert!(error.contains("does not answer"), "{error}");
}
