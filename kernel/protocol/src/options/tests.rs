use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::{FaultKind, Format, Options};

fn parsed(text: &str) -> Options {
    Options::parse(text.as_bytes()).expect(text)
}

fn error(text: impl AsRef<[u8]>) -> String {
    Options::parse(text.as_ref()).expect_err("refused").to_string()
}

#[test]
fn what_is_not_mentioned_keeps_its_default() {
    for text in ["", "\n", "\0\0\0", "# only a comment\n\n  \n", &Options::template().to_string()] {
        assert_eq!(parsed(text), Options::default(), "{text:?}");
    }
    let options = Options { seconds: 7, format: Format::Json, ..Options::default() };
    assert_eq!(parsed("# two\r\n  seconds = 7 \r\n\n format=json\0\0\0\0"), options);
}

#[test]
fn every_value_of_every_option_is_read_back() {
    for key in Options::KEYS {
        let expected = key.expected().to_string();
        let values: Vec<_> = match (expected.strip_prefix("one of "), key.name) {
            (Some(names), _) => names.split(", ").map(String::from).collect(),
            (None, "fault") => faults(),
            (None, "seconds") => vec!["1".into(), "86400".into()],
            (None, "start-timeout") => vec!["1".into(), "600000".into()],
            (None, "init-pause") => vec!["0".into(), "1000".into()],
            (None, "scenario") => vec!["races".into(), "a_name_of_just_as_many_bytes__32".into()],
            (None, _) => vec!["0".into(), "4294967295".into()],
        };
        for value in values {
            let line = format!("{}={value}", key.name);
            let options = parsed(&line);
            // An option at its default is not written.
            let written = if options == Options::default() { "" } else { &*line };
            assert_eq!(options.to_string().trim_end(), written);
            assert_eq!(key.value(&options).to_string(), value);
        }
    }
}

fn faults() -> Vec<String> {
    let forms = |kind: &FaultKind| match (kind.is_a_delay(), kind.has_a_cpu()) {
        (true, _) => vec![":0:1500", ":4294967295:1"],
        (false, true) => vec!["", ":0", ":4294967295"],
        (false, false) => vec![""],
    };
    let all = FaultKind::ALL.iter();
    all.flat_map(|kind| forms(kind).into_iter().map(|form| format!("{}{form}", kind.name())))
        .collect()
}

#[test]
fn errors_name_the_line_the_text_and_what_is_allowed() {
    for (text, said) in [
        (
            &b"seconds=1\n\nsecnods=2"[..],
            "line 3: \"secnods=2\": unknown key; known are seconds, format, job, start, apic, clock, start-timeout, \
             init-pause, ghost, hide, fault, seed, scenario",
        ),
        (b"seconds", "line 1: \"seconds\": expected `key=value`"),
        (b"seconds=1\nseconds=1", "line 2: \"seconds=1\": set twice"),
        (b"format=xml", "line 1: \"format=xml\": expected one of text, json"),
        (b"start=fast", "line 1: \"start=fast\": expected one of broadcast, each, serial"),
        (b"format=json\nab\xff", "line 2: \"ab\": not UTF-8 text after this"),
        // A NUL that is not padding.
        (
            b"seconds=1\0\nformat=json",
            "line 1: \"seconds=1\\0\": expected a whole number from 1 to 86400",
        ),
    ] {
        assert_eq!(error(text), said);
    }
}

#[test]
fn numbers_have_limits_and_a_fault_is_of_a_known_kind_and_complete() {
    let faults =
        ["", "pit:1", "real:", "real:x", "real:1:2", "late", "late:1", "slow:1", "late:1:2:3"];
    for (key, allowed, values) in [
        (
            "seconds",
            "1 to 86400",
            &["0", "86401", "-1", "1.5", "", "4294967296", "five", "5 s"][..],
        ),
        ("ghost", "0 to 4294967295", &["", "-1", "0x10", "4294967296"]),
        ("start-timeout", "1 to 600000", &["0", "600001"]),
        ("init-pause", "0 to 1000", &["1001"]),
        ("fault", "kinds real, protected", &faults),
        ("fault", "kinds real, protected", &["memory:1", "bsp:1"]),
    ] {
        for value in values {
            let said = error(format!("{key}={value}"));
            assert!(said.contains(allowed), "{said}");
        }
    }
}
