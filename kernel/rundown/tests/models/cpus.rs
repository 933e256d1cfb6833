//! CPUs for the per-CPU variant: loom's threads run on them, several on one if need be.
//!
//! A CPU's state is behind a lock that is held for what is one instruction there: to have read the
//! state word and then find the lock taken is to be interrupted between two instructions. All that
//! the lock orders is ordered on hardware, too:
//!
//! - Steps of threads on the same CPU come one after the other.
//! - The barrier takes the lock of a CPU only to interrupt it. The return from an interrupt is
//!   serialising (IRET: Intel SDM 3A, 10.3), and an acknowledgement is a store that the sender
//!   awaits. So what the closer did before the barrier is visible on that CPU from then on, and
//!   what that CPU did before is visible to the closer.
//!
//! That is the asymmetric fence: `fence(SeqCst)` on both sides, where the closer issues the other
//! side's at a moment of its choice. The lock is that and no more: it orders the closer with just
//! the CPUs that it interrupts, from the moment when it does.
//!
//! The counters themselves are behind no lock. An add is a load and a store, both relaxed, since
//! the instruction is neither atomic for other CPUs nor a fence. Any CPU may read them at any time.

use std::sync::atomic::AtomicUsize;

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicI64, Ordering};
use loom::thread;
use rundown::per_cpu::CounterMap;
use rundown::{CounterId, PerCpuGate, PerCpuPlatform, Unavailable};

use super::{LoomPlatform, Traits, cpu};

/// One's own and another: each thread of a model says on which of them it runs.
pub(crate) const CPUS: usize = 2;

/// Objects at a time: few, because each costs every execution of a model some time.
const COUNTERS: usize = 2;

/// The fault of a platform.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    Nothing,
    /// An interrupted sequence goes on where it was.
    DoesNotRestart,
    /// The barrier leaves this CPU out.
    Skips(usize),
    /// The barrier takes this CPU's acknowledgement before it has interrupted it.
    AcknowledgesEarly(usize),
}

struct Cpu {
    /// How often it was interrupted.
    interrupts: Mutex<usize>,
    counts: [AtomicI64; COUNTERS],
}

/// All of it in one, made before a model's threads start: a thread that makes something for all of
/// them would be ordered before them.
struct System {
    cpus: [Cpu; CPUS],
    in_use: CounterMap<1>,
    /// How many there have been. Not loom's, so as not to order anything.
    barriers: AtomicUsize,
}

loom::lazy_static! {
    static ref SYSTEM: System = System {
        cpus: [(); CPUS].map(|()| Cpu {
            interrupts: Mutex::new(0),
            counts: [(); COUNTERS].map(|()| AtomicI64::new(0)),
        }),
        in_use: CounterMap::new(),
        barriers: AtomicUsize::new(0),
    };
}

/// How many barriers there have been.
pub(crate) fn barriers() -> usize {
    SYSTEM.barriers.load(Ordering::Relaxed)
}

/// Something else comes in between on this CPU: a handler, or another thread.
pub(crate) fn interrupt(cpu: usize) {
    *SYSTEM.cpus[cpu].interrupts.lock().unwrap() += 1;
}

// SAFETY: as the trait demands, if there is no flaw; with one, models are to fail.
unsafe impl<T: Traits> PerCpuPlatform for LoomPlatform<T> {
    fn allocate() -> Result<CounterId, Unavailable> {
        let free = SYSTEM.in_use.reserve().filter(|&counter| counter < COUNTERS);
        let counter = free.ok_or(Unavailable::Exhausted(COUNTERS))?;
        for cpu in &SYSTEM.cpus {
            cpu.counts[counter].store(0, Ordering::Relaxed);
        }
        Ok(CounterId::new(counter))
    }

    unsafe fn free(counter: CounterId) {
        SYSTEM.in_use.free(counter.get());
    }

    /// The sequence.
    unsafe fn add_if_open(gate: &PerCpuGate, n: i64) -> bool {
        let cpu = &SYSTEM.cpus[cpu()];
        loop {
            let started = *cpu.interrupts.lock().unwrap();
            if !gate.is_open() {
                return false;
            }
            let interrupts = cpu.interrupts.lock().unwrap();
            if *interrupts == started || T::FLAW == Flaw::DoesNotRestart {
                let count = &cpu.counts[gate.counter().get()];
                count.store(count.load(Ordering::Relaxed) + n, Ordering::Relaxed);
                return true;
            }
        }
    }

    /// Interrupts all CPUs. The caller's own as well: that stands for the switch to this thread, in
    /// which a thread that is in a sequence there was interrupted.
    fn barrier() {
        SYSTEM.barriers.fetch_add(1, Ordering::Relaxed);
        for cpu in 0..CPUS {
            if T::FLAW == Flaw::AcknowledgesEarly(cpu) {
                thread::spawn(move || interrupt(cpu));
            } else if T::FLAW != Flaw::Skips(cpu) {
                interrupt(cpu);
            }
        }
    }

    fn cpus() -> usize {
        CPUS
    }

    unsafe fn count(counter: CounterId, cpu: usize) -> i64 {
        SYSTEM.cpus[cpu].counts[counter.get()].load(Ordering::Relaxed)
    }

    unsafe fn racy_own_count(counter: CounterId) -> i64 {
        // SAFETY: as for this function.
        unsafe { Self::count(counter, cpu()) }
    }

    unsafe fn clear(counter: CounterId, cpu: usize) {
        SYSTEM.cpus[cpu].counts[counter.get()].store(0, Ordering::Relaxed);
    }
}
