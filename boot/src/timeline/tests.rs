use protocol::options::StartMode;
use protocol::start::{PHASES, Stamps, Steps};

use super::{Span, Timeline, in_order, spans};

const STEPS: Steps = Steps {
    prepared_ns: 2_000_000,
    sipi_ns: 10_000_000,
    second_sipi_ns: 10_300_000,
    seconds: 2,
    all_ns: 12_000_000,
};

/// Reaches each phase after as much time, from 10 ms on.
fn cpu(index: u32, each_ns: u64) -> Stamps {
    let mut at_ns = [10_000_000; PHASES.len()];
    for (place, at) in at_ns.iter_mut().enumerate() {
        *at += each_ns * (place as u64 + 1);
    }
    Stamps { index, apic_id: index * 2, attempts: 1, at_ns }
}

fn timeline(cpus: &[Stamps]) -> Timeline {
    Timeline::new(StartMode::Broadcast, Some(STEPS), cpus).expect("there are CPUs")
}

#[test]
fn every_part_has_its_stretch_of_time() {
    let mut timeline = timeline(&[Stamps::default(), cpu(1, 100_000)]);
    let parts = timeline.cpu(&timeline.cpus[0]);
    let lengths: Vec<_> = parts.iter().map(|part| part.to_ns - part.from_ns).collect();
    assert_eq!(lengths, [[100_000; 6].as_slice(), &[12_000_000 - 10_600_000]].concat());
    let bsp: Vec<_> = timeline.bsp().iter().map(|part| part.to_ns).collect();
    assert_eq!(bsp, [2_000_000, 10_000_000, 10_300_000, 12_000_000]);
    // No CPU needed a second SIPI.
    (timeline.steps.second_sipi_ns, timeline.steps.seconds) = (0, 0);
    let parts: Vec<_> = timeline.bsp().iter().map(|part| part.part).collect();
    assert_eq!(parts, [0, 1, 3]);
    assert!(timeline.to_string().contains("no CPU needed a second one."));
    // One by one, no single moment holds for all.
    timeline.way = StartMode::Serial;
    assert_eq!(timeline.bsp().len(), 3);
}

#[test]
fn time_never_runs_backwards() {
    let backwards = Stamps { at_ns: [5, 0, 7, 6, 6, 9], ..Stamps::default() };
    assert_eq!(in_order(backwards).at_ns, [5, 5, 7, 7, 7, 9]);
    // Spans that took no time are left out.
    let span = |part, from_ns, to_ns| Span { part, from_ns, to_ns };
    assert_eq!(spans(3, [5, 5, 4, 9]), [span(0, 3, 5), span(3, 5, 9)]);
}

#[test]
fn the_text_names_the_last_cpu_and_those_started_again() {
    let slow = Stamps { attempts: 2, ..cpu(3, 300_000) };
    let text = timeline(&[cpu(1, 100_000), cpu(2, 200_000), slow]).to_string();
    for part in [
        "100 us   200 us   300 us  CPU 3\n",
        "prepared after 2.00 ms and sent the first SIPI after 10.0 ms",
        "2 CPUs needed a second one, sent after 10.3 ms at the latest.",
        "CPU 3 was online last, after 11.8 ms: 600 us after CPU 2",
        "The BSP saw it 200 us later.",
        "CPU 3 (APIC ID 6) was started 2 times.",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn the_picture_has_a_lane_for_each_cpu_and_says_what_it_shows() {
    for count in [1, 36, 287] {
        let cpus: Vec<_> = (1..=count).map(|n| cpu(n, 1_000 * u64::from(n))).collect();
        let svg = timeline(&cpus).svg("A machine <n>");
        assert!(svg.contains("A machine &lt;n&gt;: done 12.0 ms after the first INIT"));
        assert!(svg.contains(&format!("CPU {count}, the last")));
        // A bar of the phase that ends online for each of them, in one path.
        let path = svg.lines().find(|line| line.contains("\"#2e8b57\" d="));
        assert_eq!(path.expect("drawn").matches('M').count(), count as usize, "{count} CPUs");
        // CPU 1 has worked for 5 us, and 3 pixels are 6; there is such a mark in the legend, too.
        assert_eq!(svg.matches("#222222").count(), 2, "{count} CPUs");
    }
}
