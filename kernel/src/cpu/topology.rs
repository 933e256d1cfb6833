//! Where each CPU sits and which caches it has, as it says itself.
//!
//! Each CPU asks itself once, while it starts, and keeps the answer in its area: CPUID tells of the CPU
//! that runs it, and on a machine of mixed cores CPUs differ. What the answers mean is crate
//! `bringup`'s matter.

use bringup::{ApicId, CacheKind, CoreKind, CpuIndex, Topology};
use protocol::{event::Event, topology};
use spin::Once;

use crate::{
    log,
    log::emit,
    per_cpu::{self, per_cpu},
};

per_cpu! {
    /// What it has said of itself.
    static TOPOLOGY: Once<Topology> = Once::new();
}

/// What a CPU has said of itself; `None` if it has never started, or is none of this machine's.
///
/// Any CPU, any context.
#[must_use]
pub fn of(cpu: CpuIndex) -> Option<&'static Topology> {
    TOPOLOGY.of(cpu)?.get()
}

/// Asks this CPU, unless that has been done: a CPU that is started again is the same as before. With its
/// area installed and the index table published; allocates nothing and waits for nobody.
pub(crate) fn read() {
    // First the one, then the other: a CPU that is reset in the midst of `call_once` could never call it
    // again.
    let topology = Topology::read(super::apic_id(per_cpu::index()));
    TOPOLOGY.here().call_once(|| topology);
}

/// The kind of core, in the words of events.
pub(crate) fn kind(topology: &Topology) -> Option<topology::CoreKind> {
    topology.kind.map(|kind| match kind {
        CoreKind::Performance => topology::CoreKind::Performance,
        CoreKind::Efficiency => topology::CoreKind::Efficiency,
    })
}

/// Tells of the caches of all CPUs that run: an event for each CPU's, or a table with a row for each.
pub fn report() {
    if log::is_json() {
        caches().for_each(|cache| emit(&Event::Cache(cache)));
        return;
    }
    log::plain(topology::Cache::HEADER);
    for cache in caches() {
        // Told once, by the first of those who share it.
        let shared = caches().filter(|other| other.identity() == cache.identity());
        let cpus = shared.map(|other| other.cpu);
        if cpus.clone().next() == Some(cache.cpu) {
            log::plain(cache.row(cpus));
        }
    }
}

/// Caches by CPU.
fn caches() -> impl Iterator<Item = topology::Cache> + Clone {
    super::online().flat_map(|cpu| {
        let caches = of(cpu).into_iter().flat_map(Topology::caches);
        caches.map(move |cache| topology::Cache {
            cpu: cpu.get() as u32,
            level: cache.level,
            kind: match cache.kind {
                CacheKind::Data => topology::CacheKind::Data,
                CacheKind::Instruction => topology::CacheKind::Instruction,
                CacheKind::Unified => topology::CacheKind::Unified,
            },
            bytes: cache.bytes,
            ways: cache.ways,
            line: cache.line,
            first: ApicId::get(cache.first),
        })
    })
}
