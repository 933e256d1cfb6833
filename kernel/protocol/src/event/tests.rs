use alloc::string::ToString;
use alloc::vec::Vec;

use super::{CoreKind, Cpu, Event, MARK, MAX_LINE};

/// One event of each variant, with the longest numbers and this text.
fn largest(text: &str) -> Vec<Event<'static>> {
    const EVENTS: &str = r#"
{"Hello":{"kernel":TEXT,"memory_kib":U64}}
{"Cpu":{"index":U32,"apic_id":U32,"package":U32,"die":U32,"core":U32,"thread":U32,"kind":"performance","online_us":U64}}
{"Missing":{"apic_id":U32}}
{"Faulted":{"apic_id":U32,"stage":255,"vector":255,"address":U64}}
{"Unlisted":{"apic_id":U32}}
{"Late":{"apic_id":U32}}
{"Clock":{"source":TEXT,"hz":U64}}
{"Steps":{"prepared_ns":U64,"sipi_ns":U64,"second_sipi_ns":U64,"seconds":U32,"all_ns":U64}}
{"Stamps":{"index":U32,"apic_id":U32,"attempts":U32,"at_ns":[U64,U64,U64,U64,U64,U64]}}
{"Online":{"online":U32,"enabled":U32,"micros":U64}}
{"TestStart":{"name":TEXT}}
{"TestPass":{"name":TEXT}}
{"TestPlan":{"tests":U32}}
{"StormCpu":{"index":U32,"apic_id":U32,"grants":[U64,U64,U64],"irq_grants":U64,"refusals":U64,"released_for_others":U64}}
{"Storm":{"last":false,"elapsed_ms":U64,"cpus":U32,"variants":[LANE,LANE,LANE]}}
{"Panic":{"cpu":U32,"apic_id":U32,"message":TEXT}}
{"Panic":{"cpu":null,"apic_id":null,"message":TEXT}}
{"Verdict":{"passed":false,"text":TEXT}}"#;
    const LANE: &str = r#"{"busy_ms":U64,"grants":U64,"refusals":U64,"teardowns":U64,"violations":U64,
        "close":{"min_ns":U64,"median_ns":U64,"p99_ns":U64},"drain":{"min_ns":U64,"median_ns":U64,"p99_ns":U64}}"#;
    let event = |line: &str| {
        let json = line.replace("LANE", LANE).replace("U32", "4294967295");
        let json = json.replace("U64", "18446744073709551615");
        let text = serde_json::to_string(text).expect("JSON");
        serde_json::from_str(&json.replace("TEXT", &text)).expect(line)
    };
    EVENTS.trim().lines().map(event).collect()
}

fn parse(line: &str) -> Event<'static> {
    let json = line.strip_prefix(MARK).expect("marked").strip_suffix('\n').expect("ended");
    assert!(!json.contains('\n'), "one line: {json:?}");
    serde_json::from_str(json).expect(json)
}

#[test]
fn the_largest_events_fit_and_are_read_back_and_only_a_text_that_is_too_long_is_cut() {
    for event in largest("a name with \"quotes\", a \\, a tab\t and an \u{fc}\n") {
        assert_eq!(parse(event.write_line(&mut [0; MAX_LINE])), event);
    }
    // One byte, two bytes, and a control character that JSON writes as six.
    for unit in ["a", "\u{fc}", "\u{1}"] {
        for mut event in largest(&unit.repeat(3 * MAX_LINE)) {
            let mut back = parse(event.write_line(&mut [0; MAX_LINE]));
            if let (Some(text), Some(cut)) = (event.text(), back.text()) {
                assert!(text.starts_with(&**cut) && cut.len() >= MAX_LINE / 8, "{}", cut.len());
                *text = cut.clone();
            }
            assert_eq!(back, event);
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
    let expected = "
 CPU  APIC ID  package  die  core  thread  online after
   0        0        0    0     0       0         (BSP)
   1        2        0    0     1       0       1.50 ms  efficiency";
    assert_eq!(table.join("\n"), expected[1..]);
}

#[cfg(feature = "host")]
#[test]
fn log_text_is_no_event_and_a_garbled_event_is_an_error() {
    assert!(Event::from_line("CPU 0: hello").is_none());
    assert!(Event::from_line("@event {\"TestPlan\":{\"tes").is_some_and(|e| e.is_err()));
    assert!(Event::from_line("@event {\"NoSuch\":{}}").is_some_and(|e| e.is_err()));
    let plan = Event::from_line("@event {\"TestPlan\":{\"tests\":3}}\r");
    assert_eq!(plan.expect("marked").expect("whole"), Event::TestPlan { tests: 3 });
}
