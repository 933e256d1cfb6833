use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::{CoreKind, Cpu, Event, MARK, MAX_LINE};
use crate::start;
use crate::storm::{CpuLine, Lane, Latency, Totals};

/// One event of each variant, with the longest numbers.
fn largest(text: &str) -> Vec<Event<'_>> {
    let text = Cow::Borrowed(text);
    let latency = Latency {
        min_ns: u64::MAX,
        median_ns: u64::MAX,
        p99_ns: u64::MAX,
    };
    let lane = Lane {
        busy_ms: u64::MAX,
        grants: u64::MAX,
        refusals: u64::MAX,
        teardowns: u64::MAX,
        violations: u64::MAX,
        close: latency,
        drain: latency,
    };
    let max = u32::MAX;
    vec![
        Event::Hello {
            kernel: text.clone(),
            memory_kib: u64::MAX,
        },
        Event::Cpu(Cpu {
            index: max,
            apic_id: max,
            package: max,
            die: max,
            core: max,
            thread: max,
            kind: Some(CoreKind::Performance),
            online_us: u64::MAX,
        }),
        Event::Missing { apic_id: max },
        Event::Faulted(start::Faulted {
            apic_id: max,
            stage: u8::MAX,
            vector: Some(u8::MAX),
            address: u64::MAX,
        }),
        Event::Unlisted { apic_id: max },
        Event::Late { apic_id: max },
        Event::Clock {
            source: text.clone(),
            hz: u64::MAX,
        },
        Event::Steps(start::Steps {
            prepared_ns: u64::MAX,
            sipi_ns: u64::MAX,
            second_sipi_ns: u64::MAX,
            seconds: max,
            all_ns: u64::MAX,
        }),
        Event::Stamps(start::Stamps {
            index: max,
            apic_id: max,
            attempts: max,
            at_ns: [u64::MAX; start::PHASES.len()],
        }),
        Event::Online {
            online: max,
            listed: max,
            micros: u64::MAX,
        },
        Event::TestStart { name: text.clone() },
        Event::TestPass { name: text.clone() },
        Event::TestPlan { tests: max },
        Event::StormCpu(CpuLine {
            index: max,
            apic_id: max,
            grants: [u64::MAX; 3],
            irq_grants: u64::MAX,
            refusals: u64::MAX,
            released_for_others: u64::MAX,
        }),
        Event::Storm(Totals {
            last: false,
            elapsed_ms: u64::MAX,
            cpus: max,
            variants: [lane; 3],
        }),
        Event::Panic {
            cpu: Some(max),
            apic_id: Some(max),
            message: text.clone(),
        },
        Event::Panic {
            cpu: None,
            apic_id: None,
            message: text.clone(),
        },
        Event::Verdict {
            passed: false,
            text,
        },
    ]
}

fn parse(line: &str) -> Event<'_> {
    let json = line
        .strip_prefix(MARK)
        .expect("marked")
        .strip_suffix('\n')
        .expect("ended");
    assert!(!json.contains('\n'), "one line: {json:?}");
    serde_json::from_str(json).expect(json)
}

#[test]
fn the_largest_events_fit_and_are_read_back() {
    for event in largest("a name with \"quotes\", a \\, a tab\t and an \u{fc}\n") {
        assert_eq!(parse(event.write_line(&mut [0; MAX_LINE])), event);
    }
}

#[test]
fn a_text_that_is_too_long_is_cut_and_nothing_else_is_lost() {
    // One byte, two bytes, and a control character that JSON writes as six.
    for unit in ["a", "\u{fc}", "\u{1}"] {
        let text: String = core::iter::repeat_n(unit, 3 * MAX_LINE).collect();
        for event in largest(&text) {
            let mut buffer = [0; MAX_LINE];
            let back = parse(event.write_line(&mut buffer)).into_owned();
            assert!(text.starts_with(back.text()));
            assert_eq!(
                back.with_text(Cow::Borrowed("")),
                event.with_text(Cow::Borrowed(""))
            );
            if !event.text().is_empty() {
                assert!(
                    back.text().len() >= MAX_LINE / 8,
                    "{} bytes",
                    back.text().len()
                );
            }
        }
    }
}

#[test]
fn columns_line_up() {
    let cpu = |index| Cpu {
        index,
        apic_id: index * 2,
        core: index,
        kind: (index > 0).then_some(CoreKind::Efficiency),
        online_us: u64::from(index) * 1500,
        ..Cpu::default()
    };
    let table = [Cpu::HEADER.into(), cpu(0).to_string(), cpu(1).to_string()];
    assert_eq!(
        table,
        [
            " CPU  APIC ID  package  die  core  thread  online after",
            "   0        0        0    0     0       0         (BSP)",
            "   1        2        0    0     1       0       1.50 ms  efficiency",
        ]
    );
}

#[cfg(feature = "host")]
#[test]
fn log_text_is_no_event_and_a_garbled_event_is_an_error() {
    assert!(Event::from_line("CPU 0: hello").is_none());
    assert!(Event::from_line("@event {\"TestPlan\":{\"tes").is_some_and(|e| e.is_err()));
    assert!(Event::from_line("@event {\"NoSuch\":{}}").is_some_and(|e| e.is_err()));
    let plan = Event::from_line("@event {\"TestPlan\":{\"tests\":3}}\r");
    assert_eq!(
        plan.expect("marked").expect("whole"),
        Event::TestPlan { tests: 3 }
    );
}
