use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use protocol::event::Event;
use serde_json::json;

use super::{Done, Operator};
use crate::action::{Action, Trigger};
use crate::run::Line;

const TICK: Duration = Duration::from_millis(1);
const READY: &str = "{\"QMP\":{}}\n{\"return\":{}}\n";
const DONE: &str = "{\"return\":{}}\n";

fn nmis() -> Vec<Action> {
    vec![Action::nmis(Trigger::FirstTest)]
}

/// The guest starts this test.
fn test_starts(operator: &Operator, name: &'static str) {
    operator.hear(Line::Event(&Event::TestStart { name: name.into() }, ""));
}

/// A QEMU that answers so many commands by these replies, each more than once if need be, and
/// then ends, while its guest starts these tests. Returns the commands it got, and the result.
fn fake(
    actions: Vec<Action>,
    tests: &[&'static str],
    replies: &'static [&'static str],
) -> (Vec<String>, Result<Done>) {
    let operator = Operator::open(actions).expect("a port");
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, operator.port)).expect("it listens");
    tests.iter().for_each(|name| test_starts(&operator, name));
    let qemu = thread::spawn(move || {
        let mut commands = BufReader::new(stream.try_clone().expect("a copy")).lines();
        let mut out = &stream;
        let mut told = Vec::new();
        for reply in replies {
            told.extend(commands.next().map(|line| line.expect("a line")));
            write!(out, "{reply}").expect("sent");
        }
        told
    });
    let told = qemu.join().expect("no panic");
    (told, operator.end())
}

#[test]
fn it_counts_until_qemu_ends() {
    let (told, done) = fake(
        nmis(),
        &["a test"],
        &[READY, "{\"event\":\"RESUME\"}\n{\"return\":{}}\n", DONE, "{\"retu"],
    );
    let nmi = r#"{"execute":"inject-nmi"}"#;
    assert_eq!(told, [r#"{"execute":"qmp_capabilities"}"#, nmi, nmi, nmi]);
    assert_eq!(done.expect("no error").times, [2]);
}

#[test]
fn each_action_waits_for_its_own_line_and_is_done_once() {
    let start = |name: &str| Trigger::TestStart(name.to_string());
    let actions = vec![
        Action::qmp(Trigger::Hello, "stop", json!(null)),
        Action::hmp(start("second"), "mce 1 0"),
        Action::qmp(start("first"), "device_add", json!({"driver": "cpu"})),
        Action::qmp(start("second"), "cont", json!(null)),
    ];
    let tests = ["first", "second", "first"];
    let (told, done) = fake(actions, &tests, &[READY, DONE, "{\"return\":\"\"}\n", DONE]);
    assert_eq!(
        told[1..],
        [
            r#"{"arguments":{"driver":"cpu"},"execute":"device_add"}"#,
            r#"{"arguments":{"command-line":"mce 1 0"},"execute":"human-monitor-command"}"#,
            r#"{"execute":"cont"}"#,
        ]
    );
    assert_eq!(done.expect("no error").times, [0, 1, 1, 1]);
}

#[test]
fn what_repeats_leaves_time_for_the_others() {
    let mut actions = nmis();
    let start = Trigger::TestStart("second".to_string());
    actions.push(Action::qmp(start, "stop", json!(null)));
    let replies = &[READY, DONE, DONE, DONE, DONE];
    let (told, done) = fake(actions, &["first", "second"], replies);
    let count = |name: &str| told.iter().filter(|line| line.contains(name)).count();
    assert_eq!((count("inject-nmi"), count("stop")), (3, 1));
    assert_eq!(done.expect("no error").times, [3, 1]);
}

#[test]
fn a_refusal_is_told() {
    let error = |actions, replies| {
        let (_, done) = fake(actions, &["a test"], replies);
        format!("{:#}", done.expect_err("refused"))
    };
    let text = error(nmis(), &["{\"error\":{\"class\":\"GenericError\",\"desc\":\"not here\"}}\n"]);
    assert!(text.ends_with("qmp_capabilities: not here"), "{text}");
    let text = error(nmis(), &[READY, "{\"error\":{}}\n"]);
    assert!(text.ends_with("inject-nmi: refused without a reason"), "{text}");
    let text = error(nmis(), &["hello\n"]);
    assert!(text.contains("is no JSON"), "{text}");
    // QEMU's errors for people come as if they were answers.
    let hmp = vec![Action::hmp(Trigger::FirstTest, "mce 9")];
    let text = error(hmp, &[READY, "{\"return\":\"unknown command\\r\\n\"}\n"]);
    assert!(text.contains("mce 9") && text.ends_with(": unknown command"), "{text}");
}

#[test]
fn text_is_an_answer_to_those_that_ask() {
    let ask = Action::ask(Trigger::FirstTest, "info lapic 0");
    let replies = &[READY, "{\"return\":\"LVT0 0x10000\\r\\n\"}\n"];
    let (_, done) = fake(vec![ask], &["a test"], replies);
    let done = done.expect("no error");
    assert_eq!((done.times, done.answers), (vec![1], vec!["LVT0 0x10000\r\n".to_string()]));
}

#[test]
fn somebody_who_says_nothing_is_an_error_that_is_known_before_the_end() {
    let operator = Operator::open_with(nmis(), TICK).expect("a port");
    assert!(!operator.has_failed());
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, operator.port)).expect("it listens");
    test_starts(&operator, "a test");
    // Only a hang lasts so long.
    let start = Instant::now();
    while !operator.has_failed() && start.elapsed() < Duration::from_secs(60) {
        thread::sleep(TICK);
    }
    assert!(operator.has_failed());
    let error = format!("{:#}", operator.end().expect_err("no answer"));
    assert!(error.contains("does not answer"), "{error}");
    // Until then it was there.
    drop(stream);
}
