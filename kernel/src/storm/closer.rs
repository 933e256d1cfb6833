//! CPU 0's part: it tears the device down again and again, takes the time, and reports.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use protocol::{exit::ExitCode, options::Options, storm::Totals};

use super::{
    report::{self, Times},
    shared::{LANES, MIN_QUOTA, Storm},
};
use crate::{clock, cpu, platform::Halt};

/// How long one lane is used before it is the other one's turn: long enough for many teardowns, short
/// enough that a disturbance of a second hits both alike.
const SLICE: u64 = 100_000_000;

/// Most batches that a CPU may do per device: as good as no limit, no device is open for that long.
const MAX_QUOTA: u64 = 1 << 20;

const SECOND: u64 = 1_000_000_000;

/// The owner of the devices.
pub(super) struct Closer {
    storm: &'static Storm,
    options: &'static Options,
    /// When it began, on the kernel's clock.
    start: u64,
    /// When the last slice ended.
    now: u64,
    /// When it is to end. `None`: a soak, which ends when each variant has done what the options say.
    end: Option<u64>,
    /// By lane.
    times: Vec<Times>,
}

impl Closer {
    pub(super) fn new(storm: &'static Storm, options: &'static Options) -> Self {
        Self {
            storm,
            options,
            start: 0,
            now: 0,
            end: None,
            times: storm.lanes.iter().map(|_| Times::default()).collect(),
        }
    }

    /// The storm, from the moment when all CPUs take part.
    pub(super) fn run(&mut self) {
        let others = cpu::count() - 1;
        Halt.until(&mut || self.storm.arrived.load(Ordering::Relaxed) == others);
        self.storm.begun.store(true, Ordering::Relaxed);
        self.start = clock::nanos();
        self.now = self.start;
        if let (0, 0) = (self.options.pairs, self.options.teardowns) {
            self.end = Some(self.start + u64::from(self.options.seconds) * SECOND);
        }
        let mut next_report = self.start + SECOND;
        let mut lanes = (0..LANES).cycle();
        while !(0..LANES).all(|lane| self.is_done(lane)) {
            let lane = lanes.next().expect("a cycle has no end");
            if self.is_done(lane) {
                continue;
            }
            self.slice(lane);
            if self.now >= next_report {
                report::show(&self.totals(false), self.storm);
                next_report += SECOND;
            }
        }
        self.storm.over.store(true, Ordering::Relaxed);
    }

    /// Whether this lane has done its part. Every lane does something.
    fn is_done(&self, lane: usize) -> bool {
        self.times[lane].teardowns >= self.options.teardowns.max(1)
            && report::grants(self.storm, lane) >= self.options.pairs
            && self.end.is_none_or(|end| self.now >= end)
    }

    /// Clears up, once no CPU is in the storm any more; reports for the last time; judges.
    pub(super) fn finish(self) -> ExitCode {
        for lane in &self.storm.lanes {
            lane.finish();
        }
        let totals = self.totals(true);
        report::show(&totals, self.storm);
        report::verdict(&totals, self.storm)
    }

    /// Uses one lane for a while: at least one teardown.
    fn slice(&mut self, lane: usize) {
        let begin = clock::nanos();
        self.storm.active.store(lane, Ordering::Relaxed);
        let end = (begin + SLICE).min(self.end.unwrap_or(u64::MAX));
        loop {
            let start = clock::nanos();
            self.storm.next_round();
            self.use_device(start + self.window());
            let teardown = self.storm.lanes[lane].tear_down();
            self.times[lane].record(teardown);
            self.now = clock::nanos();
            self.adapt(self.now - start);
            if self.now >= end {
                break;
            }
        }
        self.times[lane].busy += self.now - begin;
    }

    /// How long a device is left open, in nanoseconds: every CPU's timer ticks once meanwhile. In a
    /// soak, which is to tear down as often as it can, only as long as this CPU itself is at it: then
    /// most others are still waking up or in the middle of it (and [`adapt`](Self::adapt) keeps their
    /// quota at its least).
    fn window(&self) -> u64 {
        self.end.map_or(0, |_| self.storm.tick.as_nanos() as u64)
    }

    /// Leaves the device open until then, and uses it like any other CPU: at least one batch.
    fn use_device(&self, until: u64) {
        let open = || clock::nanos() < until;
        for _ in 0..self.storm.quota.load(Ordering::Relaxed) {
            if !(self.storm.batch() && open()) {
                break;
            }
        }
        Halt.until(&mut || {
            self.storm.release_given();
            !open()
        });
    }

    /// Adapts how much all CPUs may do to how long it took from one device to the next.
    ///
    /// On CPUs of their own they may hammer without end. But 64 virtual CPUs that share two real
    /// ones and never sleep would let this one run every 100 ms, and nothing would be torn down.
    fn adapt(&self, took: u64) {
        let quota = self.storm.quota.load(Ordering::Relaxed);
        let quota = if took > 4 * self.window() {
            quota - quota / 4
        } else {
            quota + quota / 4
        };
        let quota = quota.clamp(MIN_QUOTA, MAX_QUOTA);
        self.storm.quota.store(quota, Ordering::Relaxed);
    }

    fn totals(&self, last: bool) -> Totals {
        report::totals(last, self.now - self.start, self.storm, &self.times)
    }
}
