//! CPU 0's part: it tears the device down again and again, takes the time, and reports.

use alloc::boxed::Box;
use core::sync::atomic::Ordering;

use protocol::{exit::ExitCode, options::Options, storm::Totals};

use super::{
    report::{self, Times},
    shared::{MIN_ALLOWANCE, Protection, Storm},
};
use crate::{
    clock,
    cpu::{self, CpuIndex},
    machine::Machine,
    platform::Halt,
};

/// How long one lane is used before it is the other one's turn: long enough for many teardowns, short
/// enough that a disturbance of a second hits both alike.
const SLICE: u64 = 100_000_000;

/// Most batches that a CPU may do per device: as good as no limit, no device is open for that long.
const MAX_ALLOWANCE: u64 = 1 << 20;

const SECOND: u64 = 1_000_000_000;

/// The owner of the devices.
pub(super) struct Closer {
    storm: &'static Storm,
    goal: Goal,
    /// When it began, on the kernel's clock.
    start: u64,
    /// How long it has gone on; brought up to date after each slice.
    elapsed: u64,
    /// By [`Protection`].
    times: [Box<Times>; 2],
}

/// When the storm is over.
enum Goal {
    /// After so many nanoseconds.
    Time(u64),
    /// A soak: when each variant has done so much.
    Counts { pairs: u64, teardowns: u64 },
}

impl Goal {
    fn of(options: &Options) -> Self {
        match (options.pairs, options.teardowns) {
            (0, 0) => Self::Time(u64::from(options.seconds) * SECOND),
            (pairs, teardowns) => Self::Counts { pairs, teardowns },
        }
    }
}

impl Closer {
    pub(super) fn new(storm: &'static Storm, machine: &Machine) -> Self {
        Self {
            storm,
            goal: Goal::of(&machine.options),
            start: 0,
            elapsed: 0,
            times: Protection::ALL.map(|_| Box::default()),
        }
    }

    /// The storm, from the moment when all CPUs take part.
    pub(super) fn run(&mut self) {
        let others = cpu::count() - 1;
        Halt.until(&mut || self.storm.arrived.load(Ordering::Relaxed) == others);
        self.storm.begun.store(true, Ordering::Relaxed);
        self.start = clock::nanos();
        let mut next_report = SECOND;
        for variant in Protection::ALL.into_iter().cycle() {
            if Protection::ALL
                .into_iter()
                .all(|variant| self.is_done(variant))
            {
                break;
            }
            if self.is_done(variant) {
                continue;
            }
            self.slice(variant);
            self.elapsed = clock::nanos() - self.start;
            if self.elapsed >= next_report {
                report::live(&self.totals(false), self.storm);
                next_report += SECOND;
            }
        }
        self.storm.over.store(true, Ordering::Relaxed);
    }

    /// Whether this variant has done its part. Every variant does something.
    fn is_done(&self, variant: Protection) -> bool {
        let done = &self.times[variant as usize];
        done.teardowns > 0
            && match self.goal {
                Goal::Time(length) => self.elapsed >= length,
                Goal::Counts { pairs, teardowns } => {
                    done.teardowns >= teardowns && self.storm.grants(variant) >= pairs
                }
            }
    }

    /// Clears up, once no CPU is in the storm any more; reports for the last time; judges.
    pub(super) fn finish(self) -> ExitCode {
        for lane in &self.storm.lanes {
            lane.finish(CpuIndex::BSP);
        }
        let totals = self.totals(true);
        report::last(&totals, self.storm);
        report::verdict(&totals, self.storm)
    }

    /// Uses one lane for a while: at least one teardown.
    fn slice(&mut self, variant: Protection) {
        let begin = clock::nanos();
        self.storm.active.store(variant as usize, Ordering::Relaxed);
        let end = match self.goal {
            Goal::Time(length) => (begin + SLICE).min(self.start + length),
            Goal::Counts { .. } => begin + SLICE,
        };
        loop {
            let start = clock::nanos();
            self.storm.next_turn();
            self.use_device(start + self.window());
            let teardown = self.storm.lane(variant).tear_down(CpuIndex::BSP);
            self.times[variant as usize].record(teardown);
            let now = clock::nanos();
            self.adapt(now - start);
            if now >= end {
                break;
            }
        }
        self.times[variant as usize].busy += clock::nanos() - begin;
    }

    /// How long a device is left open, in nanoseconds: every CPU's timer ticks once meanwhile. In a
    /// soak, which is to tear down as often as it can, only as long as this CPU itself is at it: then
    /// most others are still waking up or in the midst of it (and [`adapt`](Self::adapt) keeps their
    /// allowance at its least).
    fn window(&self) -> u64 {
        match self.goal {
            Goal::Time(_) => self.storm.tick.as_nanos() as u64,
            Goal::Counts { .. } => 0,
        }
    }

    /// Leaves the device open until then, and uses it like any other CPU: at least one batch.
    fn use_device(&self, until: u64) {
        let open = || clock::nanos() < until;
        for _ in 0..self.storm.allowance.load(Ordering::Relaxed) {
            if !(self.storm.batch(CpuIndex::BSP) && open()) {
                break;
            }
        }
        Halt.until(&mut || {
            self.storm.release_given(CpuIndex::BSP);
            !open()
        });
    }

    /// Adapts how much all CPUs may do to how long it took from one device to the next.
    ///
    /// On CPUs of their own they may hammer without end. But 64 virtual CPUs that share two real
    /// ones and never sleep would let this one run every 100 ms, and nothing would be torn down.
    fn adapt(&self, took: u64) {
        let allowance = self.storm.allowance.load(Ordering::Relaxed);
        let allowance = if took > 4 * self.window() {
            allowance - allowance / 4
        } else {
            allowance + allowance / 4
        };
        let allowance = allowance.clamp(MIN_ALLOWANCE, MAX_ALLOWANCE);
        self.storm.allowance.store(allowance, Ordering::Relaxed);
    }

    fn totals(&self, last: bool) -> Totals {
        report::totals(last, self.elapsed, self.storm, &self.times)
    }
}
