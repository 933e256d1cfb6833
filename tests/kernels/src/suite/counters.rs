//! Per-CPU counters: whose they are, how they grow, and what happens when there are no more.

use alloc::vec::Vec;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use kernel::cpu::{CpuIndex, counters};
use kernel::platform::{Halt, KernelPlatform};
use kernel::testing::Test;
use kernel::{cpu, smp, timer};
use rundown::{CounterId, PerCpuPlatform, PerCpuRundown, Unavailable};
use test_kernels::{Barrier, tests};

pub(crate) fn tests() -> &'static [Test] {
    tests! {
        once {
            a_counter_comes_back_zeroed,
            counters_grow_over_pages,
            all_cpus_allocate_at_once,
            too_many_counters_are_an_error,
        }
    }
}

/// A counter, given back when dropped.
struct Counter(CounterId);

fn counter() -> Counter {
    Counter(KernelPlatform::allocate().expect("a counter"))
}

impl Counter {
    /// Adds to the running CPU's.
    fn add(&self, n: i64) {
        // SAFETY: GS points to this CPU's area, where the counter is this object's.
        unsafe {
            asm!(
                "add qword ptr gs:[{offset}], {n}",
                offset = in(reg) self.offset(),
                n = in(reg) n,
                options(nostack),
            );
        }
    }

    fn offset(&self) -> usize {
        self.0.get()
    }

    fn racy_of(&self, cpu: CpuIndex) -> i64 {
        // SAFETY: it is in use.
        unsafe { KernelPlatform::count(self.0, cpu.get()) }
    }

    fn racy_sum(&self) -> i64 {
        let counts = cpu::online().map(|cpu| self.racy_of(cpu));
        counts.fold(0, i64::wrapping_add)
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        // SAFETY: nothing else uses it, and it is given back once.
        unsafe { KernelPlatform::free(self.0) }
    }
}

fn a_counter_comes_back_zeroed() {
    let in_use = counters::racy_in_use();
    let first = counter();
    let (left, offset) = (counter(), first.offset());
    smp::run_on_each(&|_| first.add(i64::MIN));
    drop(first);
    let again = counter();
    // The lowest that is free: so that they lie densely.
    assert_eq!(again.offset(), offset);
    assert_eq!(left.offset(), offset + 8);
    for cpu in cpu::online() {
        assert_eq!(again.racy_of(cpu), 0, "{cpu}");
    }
    drop((again, left));
    assert_eq!(counters::racy_in_use(), in_use, "a counter was lost");
}

/// Over three pages and more; every CPU finds each of them in its own area, and none of them twice.
fn counters_grow_over_pages() {
    const COUNTERS: usize = 1800;
    let in_use = counters::racy_in_use();
    let counters: Vec<Counter> = (0..COUNTERS).map(|_| counter()).collect();
    let pages = counters.iter().map(|counter| counter.offset() / 4096);
    assert!(pages.max() >= Some(3));
    smp::run_on_each(&|_| {
        for (number, counter) in counters.iter().enumerate() {
            counter.add(number as i64);
        }
    });
    for cpu in cpu::online() {
        for (number, counter) in counters.iter().enumerate() {
            assert_eq!(counter.racy_of(cpu), number as i64, "{cpu}");
        }
    }
    drop(counters);
    assert_eq!(counters::racy_in_use(), in_use, "a counter was lost");
}

/// In threads and in handlers on top of them, pages of which some are not mapped yet.
fn all_cpus_allocate_at_once() {
    static IN_TICKS: AtomicU64 = AtomicU64::new(0);
    let in_use = counters::racy_in_use();
    let each = (6000 / cpu::count()).min(1000);
    test_kernels::set_on_tick(&|| {
        let counter = counter();
        counter.add(1);
        assert_eq!(counter.racy_sum(), 1, "two have the same counter");
        IN_TICKS.fetch_add(1, Ordering::Relaxed);
    });
    let start = Barrier::for_all();
    smp::run_on_each(&|me| {
        start.wait();
        test_kernels::start_ticking();
        let counters: Vec<Counter> = (0..each)
            .map(|_| {
                let counter = counter();
                counter.add(1);
                counter
            })
            .collect();
        Halt.until(&mut || IN_TICKS.load(Ordering::Relaxed) > 0);
        timer::stop();
        for counter in counters {
            assert_eq!(counter.racy_of(me), 1, "{me}");
            assert_eq!(counter.racy_sum(), 1, "two CPUs have the same counter");
        }
    });
    assert_eq!(counters::racy_in_use(), in_use, "a counter was lost");
}

fn too_many_counters_are_an_error() {
    let in_use = counters::racy_in_use();
    let mut counters = Vec::new();
    let exhausted = loop {
        match KernelPlatform::allocate() {
            Ok(counter) => counters.push(Counter(counter)),
            Err(exhausted) => break exhausted,
        }
    };
    assert_eq!(exhausted, Unavailable::Exhausted(in_use + counters.len()));
    let refused = PerCpuRundown::<KernelPlatform>::new().map(drop);
    assert_eq!(refused, Err(exhausted));
    // Each lies in mapped memory of each CPU.
    for counter in &counters {
        assert_eq!(counter.racy_sum(), 0);
    }
    let given_back = counters.swap_remove(counters.len() / 2);
    let offset = given_back.offset();
    drop(given_back);
    assert_eq!(counter().offset(), offset, "the one that is free");
    drop(counters);
    assert_eq!(counters::racy_in_use(), in_use, "a counter was lost");
    drop(test_kernels::per_cpu());
}
