//! What every variant of rundown protection touches, counted in cache lines on running CPUs, is what the
//! model says (`docs/cost.md`).
//!
//! The objects here are those of `rundown-traced`, a copy of `rundown` whose atomics tell a hook of every
//! access. The per-CPU counters are the kernel's; what its assembly does to them is told by hand.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use kernel::cpu::{self, CpuIndex};
use kernel::platform::KernelPlatform;
use kernel::{ExitCode, Machine, barrier, ipi, log, smp};
use lines::{Cost, Counters, Directory, Guarded, Kind, Step, Subject, WindowsShape};
use rundown_traced::trace::{self, Access};
use rundown_traced::{
    CacheAwareRundown, CounterId, IllegalContext, ObjectId, PerCpuGate, PerCpuPlatform,
    PerCpuRundown, PlainRundown, Platform, Rundown, Unavailable, per_cpu::gs,
};
use spin::Once;
use test_kernels::Barrier;
use x86_64::registers::model_specific::GsBase;

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    DIRECTORY.call_once(|| Directory::new(cpu::listed(), 8192));
    let areas = test_kernels::PerCpu::new(Once::new);
    smp::run_on_each(&|me| {
        areas[me].call_once(|| GsBase::read().as_u64() as usize);
    });
    AREAS.call_once(|| areas.iter().map(|area| *area.get().unwrap_or(&0)).collect());
    trace::set_hook(access);
    kernel::testing::run(
        machine,
        &[
            ("one_after_the_other::plain", |_| {
                in_turn(Kind::Plain, &plain())
            }),
            ("one_after_the_other::cache_aware", |_| {
                in_turn(Kind::CacheAware, &cache_aware());
            }),
            ("one_after_the_other::per_cpu", |_| {
                in_turn(Kind::PerCpu, &per_cpu());
            }),
            ("one_after_the_other::windows_shape", |_| {
                in_turn(Kind::Windows, &WindowsShape::<Traced>::new(cpu::listed()));
            }),
            ("one_after_the_other::shared_counter", |_| {
                check(
                    Kind::Shared,
                    &lines::pairs(&Cpus, &Counters::<Traced>::new(1)),
                );
            }),
            ("one_after_the_other::false_sharing", |_| {
                let counters = Counters::<Traced>::new(cpu::listed());
                check(Kind::Unpadded, &lines::pairs(&Cpus, &counters));
            }),
            ("closed_together::cache_aware", |_| {
                let make = || CacheAwareRundown::<Traced>::boxed(cpu::listed());
                together(Kind::CacheAware, &make);
            }),
            ("closed_together::per_cpu", |_| {
                let make = || PerCpuRundown::<Traced>::new().expect("there are counters");
                together(Kind::PerCpu, &make);
            }),
            ("all_at_once::plain", |_| at_once(Kind::Plain, &plain())),
            ("all_at_once::cache_aware", |_| {
                at_once(Kind::CacheAware, &cache_aware());
            }),
            ("all_at_once::per_cpu", |_| {
                at_once(Kind::PerCpu, &per_cpu())
            }),
        ],
    )
}

fn plain() -> impl Subject {
    Guarded::new(PlainRundown::<Traced>::new())
}

fn cache_aware() -> impl Subject {
    Guarded::new(CacheAwareRundown::<Traced>::boxed(cpu::listed()))
}

fn per_cpu() -> impl Subject {
    Guarded::new(PerCpuRundown::<Traced>::new().expect("there are counters"))
}

/// The scripts that are exact: see `lines`.
fn in_turn(kind: Kind, subject: &impl Subject) {
    check(kind, &lines::pairs(&Cpus, subject));
    check(kind, &lines::life(&Cpus, subject));
}

fn check(kind: Kind, counted: &[(Step, Cost)]) {
    for &(step, cost) in counted {
        log!("  {step:?}: {cost}");
        let formula = kind.cost(step, cpus()).map(without_barrier_lines(step));
        assert_eq!(Some(cost), formula, "{step:?}");
    }
}

/// Ten objects: more than have their counters on one line.
fn together<V: rundown_traced::Variant>(kind: Kind, make: &dyn Fn() -> Rundown<V>) {
    const OBJECTS: u64 = 10;
    let objects: Vec<Rundown<V>> = (0..OBJECTS).map(|_| make()).collect();
    let cost = lines::batch(&Cpus, &objects);
    log!("  {cost}");
    let formula = kind.batch(OBJECTS, cpus());
    assert_eq!(Some(cost), formula.map(without_barrier_lines(Step::Close)));
}

/// The kernel's barrier is not traced; of it, only the interrupts are counted.
fn without_barrier_lines(step: Step) -> impl Fn(Cost) -> Cost {
    move |cost| {
        if step == Step::Close && cost.interrupts > 0 {
            let barrier = lines::barrier(cpus());
            cost - Cost::new(barrier.fetches, barrier.takes)
        } else {
            cost
        }
    }
}

