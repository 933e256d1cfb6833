//! CPU 0's part: it tears the device down again and again, takes the time, and reports.

use alloc::boxed::Box;
use core::sync::atomic::Ordering;

use protocol::histogram::Histogram;
use rundown::Wait;

use super::{
    Kind, Storm,
    lane::Teardown,
    report::{self, Verdict},
};
use crate::{
    ExitCode, Machine, clock,
    cpu::{self, CpuIndex},
    platform::Halt,
};

/// How long one lane is used before it is the other one's turn: long enough for many teardowns, short
/// enough that a disturbance of a second hits both alike.
const SLICE: u64 = 100_000_000;

const SECOND: u64 = 1_000_000_000;

/// The owner of the devices.
pub(super) struct Closer {
    storm: &'static Storm,
    /// How long to go on, in nanoseconds.
    length: u64,
    /// When it began, on the kernel's clock; so for the next report.
    start: u64,
    next_report: u64,
    /// By [`Kind`].
    times: [Box<Times>; 2],
}

/// What the closer measures of one lane.
#[derive(Default)]
pub(super) struct Times {
    pub(super) teardowns: u64,
    /// How long this lane was the one in use, in nanoseconds.
    pub(super) busy: u64,
    pub(super) close: Histogram,
    pub(super) drain: Histogram,
}

impl Times {
    fn record(&mut self, teardown: Teardown) {
        self.teardowns += 1;
        self.close.record(teardown.close);
        self.drain.record(teardown.drain);
    }
}

impl Closer {
    pub(super) fn new(storm: &'static Storm, machine: &Machine) -> Self {
        Self {
            storm,
            length: u64::from(machine.options.seconds) * SECOND,
            start: 0,
            next_report: 0,
            times: Kind::ALL.map(|_| Box::default()),
        }
    }

    /// The storm, from the moment when all CPUs take part.
    pub(super) fn run(&mut self) {
        let others = cpu::count() - 1;
        Halt.wait_until(&mut || self.storm.arrived.load(Ordering::Relaxed) == others);
        self.storm.begun.store(true, Ordering::Relaxed);
        self.start = clock::nanos();
        self.next_report = self.start + SECOND;
        for kind in Kind::ALL.into_iter().cycle() {
            self.slice(kind);
            if self.elapsed() >= self.length && self.times.iter().all(|t| t.teardowns > 0) {
                break;
            }
            if clock::nanos() >= self.next_report {
                report::live(&self.totals(false), self.storm);
                self.next_report += SECOND;
            }
        }
        self.storm.over.store(true, Ordering::Relaxed);
    }

    /// Clears up, once no CPU is in the storm any more; reports for the last time; judges.
    pub(super) fn finish(self) -> ExitCode {
        let elapsed = self.elapsed();
        for lane in &self.storm.lanes {
            lane.finish(CpuIndex::BSP);
        }
        let totals = report::totals(true, elapsed, self.storm, &self.times);
        report::last(&totals, self.storm);
        Verdict::of(&totals, self.storm).announce()
    }

    /// Uses one lane for a while: at least one teardown.
    fn slice(&mut self, kind: Kind) {
        let begin = clock::nanos();
        self.storm.active.store(kind as usize, Ordering::Relaxed);
        let end = (begin + SLICE).min(self.start + self.length);
        loop {
            self.use_device();
            let teardown = self.storm.lane(kind).tear_down(CpuIndex::BSP);
            self.times[kind as usize].record(teardown);
            if clock::nanos() >= end {
                break;
            }
        }
        self.times[kind as usize].busy += clock::nanos() - begin;
    }

    /// Leaves the device open for a tick, so that CPUs which halted when they were refused come back to it.
    /// Uses it, too, but then sleeps: a virtual CPU that has slept is let run when its time comes.
    fn use_device(&self) {
        let end = clock::nanos() + self.storm.tick.as_nanos() as u64;
        self.storm.batch(CpuIndex::BSP);
        Halt.wait_until(&mut || {
            self.storm.release_given(CpuIndex::BSP);
            clock::nanos() >= end
        });
    }

    fn totals(&self, last: bool) -> protocol::storm::Totals {
        report::totals(last, self.elapsed(), self.storm, &self.times)
    }

    fn elapsed(&self) -> u64 {
        clock::nanos() - self.start
    }
}
