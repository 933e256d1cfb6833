//! The machine that this thread simulates: its CPUs, and their effects on cache lines.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use rundown_traced::trace::Effect::{self, Read, Write};
use rundown_traced::trace::HOOK;
use rundown_traced::{CounterId, ObjectId, PerCpuGate, PerCpuPlatform, Platform, Unavailable};

/// Bytes of a cache line.
const LINE: usize = 64;

/// The cost of something, on all CPUs together: fetches (reads of a line of which the CPU had no
/// valid copy), takes (writes to a line that it did not have for itself: it had no copy, or others
/// had one, too), and interrupts sent to other CPUs.
pub(crate) type Cost = [u64; 3];

/// Which CPU has which line, and what that cost: a coherence directory (the simplest there is, MSI:
/// Sorin, Hill, Wood, "A Primer on Memory Consistency and Cache Coherence", chapter 7). Caches are
/// endless: a line is only lost to another CPU.
#[derive(Default)]
struct Machine {
    cpus: usize,
    lines: HashMap<usize, Line>,
    cost: Cost,
    /// How many per-CPU counters were given out, and what they count, by counter and CPU.
    given: usize,
    counters: HashMap<(usize, usize), i64>,
}

#[derive(Default)]
struct Line {
    /// The CPUs that have a copy.
    copies: HashSet<usize>,
    /// Whether the only one has it for itself.
    exclusive: bool,
}

impl Machine {
    fn access(&mut self, cpu: usize, accesses: &[(usize, Effect)]) {
        for (address, access) in accesses {
            let line = self.lines.entry(address / LINE).or_default();
            let has_copy = line.copies.contains(&cpu);
            match access {
                Read if !has_copy => {
                    line.exclusive = false;
                    line.copies.insert(cpu);
                    self.cost[0] += 1;
                }
                Write if !(has_copy && line.exclusive) => {
                    *line = Line { copies: HashSet::from([cpu]), exclusive: true };
                    self.cost[1] += 1;
                }
                Read | Write => {}
            }
        }
    }
}

thread_local! {
    static MACHINE: RefCell<Machine> = RefCell::default();
    /// The CPU whose part this thread takes.
    static RUNNING: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Starts a machine with so many CPUs, which have no line.
pub(crate) fn start(cpus: usize) {
    // Accesses outside `on` are no CPU's.
    let hook = |address, access| {
        if let Some(cpu) = RUNNING.get() {
            MACHINE.with_borrow_mut(|machine| machine.access(cpu, &[(address, access)]));
        }
    };
    HOOK.get_or_init(|| hook);
    MACHINE.set(Machine { cpus, ..Machine::default() });
}

/// Runs `work` on a CPU.
pub(crate) fn on<T>(cpu: usize, work: impl FnOnce() -> T) -> T {
    RUNNING.set(Some(cpu));
    let result = work();
    RUNNING.set(None);
    result
}

/// On each CPU, one after the other.
pub(crate) fn each(work: impl Fn()) {
    (0..Simulator::cpus()).for_each(|cpu| on(cpu, &work));
}

/// The cost of these together.
pub(crate) fn count(work: &[&dyn Fn()]) -> Cost {
    MACHINE.with_borrow_mut(|machine| machine.cost = [0; 3]);
    work.iter().for_each(|work| work());
    MACHINE.with_borrow(|machine| machine.cost)
}

/// Where things would be that are not in this process's memory. Nothing else is at such addresses.
const COUNTERS: usize = 1 << 60;
const AREAS: usize = 1 << 61;
const ROUND: usize = 1 << 62;
/// From one CPU's to the next one's.
const STRIDE: usize = 1 << 20;

/// The machine, as `rundown` sees it.
pub(crate) struct Simulator;

impl Platform for Simulator {
    fn cpu_hint() -> usize {
        RUNNING.get().expect("a CPU runs")
    }

    fn wake_waiters(_: ObjectId) {}
}

/// A counter of a CPU, accessed: eight objects' to a line.
fn counter<T>(id: CounterId, cpu: usize, access: Effect, then: impl FnOnce(&mut i64) -> T) -> T {
    MACHINE.with_borrow_mut(|machine| {
        machine.access(Simulator::cpu_hint(), &[(COUNTERS + cpu * STRIDE + id.get() * 8, access)]);
        then(machine.counters.entry((id.get(), cpu)).or_default())
    })
}

// SAFETY: a machine is simulated by one thread, and is never interrupted: every sequence runs to
// its end, so a barrier has nothing to wait for.
unsafe impl PerCpuPlatform for Simulator {
    fn allocate() -> Result<CounterId, Unavailable> {
        MACHINE.with_borrow_mut(|machine| {
            machine.given += 1;
            Ok(CounterId::new(machine.given - 1))
        })
    }

    unsafe fn free(_: CounterId) {}

    unsafe fn add_if_open(gate: &PerCpuGate, n: i64) -> bool {
        let is_open = gate.is_open();
        if is_open {
            counter(gate.counter(), Self::cpu_hint(), Write, |count| *count += n);
        }
        is_open
    }

    /// As the kernel does it (`kernel/src/barrier.rs`). A CPU's area has two lines that matter: one
    /// that every interrupt of that CPU writes, and that says whether it is online; one with the
    /// request and the answer.
    fn barrier() {
        let (caller, cpus) = (Self::cpu_hint(), Self::cpus());
        let online = |cpu| AREAS + cpu * STRIDE;
        let answer = |cpu| online(cpu) + LINE;
        let others = || (0..cpus).filter(|&cpu| cpu != caller);
        MACHINE.with_borrow_mut(|machine| {
            machine.access(caller, &[(ROUND, Write)]);
            for cpu in others() {
                let (online, answer) = (online(cpu), answer(cpu));
                machine.access(caller, &[(online, Read), (answer, Read), (answer, Write)]);
                machine.cost[2] += 1;
            }
            for cpu in others() {
                let (online, answer) = (online(cpu), answer(cpu));
                // Into the interrupt; whether there is a request; there is.
                machine.access(cpu, &[(online, Write), (answer, Read), (answer, Write)]);
                // Its number; the answer; back.
                machine.access(cpu, &[(ROUND, Read), (answer, Write), (online, Write)]);
            }
            for cpu in others() {
                machine.access(caller, &[(online(cpu), Read), (answer(cpu), Read)]);
            }
        });
    }

    fn cpus() -> usize {
        MACHINE.with_borrow(|machine| machine.cpus)
    }

    unsafe fn count(id: CounterId, cpu: usize) -> i64 {
        counter(id, cpu, Read, |count| *count)
    }

    unsafe fn racy_own_count(id: CounterId) -> i64 {
        // SAFETY: as for this function.
        unsafe { Self::count(id, Self::cpu_hint()) }
    }

    /// A read, and a write if there is anything to clear: as the kernel does.
    unsafe fn clear(id: CounterId, cpu: usize) {
        if counter(id, cpu, Read, |count| *count) != 0 {
            counter(id, cpu, Write, |count| *count = 0);
        }
    }
}
