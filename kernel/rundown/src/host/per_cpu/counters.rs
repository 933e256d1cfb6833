//! Where the counters are: in regions of address space, each with a row of 64 KiB per CPU. A counter has
//! the same place in every row; its id is its address in the first. Rows begin at multiples of their
//! length, and in front of the first stands the region's number, so that it can be found from an id.
//!
//! `unsafe` in this module: mapping memory, and access to what is mapped.

use core::ptr;
use core::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use super::rseq;
use crate::ids::{CounterId, Unavailable};
use crate::per_cpu::CounterMap;

/// A row is 2^16 bytes long. A page is memory only once it was written: by the CPU whose row it is in,
/// for the first time, hence in the memory near that CPU.
pub(super) const ROW_SHIFT: u32 = 16;
const ROW: usize = 1 << ROW_SHIFT;

/// How many counters a region has.
const IN_REGION: usize = ROW / size_of::<AtomicI64>();

/// The regions' addresses, 0 until they are mapped. They stay for ever.
static REGIONS: [AtomicUsize; 64] = [const { AtomicUsize::new(0) }; 64];

// As `HostPlatform` says.
const _: () = assert!(REGIONS.len() * IN_REGION == 524_288);

/// Half a million counters: those of the first region first.
static USED: CounterMap<{ REGIONS.len() * IN_REGION / u64::BITS as usize }> = CounterMap::new();

/// [`PerCpu::allocate`](crate::PerCpuPlatform::allocate).
pub(super) fn allocate() -> Result<CounterId, Unavailable> {
    let counter = USED
        .reserve()
        .ok_or(Unavailable::Exhausted(REGIONS.len() * IN_REGION))?;
    match address(counter / IN_REGION) {
        Ok(base) => {
            let offset = counter % IN_REGION * size_of::<AtomicI64>();
            Ok(CounterId::new(base + offset))
        }
        Err(unavailable) => {
            USED.free(counter);
            Err(unavailable)
        }
    }
}

/// [`PerCpu::free`](crate::PerCpuPlatform::free).
///
/// # Safety
/// As there.
pub(super) unsafe fn free(counter: CounterId) {
    for row in 0..=rseq::cpus() {
        clear(counter, row);
    }
    let offset = counter.get() % ROW;
    // Relaxed: pairs with nothing; the owner of a counter has seen its region's address.
    let region = number_of(counter.get() - offset).load(Ordering::Relaxed);
    USED.free(region * IN_REGION + offset / size_of::<AtomicI64>());
}

/// What the counter has in this row.
pub(super) fn count(counter: CounterId, row: usize) -> i64 {
    // Relaxed: pairs with nothing; the barrier orders it, or it is racy.
    at(counter, row).load(Ordering::Relaxed)
}

/// Adds in a row that no sequence writes.
pub(super) fn add(counter: CounterId, row: usize, n: i64) {
    // Relaxed: pairs with nothing; the barrier orders it (`unregistered`).
    at(counter, row).fetch_add(n, Ordering::Relaxed);
}

/// Sets it to zero in this row.
pub(super) fn clear(counter: CounterId, row: usize) {
    // What is zero already, no CPU's cache need be disturbed for, nor memory be found.
    if count(counter, row) != 0 {
        // Relaxed: pairs with nothing, the caller publishes it.
        at(counter, row).store(0, Ordering::Relaxed);
    }
}

fn at(counter: CounterId, row: usize) -> &'static AtomicI64 {
    assert!(row <= rseq::cpus(), "no CPU has the number {row}");
    let address = counter.get() + (row << ROW_SHIFT);
    let counter = ptr::with_exposed_provenance::<AtomicI64>(address);
    // SAFETY: an allocated counter's id is an address in a region's first row, aligned, and the row is
    // there; regions stay mapped.
    unsafe { &*counter }
}

/// The region's address: maps it the first time.
fn address(region: usize) -> Result<usize, Unavailable> {
    // Acquire: pairs with the Release below.
    let base = REGIONS[region].load(Ordering::Acquire);
    if base != 0 {
        return Ok(base);
    }
    let length = (rseq::cpus() + 1) * ROW + ROW;
    let mapped = map(length)?;
    // The first row begins after the number, at the next multiple.
    let base = (mapped + size_of::<usize>()).next_multiple_of(ROW);
    // Relaxed: pairs with the load in `free`, by the exchange below.
    number_of(base).store(region, Ordering::Relaxed);
    // Release: pairs with the Acquire above, and with this one of another thread: what is mapped
    // is there for a thread that finds it.
    let installed = REGIONS[region].compare_exchange(0, base, Ordering::Release, Ordering::Acquire);
    match installed {
        Ok(_) => Ok(base),
        Err(other) => {
            // SAFETY: just mapped, and nothing knows of it.
            unsafe { libc::munmap(ptr::with_exposed_provenance_mut(mapped), length) };
            Ok(other)
        }
    }
}

/// The number of the region with this address.
fn number_of(base: usize) -> &'static AtomicUsize {
    let number = ptr::with_exposed_provenance::<AtomicUsize>(base - size_of::<usize>());
    // SAFETY: it stands there, aligned as the base is; regions stay mapped.
    unsafe { &*number }
}

/// Zeroes, as many bytes, at any address.
fn map(length: usize) -> Result<usize, Unavailable> {
    // SAFETY: a new mapping disturbs nothing.
    let mapped = unsafe {
        libc::mmap(
            ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if mapped == libc::MAP_FAILED {
        return Err(Unavailable::Unsupported(
            "no address space for more counters, 64 KiB per CPU (see `ulimit -v`)",
        ));
    }
    // A huge page (2 MiB) would be shared by 32 CPUs' rows, near one of them. A wish: a kernel without
    // huge pages refuses it.
    // SAFETY: just mapped.
    unsafe { libc::madvise(mapped, length, libc::MADV_NOHUGEPAGE) };
    Ok(mapped.expose_provenance())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::vec::Vec;

    #[test]
    fn regions_know_their_numbers() {
        if crate::HostPlatform::per_cpu().is_err() {
            return;
        }
        // More than two regions have.
        let counters: Vec<_> = (0..20_000)
            .map(|_| allocate().expect("there are half a million"))
            .collect();
        let different: HashSet<_> = counters.iter().collect();
        assert_eq!(different.len(), counters.len());
        let mut regions = HashSet::new();
        for counter in &counters {
            let base = counter.get() - counter.get() % ROW;
            let region = number_of(base).load(Ordering::Relaxed);
            assert_eq!(REGIONS[region].load(Ordering::Relaxed), base);
            regions.insert(region);
            // The last row ends where the mapping does, or before.
            assert_eq!(count(*counter, rseq::cpus()), 0);
        }
        assert!(regions.len() >= 3);
        for counter in counters {
            // SAFETY: allocated above, and used no more.
            unsafe { free(counter) };
        }
    }
}
