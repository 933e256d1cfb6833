//! The other job: measuring what users and owners of an object pay, by the number of CPUs.
//!
//! For 1, 2, 4, ... and all CPUs at work together, the others in `hlt`:
//!
//! | what | where |
//! |---|---|
//! | pairs of acquire and release on one object: all [`Contender`]s in turns, so that a disturbance from outside hits all alike, in several windows each | `crew` |
//! | teardowns of the three variants while the others use the object | `teardown` |
//! | barriers, which are part of the per-CPU variant's teardown | `teardown` |
//!
//! `contender` is what does the pairs. Which figures mean something depends on what the CPUs are; the
//! [report](protocol::bench::Report) says so.

mod contender;
mod crew;
mod judge;
mod teardown;

use alloc::{vec, vec::Vec};

use protocol::{
    bench::{self, Barrier, Contender, Ground, Line, Pairs, Plan, Progress, Teardown},
    event::Event,
    exit::ExitCode,
    options::Options,
};
use raw_cpuid::{CpuId, Hypervisor};

use self::{contender::Contenders, crew::Window};
use crate::{cpu, log, log::emit, machine::Machine};

/// Measures in windows as long as the options say, says each figure, and judges: passed if nothing is
/// left held and every CPU took part.
///
/// Thread context on the BSP; uses every CPU, and the BSP's timer.
///
/// # Panics
/// If memory runs out, or an object does not drain within 20 s.
pub fn run(machine: &'static Machine) -> ExitCode {
    let plan = Plan {
        cpus: cpu::count() as u32,
        millis: machine.options.bench.unwrap_or(*Options::BENCH.start()),
        windows: WINDOWS,
        ground: ground(),
    };
    let mut bench = Bench::new(plan);
    bench.measure();
    bench.finish()
}

/// Windows of pairs for each contender and number of CPUs: an odd number, for the median.
const WINDOWS: u32 = 5;

/// What is measured, and the figures so far.
struct Bench {
    plan: Plan,
    contenders: Contenders,
    done: u32,
    pairs: Vec<Pairs>,
    teardowns: Vec<Teardown>,
    barriers: Vec<Barrier>,
}

impl Bench {
    fn new(plan: Plan) -> Self {
        say(Line::Plan(plan));
        Self {
            plan,
            contenders: Contenders::new(),
            done: 0,
            pairs: vec![],
            teardowns: vec![],
            barriers: vec![],
        }
    }

    fn measure(&mut self) {
        for cpus in bench::steps(self.plan.cpus) {
            if !log::is_json() {
                log!("bench: {cpus} of {} CPUs at work", self.plan.cpus);
            }
            self.pairs(cpus);
            self.teardowns(cpus);
        }
    }

    /// All contenders in turns.
    fn pairs(&mut self, cpus: u32) {
        let mut windows = Contender::ALL.map(|_| Vec::<Window>::new());
        for _ in 0..WINDOWS {
            for (contender, windows) in Contender::ALL.into_iter().zip(&mut windows) {
                let hammered = self.contenders.hammered(contender);
                windows.push(crew::window(cpus, hammered, self.plan.millis));
                self.step(cpus);
            }
        }
        for (contender, windows) in Contender::ALL.into_iter().zip(windows) {
            let left = self.contenders.hammered(contender).left();
            let pairs = crew::summary(contender, cpus, windows, left);
            self.pairs.push(pairs);
            say(Line::Pairs(pairs));
        }
    }

    /// What the owner pays.
    fn teardowns(&mut self, cpus: u32) {
        // As long as the windows of one contender.
        let millis = self.plan.millis * WINDOWS;
        for variant in Contender::VARIANTS {
            let object = self.contenders.closable(variant);
            let teardown = teardown::teardowns(cpus, variant, object, millis);
            self.teardowns.push(teardown);
            say(Line::Teardown(teardown));
            self.step(cpus);
        }
        let barrier = teardown::barriers(cpus, &self.contenders, millis);
        self.barriers.push(barrier);
        say(Line::Barrier(barrier));
        self.step(cpus);
    }

    /// One more step is done.
    fn step(&mut self, cpus: u32) {
        let each = WINDOWS * Contender::ALL.len() as u32 + Contender::VARIANTS.len() as u32 + 1;
        self.done += 1;
        say(Line::Progress(Progress {
            done: self.done,
            of: bench::steps(self.plan.cpus).count() as u32 * each,
            cpus,
        }));
    }

    /// The tables, for who has no host to show them; the verdict.
    fn finish(self) -> ExitCode {
        if !log::is_json() {
            log::plain("");
            log::plain(bench::Report {
                plan: self.plan,
                pairs: &self.pairs,
                teardowns: &self.teardowns,
                barriers: &self.barriers,
            });
            log::plain("");
        }
        judge::announce(&self.pairs, &self.teardowns, &self.barriers)
    }
}

fn say(line: Line) {
    emit(&Event::Bench(line));
}

/// What the CPUs are. (QEMU's TCG and KVM both say so in leaf 0x4000_0000, unless told not to.)
fn ground() -> Ground {
    match CpuId::new().get_hypervisor_info() {
        None => Ground::Hardware,
        Some(info) => match info.identify() {
            Hypervisor::QEMU => Ground::Emulated,
            _ => Ground::Virtual,
        },
    }
}
