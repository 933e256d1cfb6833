//! All of physical memory, as the loader has mapped it.

use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::{PhysAddr, VirtAddr};

/// Written once, before other CPUs run, so Relaxed everywhere.
static OFFSET: AtomicU64 = AtomicU64::new(0);

/// Where a physical address is mapped.
#[must_use]
pub(crate) fn virt(address: PhysAddr) -> VirtAddr {
    VirtAddr::new(OFFSET.load(Ordering::Relaxed)) + address.as_u64()
}

/// Learns where physical address 0 is mapped.
pub(super) fn init(offset: u64) {
    OFFSET.store(offset, Ordering::Relaxed);
}
