use alloc::string::ToString;

use super::choice::Choice;
use super::{ApicMode, ClockSource, Fault, FaultKind, Format, Job, Options, StartMode};

fn error(text: &[u8]) -> alloc::string::String {
    Options::parse(text)
        .expect_err("must be refused")
        .to_string()
}

#[test]
fn nothing_said_means_defaults() {
    for text in ["", "\n", "\0\0\0", "# only a comment\n\n  \n"] {
        assert_eq!(
            Options::parse(text.as_bytes()),
            Ok(Options::default()),
            "{text:?}"
        );
    }
}

#[test]
fn what_is_written_is_read_back() {
    for seconds in [1, 5, 86_400] {
        for &(_, format) in Format::ALL {
            for ghost in [None, Some(0), Some(u32::MAX)] {
                let options = Options {
                    seconds,
                    format,
                    ghost,
                    ..Options::default()
                };
                assert_eq!(Options::parse(options.to_string().as_bytes()), Ok(options));
            }
        }
    }
}

#[test]
fn spaces_comments_line_ends_and_padding_do_not_matter() {
    let text = b"# two\r\n  seconds = 7 \r\n\n format=json\0\0\0\0";
    assert_eq!(
        Options::parse(text),
        Ok(Options {
            seconds: 7,
            format: Format::Json,
            ..Options::default()
        })
    );
}

#[test]
fn errors_name_the_line_the_text_and_what_is_allowed() {
    assert_eq!(
        error(b"seconds=1\n\nsecnods=2"),
        "line 3: \"secnods=2\": unknown key; known are seconds, format, job, start, apic, clock, patience, init-pause, ghost, hide, fault, seed, scenario"
    );
    assert_eq!(
        error(b"seconds"),
        "line 1: \"seconds\": expected `key=value`"
    );
    assert_eq!(
        error(b"seconds=1\nseconds=1"),
        "line 2: \"seconds=1\": set twice"
    );
    assert_eq!(
        error(b"format=xml"),
        "line 1: \"format=xml\": expected one of text, json"
    );
    assert_eq!(
        error(b"format=json\nab\xff"),
        "line 2: \"ab\": not UTF-8 text after this"
    );
}

#[test]
fn seconds_have_a_range() {
    for value in ["0", "86401", "-1", "1.5", "", "4294967296", "five", "5 s"] {
        let line = alloc::format!("seconds={value}");
        let said = error(line.as_bytes());
        assert!(said.ends_with("a whole number from 1 to 86400"), "{said}");
    }
}

#[test]
fn a_ghost_is_an_apic_id() {
    for value in ["", "-1", "0x10", "4294967296"] {
        let said = error(alloc::format!("ghost={value}").as_bytes());
        assert!(said.ends_with("a whole number up to 4294967295"), "{said}");
    }
}

#[test]
fn a_scenario_is_a_name() {
    let longest = "a_name_of_just_as_many_bytes__32";
    for name in ["cancel", longest] {
        let scenario = Some(name.parse().expect("a name"));
        let options = Options {
            scenario,
            ..Options::default()
        };
        let text = options.to_string();
        assert!(text.ends_with(&alloc::format!("scenario={name}\n")));
        assert_eq!(Options::parse(text.as_bytes()), Ok(options));
    }
    for value in ["", "a name", "Cancel", &alloc::format!("{longest}3")] {
        let said = error(alloc::format!("scenario={value}").as_bytes());
        assert!(said.ends_with("expected a name"), "{said}");
    }
}

#[test]
fn a_nul_in_the_middle_is_not_padding() {
    assert!(error(b"seconds=1\0\nformat=json").contains("whole number"));
}

/// Every value of one option, written and read back with all others as they are by default.
fn every<C: Choice>(with: impl Fn(C) -> Options) {
    for &(name, choice) in C::ALL {
        let options = with(choice);
        let text = options.to_string();
        assert_eq!(
            Options::parse(text.as_bytes()),
            Ok(options),
            "{name}: {text}"
        );
    }
}

#[test]
fn choices_are_read_back() {
    let usual = Options::default();
    every(|job: Job| Options { job, ..usual });
    every(|start: StartMode| Options { start, ..usual });
    every(|apic: ApicMode| Options { apic, ..usual });
    every(|clock: ClockSource| Options { clock, ..usual });
    assert_eq!(
        error(b"start=fast"),
        "line 1: \"start=fast\": expected one of broadcast, each, serial"
    );
}

#[test]
fn faults_are_of_a_known_kind_and_complete() {
    let incomplete = ["", "nap", "real:", "real:x", "real:1:2", "late", "late:1"];
    for value in incomplete.into_iter().chain(["memory:1", "bsp:1"]) {
        let said = error(alloc::format!("fault={value}").as_bytes());
        assert!(said.contains("kinds are real, protected"), "{said}");
    }
}

#[test]
fn faults_are_read_back() {
    for (_, kind) in FaultKind::ALL {
        for apic_id in [None, Some(0), Some(u32::MAX)] {
            let millis = match (kind, apic_id) {
                (FaultKind::Late | FaultKind::Slow, None) => continue,
                (FaultKind::Memory | FaultKind::Bsp, Some(_)) => continue,
                (FaultKind::Late | FaultKind::Slow, _) => 1500,
                _ => 0,
            };
            let fault = Some(Fault {
                kind,
                apic_id,
                millis,
            });
            let options = Options {
                fault,
                hide: apic_id,
                patience: 1,
                init_pause: apic_id.map(|_| 0),
                ..Options::default()
            };
            assert_eq!(Options::parse(options.to_string().as_bytes()), Ok(options));
        }
    }
}

#[test]
fn a_fault_that_is_none_is_refused() {
    for value in [
        "",
        "real:",
        "real:x",
        "real:1:2",
        "late:1",
        "slow:1",
        "late",
        "late:1:2:3",
        "pit:1",
    ] {
        let said = error(alloc::format!("fault={value}").as_bytes());
        assert!(said.contains("kinds are real, protected"), "{said}");
    }
}

#[test]
fn patience_and_the_pause_have_ranges() {
    let said = error(b"patience=0");
    assert!(said.ends_with("a whole number from 1 to 600000"), "{said}");
    let said = error(b"init-pause=1001");
    assert!(said.ends_with("a whole number from 0 to 1000"), "{said}");
}
