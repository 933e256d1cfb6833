//! A thread that stands for a CPU: it has the CPU's index, and an area of its own that the GS
//! segment points to, as kernels have it. So the kernel's form of the per-CPU variant can be
//! measured on threads.
//!
//! `unsafe` in this module: the system call that sets the GS base, assembly relative to it, and the
//! platform's promises. x86-64 Linux only, which leaves GS to programs (its thread-local data is
//! relative to FS: System V ABI, x86-64 supplement).

use std::arch::asm;
use std::cell::Cell;
use std::io;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use rundown::per_cpu::{CounterMap, gs};
use rundown::{
    CounterId, IllegalContext, ObjectId, PerCpuGate, PerCpuPlatform, Platform, Unavailable,
};

/// The benchmark's threads are pinned, one on each CPU, and none sleeps: as in a kernel whose
/// waiters spin. Its [`PerCpuPlatform`] is for objects that stay open: a kernel's interrupt entry
/// restarts a sequence, but a thread cannot do so to another, and there is no barrier here.
pub struct Pinned;

thread_local! {
    // A constant first value: reading it is one load, without a test whether it is initialised.
    static CPU: Cell<usize> = const { Cell::new(0) };
}

/// The dense index of the worker that asks: 0, 1, 2...; 0 for all other threads. One load, as from
/// a kernel's per-CPU area.
#[inline]
pub fn cpu() -> usize {
    CPU.get()
}

const COUNTERS: usize = 448;

#[repr(align(4096))]
struct Area([AtomicI64; COUNTERS + OWN_WORDS]);

/// For as many CPUs as an affinity mask has; takes memory only where it is used.
static AREAS: [Area; rustix::thread::CpuSet::MAX_CPU] =
    [const { Area([const { AtomicI64::new(0) }; COUNTERS + OWN_WORDS]) };
        rustix::thread::CpuSet::MAX_CPU];

/// One more than the highest index a thread stands for.
static IN_USE: AtomicUsize = AtomicUsize::new(0);

static COUNTER_MAP: CounterMap<{ COUNTERS / 64 }> = CounterMap::new();

/// From now on this thread, which is pinned, stands for the CPU with this index. Others may stand
/// for the same one if they are pinned to the same CPU. It starts no threads: Linux hands the GS
/// base on to them.
pub fn stand_for(index: usize) {
    /// arch_prctl(2), asm/prctl.h.
    const ARCH_SET_GS: libc::c_int = 0x1001;
    let area = AREAS[index].0.as_ptr();
    // SAFETY: nothing else in this process uses GS.
    let result = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SET_GS, area) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    // Relaxed: pairs with nothing. Before its first thread, an area counts nothing.
    IN_USE.fetch_max(index + 1, Ordering::Relaxed);
    CPU.set(index);
}

/// The counter's word in a CPU's area. Counters are named by their offset in it.
fn word(counter: CounterId, cpu: usize) -> &'static AtomicI64 {
    &AREAS[cpu].0[counter.get() / size_of::<AtomicI64>()]
}

impl Platform for Pinned {
    #[inline]
    fn cpu_hint() -> usize {
        cpu()
    }

    fn wake_waiters(_: ObjectId) {}
}

// SAFETY: the sequence is the kernel's own. Nothing misses its restart, since no barrier is
// legal. A thread that stands for no CPU has the GS base 0 and faults, as no counter's offset is as
// large as a page.
unsafe impl PerCpuPlatform for Pinned {
    fn allocate() -> Result<CounterId, Unavailable> {
        let index = COUNTER_MAP.reserve().ok_or(Unavailable::Exhausted(COUNTERS))?;
        let counter = CounterId::new(index * size_of::<AtomicI64>());
        (0..Self::cpus()).for_each(|cpu| word(counter, cpu).store(0, Ordering::Relaxed));
        Ok(counter)
    }

    unsafe fn free(counter: CounterId) {
        COUNTER_MAP.free(counter.get() / size_of::<AtomicI64>());
    }

    #[inline(always)]
    unsafe fn add_if_open(gate: &PerCpuGate, n: i64) -> bool {
        // SAFETY: the same contract; the GS base is this CPU's area.
        unsafe { gs::add_if_open(gate, n) }
    }

    fn check_barrier() -> Result<(), IllegalContext> {
        Err(IllegalContext)
    }

    fn barrier() {
        unreachable!("it is illegal everywhere");
    }

    fn cpus() -> usize {
        IN_USE.load(Ordering::Relaxed)
    }

    unsafe fn count(counter: CounterId, cpu: usize) -> i64 {
        word(counter, cpu).load(Ordering::Relaxed)
    }

    unsafe fn racy_own_count(counter: CounterId) -> i64 {
        word(counter, cpu()).load(Ordering::Relaxed)
    }

    unsafe fn clear(counter: CounterId, cpu: usize) {
        word(counter, cpu).store(0, Ordering::Relaxed);
    }
}

const OWN_WORDS: usize = 2;

/// One of the words behind the counters of this thread's CPU, by its offset, for the bare
/// instructions; the same for all that ask. Another thread has another one (hence the pointer).
#[derive(Clone, Copy, Debug)]
pub struct OwnWord(usize, PhantomData<*const ()>);

impl OwnWord {
    /// The word with this number. In a thread that stands for no CPU, its use faults.
    pub fn here(number: usize) -> Self {
        assert!(number < OWN_WORDS, "there are only {OWN_WORDS}");
        Self((COUNTERS + number) * size_of::<AtomicI64>(), PhantomData)
    }

    #[inline(always)]
    pub fn inc(self) {
        // SAFETY: the word is in this thread's area, and is only ever written there.
        unsafe { asm!("inc qword ptr gs:[{}]", in(reg) self.0, options(nostack)) };
    }

    #[inline(always)]
    pub fn dec(self) {
        // SAFETY: as above.
        unsafe { asm!("dec qword ptr gs:[{}]", in(reg) self.0, options(nostack)) };
    }
}

#[cfg(test)]
mod tests {
    use rundown::PerCpuRundown;

    use super::*;
    use crate::Workers;

    #[test]
    fn each_cpu_counts_in_its_own_area_and_so_do_the_bare_instructions() {
        let workers = Workers::new().expect("CPUs");
        let object: PerCpuRundown<Pinned> = PerCpuRundown::new().expect("few are in use");
        let taken = workers.run(workers.count(), || {
            let (times, word) = (10 + cpu(), OwnWord::here(1));
            for _ in 0..times {
                object.acquire().expect("open");
                word.inc();
            }
            word.dec();
            times as i64
        });
        let counts: Vec<i64> = object.racy_counts().collect();
        assert_eq!(counts[..taken.len()], taken);
        for (area, times) in AREAS.iter().zip(taken) {
            assert_eq!(area.0[COUNTERS + 1].load(Ordering::Relaxed), times - 1);
        }
        std::mem::forget(object);
    }
}