/// All CPUs use one object at the same time, and then go on until they find it closed.
fn at_once(kind: Kind, subject: &impl Subject) {
    const PAIRS: u64 = 500;
    let use_it = || {
        let start = Barrier::for_all();
        smp::run_on_each(&|_| {
            start.wait();
            for _ in 0..PAIRS {
                assert!(subject.acquire(), "refused although open");
                subject.release();
            }
        });
    };
    // Once uncounted: where lines come from when nobody has them.
    use_it();
    subject.close();
    subject.reinit();
    use_it();
    let before = counted();
    use_it();
    let cost = counted() - before;
    let pairs = PAIRS * cpus();
    log!("  {pairs} pairs: {cost}");
    let others = cpus() - 1;
    if kind == Kind::Plain {
        // At least once, each CPU but the one that had it last.
        assert!(cost.takes >= others, "the word came to each CPU");
    } else {
        assert_eq!(cost, Cost::NONE, "pairs stay on their own CPU");
    }

    let closed = AtomicBool::new(false);
    let start = Barrier::for_all();
    let before = counted();
    smp::run_on_each(&|me| {
        start.wait();
        if me == CpuIndex::BSP {
            subject.close();
            closed.store(true, Ordering::Release);
        } else {
            while subject.acquire() {
                assert!(!closed.load(Ordering::Acquire) || !subject.is_drained());
                subject.release();
            }
        }
    });
    let cost = counted() - before;
    log!("  closed meanwhile: {cost}");
    assert!(subject.is_drained());
    if kind != Kind::Plain {
        let quiet = kind.cost(Step::Close, cpus()).expect("it can be closed");
        let quiet = without_barrier_lines(Step::Close)(quiet);
        assert_eq!(cost.interrupts, quiet.interrupts);
        // What a CPU may add that the close meets in the middle of a pair: the state word again, and the
        // two lines of a release that comes late; and once more, for a race that was told in
        // another order than it happened in.
        let least = others;
        let most = quiet.transfers() + 4 * others;
        assert!(
            (least..=most).contains(&cost.transfers()),
            "{} is not within {least} and {most}",
            cost.transfers(),
        );
    }
}

/// The CPUs that run, as the scripts see them.
struct Cpus;

impl lines::Machine for Cpus {
    fn cpus(&self) -> usize {
        cpu::count()
    }

    fn on(&self, number: usize, work: &(dyn Fn() + Sync)) {
        let cpu = cpu::online().nth(number).expect("so many CPUs");
        if cpu == cpu::current() {
            work();
        } else {
            ipi::call(cpu, work);
        }
    }

    fn counted(&self) -> Cost {
        counted()
    }
}

fn cpus() -> u64 {
    cpu::count() as u64
}

static DIRECTORY: Once<Directory> = Once::new();

/// The trace's hook.
fn access(address: usize, access: Access) {
    let directory = DIRECTORY.get().expect("made before the hook is set");
    directory.access(cpu::current().get(), address, access);
}

fn counted() -> Cost {
    let lines = DIRECTORY.get().expect("made before anything is counted");
    lines.total().interrupting(barrier::statistics().interrupts)
}

/// Where each CPU's per-CPU area is.
static AREAS: Once<Vec<usize>> = Once::new();

fn counter_at(counter: CounterId, cpu: usize) -> usize {
    AREAS.get().expect("known before there are counters")[cpu] + counter.get()
}

/// The kernel's platform for the traced copy of the crate.
struct Traced;

impl Platform for Traced {
    fn cpu_hint() -> usize {
        cpu::current().get()
    }

    /// Nobody sleeps here.
    fn wake_waiters(_: ObjectId) {}
}

fn kernels(counter: CounterId) -> rundown::CounterId {
    rundown::CounterId::new(counter.get())
}

// SAFETY: all is the kernel's, with the same sequence: the kernel restarts those of all crates, whose
// tables the linker has put together.
unsafe impl PerCpuPlatform for Traced {
    fn allocate() -> Result<CounterId, Unavailable> {
        match <KernelPlatform as rundown::PerCpuPlatform>::allocate() {
            Ok(counter) => Ok(CounterId::new(counter.get())),
            Err(_) => Err(Unavailable::Unsupported("the kernel has no more")),
        }
    }

    unsafe fn free(counter: CounterId) {
        // SAFETY: the same contract.
        unsafe { <KernelPlatform as rundown::PerCpuPlatform>::free(kernels(counter)) };
    }

    #[inline]
    unsafe fn add_if_open(gate: &PerCpuGate, n: i64) -> bool {
        trace::report(gate.as_ptr().addr(), Access::Read);
        // SAFETY: the same contract; the counter's name is its offset from the GS base.
        let added = unsafe { gs::add_if_open(gate, n) };
        if added {
            // The name is on the line of the state word, which has just been read.
            let own = counter_at(gate.counter(), cpu::current().get());
            trace::report(own, Access::Write);
        }
        added
    }

    fn check_barrier() -> Result<(), IllegalContext> {
        let checked = <KernelPlatform as rundown::PerCpuPlatform>::check_barrier();
        checked.map_err(|_| IllegalContext)
    }

    fn barrier() {
        <KernelPlatform as rundown::PerCpuPlatform>::barrier();
    }

    fn cpus() -> usize {
        <KernelPlatform as rundown::PerCpuPlatform>::cpus()
    }

    unsafe fn count(counter: CounterId, cpu: usize) -> i64 {
        trace::report(counter_at(counter, cpu), Access::Read);
        // SAFETY: as for this function; it is the kernel's counter.
        unsafe { <KernelPlatform as rundown::PerCpuPlatform>::count(kernels(counter), cpu) }
    }

    unsafe fn racy_own_count(counter: CounterId) -> i64 {
        // SAFETY: as for this function.
        unsafe { Self::count(counter, cpu::current().get()) }
    }

    /// A read, and a write if there is anything to clear: as the kernel does.
    unsafe fn clear(counter: CounterId, cpu: usize) {
        // SAFETY: as for this function.
        if unsafe { Self::count(counter, cpu) } != 0 {
            trace::report(counter_at(counter, cpu), Access::Write);
        }
        // SAFETY: the same contract.
        unsafe { <KernelPlatform as rundown::PerCpuPlatform>::clear(kernels(counter), cpu) };
    }
}
