//! `cargo boot bench`: the figures as they come in, and what they are worth here.

use protocol::bench::{Barrier, Line, Pairs, Plan, Progress, Report, Teardown};
use protocol::human::Count;
use serde::Serialize;

use super::screen::Screen;
use crate::accel::Engine;

/// What the guest has told so far.
#[derive(Debug, Default, Serialize)]
pub(super) struct Bench {
    /// What is to be measured.
    plan: Option<Plan>,
    pairs: Vec<Pairs>,
    teardowns: Vec<Teardown>,
    barriers: Vec<Barrier>,
    /// How far it is, and how far it was the time before.
    #[serde(skip)]
    progress: [Option<Progress>; 2],
}

impl Bench {
    /// Takes a figure down.
    pub(super) fn note(&mut self, line: Line) {
        match line {
            Line::Plan(plan) => self.plan = Some(plan),
            Line::Progress(progress) => self.progress = [Some(progress), self.progress[0]],
            Line::Pairs(line) => self.pairs.push(line),
            Line::Teardown(line) => self.teardowns.push(line),
            Line::Barrier(line) => self.barriers.push(line),
        }
    }

    /// Shows what a line that was noted has changed: all tables at the end; until then a bar with
    /// the latest figures, or, where nothing can be redrawn, a line for each number of CPUs.
    pub(super) fn show(&self, screen: &Screen, line: &Line, notes: &[String]) {
        let (Some(plan), Line::Progress(now)) = (self.plan, line) else {
            return;
        };
        let is_new = self.progress[1].is_none_or(|before| before.cpus != now.cpus);
        if now.done >= now.of {
            screen.clear();
            screen.say("");
            screen.say(&self.report(plan).to_string());
            notes.iter().for_each(|note| screen.say(note));
            screen.say("");
        } else if screen.is_live() {
            let done = f64::from(now.done) / f64::from(now.of);
            let heading = "CPUs  pairs/s";
            screen.draw(done, &at_work(*now, plan), heading, &self.latest());
        } else if is_new {
            screen.say(&at_work(*now, plan));
        }
    }

    fn report(&self, plan: Plan) -> Report<'_> {
        Report {
            plan,
            pairs: &self.pairs,
            teardowns: &self.teardowns,
            barriers: &self.barriers,
        }
    }

    /// The latest figures of throughput, one row for each contender.
    fn latest(&self) -> Vec<String> {
        let cpus = self.pairs.last().map(|line| line.cpus);
        let latest = self.pairs.iter().filter(|line| Some(line.cpus) == cpus);
        latest
            .map(|line| {
                let per_second = Count(line.per_second);
                let name = line.contender.name();
                format!("{:>4} {per_second:>8}  {name}", line.cpus)
            })
            .collect()
    }
}

fn at_work(now: Progress, plan: Plan) -> String {
    format!("{} of {} CPUs at work", now.cpus, plan.cpus)
}

/// CPUs of this machine that QEMU may use.
pub(super) fn host_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What the guest cannot know about its figures.
pub(super) fn notes(engine: Engine, cpus: u32, host_cpus: usize) -> Vec<String> {
    let mut notes = Vec::new();
    if cpus as usize > host_cpus {
        notes.push(format!(
            "- {cpus} virtual CPUs share {host_cpus} real ones: with more than that at work, they take\n  \
             turns. No throughput grows any more; who waits for a CPU waits for its turn."
        ));
    }
    if engine == (Engine::Kvm { native: false }) {
        notes.push(
            "- But this KVM interprets kernel code, since the CPU shows no virtualisation of its own:\n  \
             nothing here is the hardware's speed."
                .to_string(),
        );
    }
    notes
}

#[cfg(test)]
mod tests {
    use protocol::bench::{Contender, Line, Pairs};

    use super::{Bench, notes};
    use crate::accel::Engine;

    fn pairs(cpus: u32, per_second: u64) -> Line {
        Line::Pairs(Pairs {
            contender: Contender::Plain,
            cpus,
            per_second,
            least: 0,
            most: 0,
            slowest_cpu: 0,
            left: 0,
        })
    }

    #[test]
    fn the_latest_figures_are_those_of_the_last_number_of_cpus() {
        let mut bench = Bench::default();
        for line in [pairs(1, 10), pairs(2, 1500), pairs(2, 30)] {
            bench.note(line);
        }
        let rows = bench.latest();
        assert_eq!(rows.len(), 2);
        assert!(
            rows[0].starts_with("   2   1.50 k  plain, one word"),
            "{rows:?}"
        );
    }

    #[test]
    fn what_spoils_the_figures_is_said() {
        let kvm = |native| Engine::Kvm { native };
        assert!(notes(kvm(true), 2, 2).is_empty());
        assert!(notes(Engine::Tcg, 1, 2).is_empty());
        assert!(notes(Engine::Tcg, 3, 2)[0].contains("3 virtual CPUs share 2 real ones"));
        assert!(notes(kvm(false), 2, 2)[0].contains("interprets"));
    }
}
