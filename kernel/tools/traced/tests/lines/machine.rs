//! A machine of simulated CPUs, and what they do to cache lines.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, Once};

use rundown_traced::trace::{self, Access};
use rundown_traced::{CounterId, ObjectId, PerCpuGate, PerCpuPlatform, Platform, Unavailable};

/// Bytes of a cache line.
pub(crate) const LINE: usize = 64;

/// The cost of something, on all CPUs together: fetches (reads of a line of which the CPU had no
/// valid copy), takes (writes to a line that it did not have for itself: it had no copy, or others
/// had one, too), and interrupts sent to other CPUs.
pub(crate) type Cost = [u64; 3];

/// Which CPU has which line, and what that cost: a coherence directory (the simplest there is, MSI:
/// Sorin, Hill, Wood, "A Primer on Memory Consistency and Cache Coherence", chapter 7). Caches are
/// endless: a line is only lost to another CPU.
#[derive(Default)]
struct State {
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

impl State {
    fn access(&mut self, cpu: usize, address: usize, access: Access) {
        let line = self.lines.entry(address / LINE).or_default();
        let has_copy = line.copies.contains(&cpu);
        match access {
            Access::Read if !has_copy => {
                line.exclusive = false;
                line.copies.insert(cpu);
                self.cost[0] += 1;
            }
            Access::Write if !(has_copy && line.exclusive) => {
                line.exclusive = true;
                line.copies.clear();
                line.copies.insert(cpu);
                self.cost[1] += 1;
            }
            Access::Read | Access::Write => {}
        }
    }
}

/// CPUs, and what they have cost.
pub(crate) struct Machine {
    pub(crate) cpus: usize,
    state: Mutex<State>,
}

thread_local! {
    /// The machine that this thread plays a part of, and the CPU that it plays.
    static PLAYS: RefCell<Option<(Arc<Machine>, usize)>> = const { RefCell::new(None) };
}

impl Machine {
    /// So many, which have no line.
    pub(crate) fn new(cpus: usize) -> Arc<Self> {
        static HOOKED: Once = Once::new();
        // The trace's hook. Other threads are no machine.
        HOOKED.call_once(|| {
            trace::set_hook(|address, access| {
                PLAYS.with_borrow(|plays| {
                    if let Some((machine, cpu)) = plays {
                        machine.state().access(*cpu, address, access);
                    }
                });
            });
        });
        Arc::new(Self { cpus, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no access panics")
    }

    /// Runs `work` on a CPU.
    pub(crate) fn on<T>(self: &Arc<Self>, cpu: usize, work: impl FnOnce() -> T) -> T {
        PLAYS.set(Some((Arc::clone(self), cpu)));
        let result = work();
        PLAYS.set(None);
        result
    }

    /// On each CPU, one after the other.
    pub(crate) fn each(self: &Arc<Self>, work: impl Fn()) {
        (0..self.cpus).for_each(|cpu| self.on(cpu, &work));
    }

    /// The cost of these together.
    pub(crate) fn count(&self, work: &[&dyn Fn()]) -> Cost {
        self.state().cost = [0; 3];
        work.iter().for_each(|work| work());
        self.state().cost
    }
}

/// The machine, as `rundown` sees it.
pub(crate) struct Simulator;

/// The machine and the CPU that this thread plays.
fn played() -> (Arc<Machine>, usize) {
    PLAYS.with_borrow(Clone::clone).expect("a machine is simulated")
}

/// Where things would be that are not in this process's memory. Nothing else is at such addresses.
const COUNTERS: usize = 1 << 60;
const AREAS: usize = 1 << 61;
const ROUND: usize = 1 << 62;
/// From one CPU's to the next one's.
const STRIDE: usize = 1 << 20;

impl Platform for Simulator {
    fn cpu_hint() -> usize {
        played().1
    }

    fn wake_waiters(_: ObjectId) {}
}

/// A counter of a CPU, accessed: eight objects' to a line.
fn counter<T>(
    counter: CounterId,
    cpu: usize,
    access: Access,
    then: impl FnOnce(&mut i64) -> T,
) -> T {
    let (machine, running) = played();
    let mut state = machine.state();
    state.access(running, COUNTERS + cpu * STRIDE + counter.get() * 8, access);
    then(state.counters.entry((counter.get(), cpu)).or_default())
}

// SAFETY: a machine is played by one thread, and is never interrupted: every sequence runs to its
// end, so a barrier has nothing to wait for.
unsafe impl PerCpuPlatform for Simulator {
    fn allocate() -> Result<CounterId, Unavailable> {
        let (machine, _) = played();
        let mut state = machine.state();
        state.given += 1;
        Ok(CounterId::new(state.given - 1))
    }

    unsafe fn free(_: CounterId) {}

    unsafe fn add_if_open(gate: &PerCpuGate, n: i64) -> bool {
        let is_open = gate.is_open();
        if is_open {
            counter(gate.counter(), Self::cpu_hint(), Access::Write, |count| *count += n);
        }
        is_open
    }

    /// As the kernel does it (`kernel/src/barrier.rs`). A CPU's area has two lines that matter: one
    /// that every interrupt of that CPU writes, and that says whether it is online; one with the
    /// request and the answer.
    fn barrier() {
        let (machine, caller) = played();
        let mut state = machine.state();
        let online = |cpu| AREAS + cpu * STRIDE;
        let answer = |cpu| online(cpu) + LINE;
        let others = || (0..machine.cpus).filter(|&cpu| cpu != caller);
        state.access(caller, ROUND, Access::Write);
        for cpu in others() {
            state.access(caller, online(cpu), Access::Read);
            state.access(caller, answer(cpu), Access::Read);
            state.access(caller, answer(cpu), Access::Write);
            state.cost[2] += 1;
        }
        for cpu in others() {
            // Into the interrupt; whether there is a request; there is; its number; the answer;
            // back.
            state.access(cpu, online(cpu), Access::Write);
            state.access(cpu, answer(cpu), Access::Read);
            state.access(cpu, answer(cpu), Access::Write);
            state.access(cpu, ROUND, Access::Read);
            state.access(cpu, answer(cpu), Access::Write);
            state.access(cpu, online(cpu), Access::Write);
        }
        for cpu in others() {
            state.access(caller, online(cpu), Access::Read);
            state.access(caller, answer(cpu), Access::Read);
        }
    }

    fn cpus() -> usize {
        played().0.cpus
    }

    unsafe fn count(id: CounterId, cpu: usize) -> i64 {
        counter(id, cpu, Access::Read, |count| *count)
    }

    unsafe fn racy_own_count(id: CounterId) -> i64 {
        // SAFETY: as for this function.
        unsafe { Self::count(id, Self::cpu_hint()) }
    }

    /// A read, and a write if there is anything to clear: as the kernel does.
    unsafe fn clear(id: CounterId, cpu: usize) {
        if counter(id, cpu, Access::Read, |count| *count) != 0 {
            counter(id, cpu, Access::Write, |count| *count = 0);
        }
    }
}
