//! The CPUs: their two names, which one this is, which are online; what each has for itself.

mod area;
pub mod counters;
pub(crate) mod descriptors;

use core::sync::atomic::{AtomicBool, Ordering, fence};

pub use bringup::{ApicId, CpuIndex};
use bringup::{CpuMap, Topology};
use spin::Once;

pub(crate) use area::{allocate_up_to, bytes_up_to, settle_bsp};
pub(crate) use descriptors::Descriptors;

use crate::per_cpu::{self, per_cpu};

per_cpu! {
    /// This CPU takes interrupts and work.
    static ONLINE: AtomicBool = AtomicBool::new(false);
    /// By its own CPUID: on a machine of mixed cores CPUs differ.
    static TOPOLOGY: Once<Topology> = Once::new();
}

/// Set once, by the BSP.
pub(crate) static MAP: Once<CpuMap> = Once::new();

/// The CPU that this code runs on.
///
/// Any context; one load. A kernel thread never moves to another CPU, so the answer stays true.
pub fn current() -> CpuIndex {
    per_cpu::index()
}

/// Number of CPUs that the firmware lists as enabled: their indices are below this.
pub fn enabled() -> usize {
    map().enabled()
}

/// Number of CPUs that there may ever be: those that are [enabled], and behind them those that may
/// be plugged in, and that [`smp::online`](crate::smp::online) then starts.
pub fn possible() -> usize {
    map().len()
}

/// Number of CPUs that run.
pub fn count() -> usize {
    online().count()
}

/// The CPUs that run, by ascending index.
pub fn online() -> impl Iterator<Item = CpuIndex> + Clone {
    let all = map().iter().map(|(index, _)| index);
    all.filter(|index| is_online(*index))
}

/// Whether a CPU runs.
pub fn is_online(index: CpuIndex) -> bool {
    // Acquire: pairs with the store in `set_online`; that CPU's set-up is visible.
    ONLINE.of(index).is_some_and(|online| online.load(Ordering::Acquire))
}

/// Where a CPU sits; `None` if it never started, or is not this machine's. Any CPU, any context.
pub fn topology(index: CpuIndex) -> Option<&'static Topology> {
    TOPOLOGY.of(index)?.get()
}

/// Asks this CPU where it sits, unless that has been done. With its area installed and the index
/// table published; allocates nothing and waits for no other CPU.
pub(crate) fn read_topology() {
    // In this order: a CPU that is reset during `call_once` could never call it again.
    let topology = Topology::read(apic_id(current()));
    TOPOLOGY.here().call_once(|| topology);
}

/// The hardware's name of a CPU. Panics if the machine has no CPU with this index.
pub fn apic_id(index: CpuIndex) -> ApicId {
    map().apic_id(index).expect("an index from this machine")
}

/// The index table: every CPU that the firmware lists, those that may be plugged in later included.
/// Panics before the firmware's tables are read.
pub fn map() -> &'static CpuMap {
    MAP.get().expect("the CPU map is read before it is used")
}

/// Declares a CPU online: it takes interrupts and work. By the BSP. Panics if it has no area.
pub(crate) fn set_online(cpu: CpuIndex) {
    let online = ONLINE.of(cpu).expect("a CPU has its area before it starts");
    // Release: pairs with the load in `is_online`.
    online.store(true, Ordering::Release);
    // No barrier waits for a CPU that its caller has not seen online. So a caller that begins one
    // after closing an object either sees this CPU, or this CPU, which begins to work after this,
    // sees the object closed. Pairs with the fence in `barrier::Call::begin`; `barrier::catch_up`
    // relies on it, too.
    fence(Ordering::SeqCst);
}

/// Marks this CPU as not online any more: from here on no CPU begins to wait for it.
pub(crate) fn set_offline() {
    // Release: pairs with the load in `is_online`; its counts are visible to a CPU that finds it
    // gone, and so does not wait for it.
    ONLINE.here().store(false, Ordering::Release);
    // A CPU that began to wait before either sees, when it looks again, that this one is gone, or
    // its request is seen after this. Pairs with the fences in `ipi::try_call` and
    // `barrier::Call::begin`.
    fence(Ordering::SeqCst);
}

/// Whether this CPU is online. Any context.
pub(crate) fn is_online_here() -> bool {
    ONLINE.here().load(Ordering::Relaxed)
}

/// Online CPUs other than this one. Before the map is read there are none.
pub(crate) fn others() -> impl Iterator<Item = CpuIndex> + Clone {
    let me = current();
    let listed = MAP.get().map_or(0, CpuMap::len);
    (0..listed as u32).map(CpuIndex::new).filter(move |index| *index != me && is_online(*index))
}
