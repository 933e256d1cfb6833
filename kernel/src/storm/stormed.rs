//! One variant of rundown protection, the device behind it, and every CPU's tally.

use alloc::boxed::Box;
use core::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use rundown::{Guard, Protected, Rundown, Variant, Wait, Waiting};
use spin::Mutex;

use super::device::Device;
use crate::{
    clock,
    cpu::{self, CpuIndex},
    interrupts, log,
    platform::Halt,
};

/// Any of the three variants.
pub(super) trait Hammered: Send + Sync {
    /// Acquires, uses the device, releases or hands it on; `false` if refused. Any context but NMI.
    fn step(&'static self) -> bool;

    /// Releases what other CPUs have given to this one. Any context but NMI; never blocks.
    fn release_given(&self);

    /// Closes the device, waits until it is drained, frees it, and publishes the next one. Returns
    /// how many nanoseconds the close took, and from then on the drain. Thread context, one CPU at
    /// a time. Panics if the device does not drain.
    fn tear_down(&self) -> [u64; 2];

    /// Releases what is left in mailboxes, and tears the last device down for good. At the end.
    fn finish(&self);

    fn tally(&self, cpu: CpuIndex) -> &Tally;

    fn violations(&self) -> u64;
}

/// One CPU's counts. Written by that CPU only, but both in thread and in interrupt context, hence
/// by read-modify-write. On cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Tally {
    pub(super) grants: AtomicU64,
    /// Of those, granted in interrupt context.
    pub(super) irq_grants: AtomicU64,
    pub(super) refusals: AtomicU64,
    /// Protections that it released and another CPU had acquired.
    pub(super) released_for_others: AtomicU64,
}

pub(super) struct Stormed<V: Variant + 'static> {
    name: &'static str,
    device: Protected<Device, V>,
    /// Generation of the latest device published. Only the closer writes it.
    published: AtomicU64,
    /// Every device up to this generation is known to be closed: its close has returned, or an
    /// acquire was refused that started when it was the latest.
    closed: AtomicU64,
    violations: AtomicU64,
    tallies: Box<[Tally]>,
    mailboxes: Box<[Mailbox<Use<V>>]>,
    cpus: Box<[CpuIndex]>,
}

/// A use of the device that has begun: protection, and the generation to find at its end.
type Use<V> = (Guard<'static, Device, V>, u64);

/// One protection in this many is released by another CPU.
const GIVE_EVERY: u64 = 16;

/// A drain that takes so long, in nanoseconds, never ends. With 255 virtual CPUs on two real ones,
/// the longest seen took 0.8 s.
const TIMEOUT: u64 = 20_000_000_000;

/// More violations than this are only counted.
const MAX_REPORTED: u64 = 8;

impl<V: Variant + 'static> Stormed<V> {
    /// With an open device, generation 1.
    pub(super) fn new(name: &'static str, rundown: Rundown<V>, cpus: &[CpuIndex]) -> Self {
        Self {
            name,
            device: Protected::new(rundown, Device::new(1, cpu::enabled())),
            published: AtomicU64::new(1),
            closed: AtomicU64::new(0),
            violations: AtomicU64::new(0),
            tallies: (0..cpu::enabled()).map(|_| Tally::default()).collect(),
            mailboxes: (0..cpu::enabled()).map(|_| Mailbox(Mutex::new(None))).collect(),
            cpus: cpus.into(),
        }
    }

    fn begin(&'static self) -> Option<Use<V>> {
        // Acquire: pairs with `note_closed` and the store of `published` in `tear_down`. A device
        // known to be closed before the acquire below starts must not be granted by it.
        let closed = self.closed.load(Ordering::Acquire);
        let latest = self.published.load(Ordering::Acquire);
        let Some(device) = self.device.try_acquire() else {
            // The device that was the latest is closed, and perhaps later ones are.
            self.note_closed(latest);
            return None;
        };
        let generation = device.begin().unwrap_or_else(|| {
            // S2: the device was poisoned or freed under protection.
            self.violation(format_args!("device {latest} is gone under protection"));
            latest
        });
        if generation <= closed {
            // S1: granted by an acquire that started when the device was known to be closed.
            self.violation(format_args!(
                "device {generation} was granted although {closed} was known to be closed"
            ));
        }
        Some((device, generation))
    }

    /// Ends a use and, by dropping the guard, releases its protection, on this CPU.
    fn end(&self, (device, generation): Use<V>) {
        if !device.end(generation) {
            // S2: it was poisoned, freed or replaced.
            self.violation(format_args!("device {generation} is gone under protection"));
        }
    }

    /// The CPU that is to release this CPU's protection with this number, if it is another one.
    fn receiver(&self, number: u64) -> Option<CpuIndex> {
        let other = self.cpus[(number / GIVE_EVERY) as usize % self.cpus.len()];
        (number.is_multiple_of(GIVE_EVERY) && other != cpu::current()).then_some(other)
    }

    /// Remembers, for all CPUs, that the devices up to this generation are closed.
    fn note_closed(&self, generation: u64) {
        // Looked at first: writing a line that all CPUs read is expensive, and it is rarely news.
        if self.closed.load(Ordering::Relaxed) < generation {
            // Release: pairs with the load in `begin`. (AcqRel: with other CPUs' calls.)
            self.closed.fetch_max(generation, Ordering::AcqRel);
        }
    }

    /// Closes and empties the device: the part of a teardown that is timed.
    fn take_out(&self, generation: u64) -> (Option<Device>, [u64; 2]) {
        let start = clock::nanos();
        self.device.close();
        let closed = clock::nanos();
        self.note_closed(generation);
        // This CPU must go on emptying its mailbox: the protection it waits for may be in there.
        let device = self.device.run_down(&Serving(self)).ok();
        let times = [closed - start, clock::nanos() - closed];
        match device.as_ref().map(Device::in_use) {
            Some(0) => {}
            // S2: the wait returned, but this many uses have not ended.
            Some(uses) => self.violation(format_args!(
                "device {generation} was drained with {uses} uses under way"
            )),
            // S8: there is no other owner.
            None => self.violation(format_args!("device {generation} could not be taken out")),
        }
        (device, times)
    }

    /// A broken promise (S1 to S8: the README of crate `rundown`).
    fn violation(&self, what: fmt::Arguments<'_>) {
        if self.violations.fetch_add(1, Ordering::Relaxed) < MAX_REPORTED {
            log!("VIOLATION, {}: {what}", self.name);
        }
    }
}

