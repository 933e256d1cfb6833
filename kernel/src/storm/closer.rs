//! CPU 0's part: it tears the device down again and again, takes the time, and reports.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use protocol::{exit::ExitCode, storm::Totals};

use super::{
    report::{self, Times},
    shared::{MIN_QUOTA, Storm},
};
use crate::{clock, cpu, platform::Halt};

/// How long one variant is used before it is the next one's turn: long enough for many teardowns,
/// short enough that a disturbance of a second hits all alike.
const SLICE: u64 = 100_000_000;

/// Most batches that a CPU may do per device: as good as no limit, no device is open for that long.
const MAX_QUOTA: u64 = 1 << 20;

const SECOND: u64 = 1_000_000_000;

pub(super) struct Closer {
    storm: &'static Storm,
    /// When it began, on the kernel's clock.
    start: u64,
    /// When the last slice ended.
    now: u64,
    /// By variant. (Too large for the stack.)
    times: Vec<Times>,
}

impl Closer {
    pub(super) fn new(storm: &'static Storm) -> Self {
        let times = storm.variants.iter().map(|_| Times::default()).collect();
        Self { storm, start: 0, now: 0, times }
    }

    /// The storm, from the moment when all CPUs take part.
    pub(super) fn run(&mut self, seconds: u32) {
        let others = cpu::count() - 1;
        Halt.until(&mut || self.storm.arrived.load(Ordering::Relaxed) == others);
        self.storm.begun.store(true, Ordering::Relaxed);
        self.start = clock::nanos();
        self.now = self.start;
        let end = self.start + u64::from(seconds) * SECOND;
        let mut next_report = self.start + SECOND;
        for variant in (0..self.times.len()).cycle() {
            // Every variant does something.
            if self.now >= end && self.times.iter().all(|times| times.teardowns > 0) {
                break;
            }
            self.slice(variant, end);
            if self.now >= next_report {
                report::show(&self.totals(false), self.storm);
                next_report += SECOND;
            }
        }
        self.storm.over.store(true, Ordering::Relaxed);
    }

    /// Clears up, once no CPU is in the storm any more; reports for the last time; judges.
    pub(super) fn finish(self) -> ExitCode {
        self.storm.variants.iter().for_each(|variant| variant.finish());
        let totals = self.totals(true);
        report::show(&totals, self.storm);
        report::verdict(&totals, self.storm)
    }

    /// Uses one variant for a while: at least one teardown.
    fn slice(&mut self, variant: usize, end: u64) {
        let begin = clock::nanos();
        self.storm.active.store(variant, Ordering::Relaxed);
        let end = end.min(begin + SLICE);
        loop {
            let start = clock::nanos();
            self.storm.next_round();
            // Meanwhile every CPU's timer ticks once.
            self.use_device(start + self.tick());
            let took = self.storm.variants[variant].tear_down();
            self.times[variant].record(took);
            self.now = clock::nanos();
            self.adapt(self.now - start);
            if self.now >= end {
                break;
            }
        }
        self.times[variant].busy += self.now - begin;
    }

    fn tick(&self) -> u64 {
        self.storm.tick.as_nanos() as u64
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

    /// Adapts how much all CPUs may do to how long it took from one device to the next: 64 virtual
    /// CPUs that share two real ones and never sleep would let this one run every 100 ms only.
    fn adapt(&self, took: u64) {
        let quota = self.storm.quota.load(Ordering::Relaxed);
        let quota = if took > 4 * self.tick() { quota - quota / 4 } else { quota + quota / 4 };
        let quota = quota.clamp(MIN_QUOTA, MAX_QUOTA);
        self.storm.quota.store(quota, Ordering::Relaxed);
    }

    fn totals(&self, last: bool) -> Totals {
        report::totals(last, self.now - self.start, self.storm, &self.times)
    }
}
