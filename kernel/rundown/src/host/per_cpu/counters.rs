//! Where the counters are: in regions of address space, each with a row of 64 KiB per CPU. A counter has
//! the same place in every row; its id is its address in the first.
//!
//! `unsafe` in this module: mapping memory, and access to what is mapped.

use core::ptr;
use core::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use super::rseq;
use crate::counter_id::{CounterId, Unavailable};
use crate::per_cpu::CounterMap;

/// A row is 2^16 bytes long. A page is memory only once it was written: by the CPU whose row it is in,
/// for the first time, hence in the memory near that CPU.
pub(super) const ROW_SHIFT: u32 = 16;

/// How many counters a region has.
const IN_REGION: usize = (1 << ROW_SHIFT) / size_of::<AtomicI64>();
const WORDS: usize = IN_REGION / u64::BITS as usize;

/// Half a million counters.
static REGIONS: [Region; 64] = [const { Region::new() }; 64];

struct Region {
    /// Its address, 0 until it is mapped. It stays for ever.
    base: AtomicUsize,
    used: CounterMap<WORDS>,
}

/// [`PerCpu::allocate`](crate::PerCpuPlatform::allocate).
pub(super) fn allocate() -> Result<CounterId, Unavailable> {
    for region in &REGIONS {
        let base = region.base()?;
        if let Some(counter) = region.used.reserve() {
            return Ok(CounterId::new(base + counter * size_of::<AtomicI64>()));
        }
    }
    Err(Unavailable::Exhausted(REGIONS.len() * IN_REGION))
}

/// [`PerCpu::free`](crate::PerCpuPlatform::free).
///
/// # Safety
/// As there.
pub(super) unsafe fn free(counter: CounterId) {
    for row in 0..=rseq::cpus() {
        clear(counter, row);
    }
    let (region, base) = REGIONS
        .iter()
        // Relaxed: pairs with nothing; the owner of a counter has seen its region's address.
        .map(|region| (region, region.base.load(Ordering::Relaxed)))
        .find(|&(_, base)| (base..base + (1 << ROW_SHIFT)).contains(&counter.get()))
        .expect("a counter is in a region");
    region
        .used
        .free((counter.get() - base) / size_of::<AtomicI64>());
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

impl Region {
    const fn new() -> Self {
        Self {
            base: AtomicUsize::new(0),
            used: CounterMap::new(),
        }
    }

    /// Maps it, if nobody has.
    fn base(&self) -> Result<usize, Unavailable> {
        // Acquire: pairs with the Release below.
        let base = self.base.load(Ordering::Acquire);
        if base != 0 {
            return Ok(base);
        }
        let length = (rseq::cpus() + 1) << ROW_SHIFT;
        let mapped = map(length)?;
        // Release: pairs with the Acquire above, and with this one of another thread: what is mapped
        // is there for whoever finds it.
        let installed = self
            .base
            .compare_exchange(0, mapped, Ordering::Release, Ordering::Acquire);
        match installed {
            Ok(_) => Ok(mapped),
            Err(other) => {
                // SAFETY: just mapped, and nobody knows of it.
                unsafe { libc::munmap(ptr::with_exposed_provenance_mut(mapped), length) };
                Ok(other)
            }
        }
    }
}

/// Zeroes, as many bytes, at any address.
fn map(length: usize) -> Result<usize, Unavailable> {
    // SAFETY: a new mapping disturbs nobody.
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
