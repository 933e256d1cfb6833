//! A machine of simulated CPUs: one thread plays them all, one after the other.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Once;

use lines::{Cost, Directory, LINE, Machine};
use rundown_traced::per_cpu::CounterMap;
use rundown_traced::trace::{self, Access};
use rundown_traced::{CounterId, ObjectId, PerCpuGate, PerCpuPlatform, Platform, Unavailable};

/// Makes the calling thread a machine, until the result is dropped.
pub(crate) struct Simulated {
    state: Rc<State>,
}

struct State {
    directory: Directory,
    cpus: usize,
    running: Cell<usize>,
    interrupts: Cell<u64>,
    /// Which per-CPU counters are in use.
    used: CounterMap<1>,
    /// What they count: by counter, then by CPU.
    counters: RefCell<Vec<Vec<i64>>>,
}

thread_local! {
    static STATE: RefCell<Option<Rc<State>>> = const { RefCell::new(None) };
}

impl Simulated {
    /// So many CPUs, and room for so many different lines.
    pub(crate) fn new(cpus: usize, lines: usize) -> Self {
        static HOOKED: Once = Once::new();
        HOOKED.call_once(|| trace::set_hook(access));
        let state = Rc::new(State {
            directory: Directory::new(cpus, lines.next_power_of_two()),
            cpus,
            running: Cell::new(0),
            interrupts: Cell::new(0),
            used: CounterMap::new(),
            counters: RefCell::new(vec![vec![0; cpus]; CounterMap::<1>::COUNTERS]),
        });
        STATE.set(Some(Rc::clone(&state)));
        Self { state }
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        STATE.set(None);
    }
}

impl Machine for Simulated {
    fn cpus(&self) -> usize {
        self.state.cpus
    }

    fn on(&self, cpu: usize, work: &(dyn Fn() + Sync)) {
        self.state.running.set(cpu);
        work();
        self.state.running.set(0);
    }

    fn counted(&self) -> Cost {
        let interrupts = self.state.interrupts.get();
        self.state.directory.total().interrupting(interrupts)
    }
}

/// The trace's hook. Other threads (the tests' own) are no machine.
fn access(address: usize, access: Access) {
    STATE.with_borrow(|state| {
        if let Some(state) = state {
            state.directory.access(state.running.get(), address, access);
        }
    });
}

/// The simulated machine, as `rundown` sees it.
pub(crate) struct Simulator;

impl Simulator {
    fn state() -> Rc<State> {
        STATE
            .with_borrow(Clone::clone)
            .expect("a machine is simulated")
    }
}

impl Platform for Simulator {
    fn cpu_hint() -> usize {
        Self::state().running.get()
    }

    fn wake_waiters(_: ObjectId) {}
}

/// Where things would be that are not in this process's memory. Nothing else is at such addresses.
const COUNTERS: usize = 1 << 60;
const AREAS: usize = 1 << 61;
const ROUND: usize = 1 << 62;
/// From one CPU's to the next one's.
const STRIDE: usize = 1 << 20;

/// CPU `cpu`'s counter `counter`: eight to a line.
fn counter_at(counter: CounterId, cpu: usize) -> usize {
    COUNTERS + cpu * STRIDE + counter.get() * size_of::<i64>()
}

// SAFETY: one thread plays all CPUs, and none is ever interrupted: every sequence runs to its end, so
// a barrier has nothing to wait for.
unsafe impl PerCpuPlatform for Simulator {
    fn allocate() -> Result<CounterId, Unavailable> {
        let state = Self::state();
        let counter = state
            .used
            .reserve()
            .ok_or(Unavailable::Exhausted(CounterMap::<1>::COUNTERS))?;
        state.counters.borrow_mut()[counter].fill(0);
        Ok(CounterId::new(counter))
    }

    unsafe fn free(counter: CounterId) {
        Self::state().used.free(counter.get());
    }

    unsafe fn add_if_open(gate: &PerCpuGate, n: i64) -> bool {
        let state = Self::state();
        let cpu = state.running.get();
        if !gate.is_open() {
            return false;
        }
        let counter = gate.counter();
        trace::report(counter_at(counter, cpu), Access::Write);
        state.counters.borrow_mut()[counter.get()][cpu] += n;
        true
    }

    /// As `kernel::barrier` does it, written down access by access.
    fn barrier() {
        let state = Self::state();
        let caller = state.running.get();
        let access = |cpu, address, access| state.directory.access(cpu, address, access);
        let online = |cpu| AREAS + cpu * STRIDE;
        let answer = |cpu| online(cpu) + LINE;
        let others = || (0..state.cpus).filter(|&cpu| cpu != caller);
        access(caller, ROUND, Access::Write);
        for cpu in others() {
            access(caller, online(cpu), Access::Read);
            access(caller, answer(cpu), Access::Read);
            access(caller, answer(cpu), Access::Write);
            state.interrupts.set(state.interrupts.get() + 1);
        }
        for cpu in others() {
            // Into the interrupt; whether there is a request; there is; its number; the answer; back.
            access(cpu, online(cpu), Access::Write);
            access(cpu, answer(cpu), Access::Read);
            access(cpu, answer(cpu), Access::Write);
            access(cpu, ROUND, Access::Read);
            access(cpu, answer(cpu), Access::Write);
            access(cpu, online(cpu), Access::Write);
        }
        for cpu in others() {
            access(caller, online(cpu), Access::Read);
            access(caller, answer(cpu), Access::Read);
        }
    }

    fn cpus() -> usize {
        Self::state().cpus
    }

    unsafe fn count(counter: CounterId, cpu: usize) -> i64 {
        trace::report(counter_at(counter, cpu), Access::Read);
        Self::state().counters.borrow()[counter.get()][cpu]
    }

    unsafe fn racy_own_count(counter: CounterId) -> i64 {
        // SAFETY: as for this function.
        unsafe { Self::count(counter, Self::cpu_hint()) }
    }

    unsafe fn clear(counter: CounterId, cpu: usize) {
        // SAFETY: as for this function.
        if unsafe { Self::count(counter, cpu) } != 0 {
            trace::report(counter_at(counter, cpu), Access::Write);
            Self::state().counters.borrow_mut()[counter.get()][cpu] = 0;
        }
    }
}