impl<V: Variant + 'static> Hammered for Stormed<V> {
    fn step(&'static self) -> bool {
        let tally = &self.tallies[cpu::current().get()];
        let Some(used) = self.begin() else {
            tally.refusals.fetch_add(1, Ordering::Relaxed);
            return false;
        };
        let number = tally.grants.fetch_add(1, Ordering::Relaxed);
        if interrupts::in_handler() {
            tally.irq_grants.fetch_add(1, Ordering::Relaxed);
        }
        let kept = match self.receiver(number) {
            Some(other) => self.mailboxes[other.get()].put(used).err(),
            None => Some(used),
        };
        if let Some(used) = kept {
            self.end(used);
        }
        true
    }

    fn release_given(&self) {
        let me = cpu::current().get();
        if let Some(used) = self.mailboxes[me].take() {
            self.tallies[me].released_for_others.fetch_add(1, Ordering::Relaxed);
            self.end(used);
        }
    }

    fn tear_down(&self) -> [u64; 2] {
        let generation = self.published.load(Ordering::Relaxed);
        let (device, times) = self.take_out(generation);
        drop(device);
        let generation = generation + 1;
        let next = Device::new(generation, self.tallies.len());
        if self.device.publish(next).is_err() {
            // S8: the old one has been taken out.
            self.violation(format_args!("device {generation} could not be published"));
        }
        // Release: pairs with the load in `begin`. An acquire that is refused after it knows that
        // this very device is closed.
        self.published.store(generation, Ordering::Release);
        times
    }

    fn finish(&self) {
        for used in self.mailboxes.iter().filter_map(Mailbox::take) {
            self.end(used);
        }
        drop(self.take_out(self.published.load(Ordering::Relaxed)));
    }

    fn tally(&self, cpu: CpuIndex) -> &Tally {
        &self.tallies[cpu.get()]
    }

    fn violations(&self) -> u64 {
        self.violations.load(Ordering::Relaxed)
    }
}

/// How a protection gets to another CPU: room for one. Nothing blocks, since a CPU that holds the
/// lock may be a virtual one that is not running: a mailbox that is full or locked refuses.
struct Mailbox<T>(Mutex<Option<T>>);

impl<T> Mailbox<T> {
    /// Puts something in, or gives it back. Any CPU, any context but NMI.
    fn put(&self, thing: T) -> Result<(), T> {
        // With interrupts off, so that a handler on this CPU never finds the lock taken below it.
        interrupts::without(|| match self.0.try_lock() {
            Some(mut place) if place.is_none() => {
                *place = Some(thing);
                Ok(())
            }
            _ => Err(thing),
        })
    }

    /// Takes out what is in it. `None` also while another CPU is putting something in.
    fn take(&self) -> Option<T> {
        interrupts::without(|| self.0.try_lock()?.take())
    }
}

/// Halts until woken, and releases what other CPUs gave to this one. Panics after [`TIMEOUT`].
struct Serving<'a, V: Variant + 'static>(&'a Stormed<V>);

impl<V: Variant + 'static> Wait for Serving<'_, V> {
    fn wait_until(&self, waiting: Waiting, ready: &mut dyn FnMut() -> bool) {
        let start = clock::nanos();
        Halt.wait_until(waiting, &mut || {
            self.0.release_given();
            assert!(
                clock::nanos() - start < TIMEOUT,
                "{}: the device does not drain: a release, or the wait, is lost",
                self.0.name
            );
            ready()
        });
    }
}
