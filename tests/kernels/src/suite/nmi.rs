//! Protection taken and released in NMI handlers, on top of threads and handlers that do the same,
//! while the object is torn down (S5).
//!
//! An NMI comes anywhere: between the two steps of an acquire, in the middle of a release, of a
//! wake-up, in a handler, with interrupts off.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use kernel::cpu::CpuIndex;
use kernel::platform::{Halt, KernelPlatform};
use kernel::testing::Test;
use kernel::{barrier, clock, cpu, interrupts, ipi, smp, timer};
use rundown::{CloseOutcome, Completion, Rundown, Variant, WaitOutcome};
use test_kernels::nmi::on_nmi;
use test_kernels::{Device, EachCpu, leaked, next, tests, until};

pub(crate) fn tests() -> &'static [Test] {
    tests! {
        each {
            the_last_release_is_in_an_nmi,
            closed_in_a_handler_on_top_of_its_users,
            nmis_everywhere_while_the_owner_tears_down,
        }
        once { not_closed_in_an_nmi }
        named {
            "closed_in_an_nmi::plain" => |_| closed_in_an_nmi(test_kernels::plain),
            "closed_in_an_nmi::cache_aware" => |_| closed_in_an_nmi(test_kernels::cache_aware),
        }
    }
}

/// How often [`COMPLETION`] has run.
static COMPLETED: AtomicUsize = AtomicUsize::new(0);
static COMPLETION: Completion = Completion::of(|| {
    COMPLETED.fetch_add(1, Ordering::Relaxed);
});

/// The owner sleeps; an NMI on the next CPU, or on its own, releases the last protection, wakes it,
/// and runs the completion (S13).
fn the_last_release_is_in_an_nmi<V: Variant + 'static>(new: fn() -> Rundown<V>) {
    let completed = || COMPLETED.load(Ordering::Relaxed);
    for round in 0..10 {
        let device = leaked(Device::new(new()));
        let owner = cpu::current();
        let victim = if round % 2 == 0 { owner } else { next(owner) };
        assert!(device.fill_pocket(owner), "refused although open");
        // None, if the NMI of the close's barrier comes together with this one: see `ipi::nmi`.
        on_nmi(leaked(move || device.empty_pocket(owner)));
        let before = completed();
        assert_eq!(device.rundown.close_then(&COMPLETION), Ok(()));
        // From the timer of this CPU: it fires while the owner sleeps, or is about to.
        test_kernels::set_on_tick(leaked(move || {
            timer::stop();
            ipi::nmi(victim);
        }));
        test_kernels::start_ticking();
        assert_eq!(device.rundown.wait(&Halt), WaitOutcome::Drained);
        // It is run after the wake-up.
        while completed() == before {
            core::hint::spin_loop();
        }
        assert_eq!(completed(), before + 1);
        device.tear_down(|| {});
        ipi::set_nmi_handler(None);
    }
}

/// The BSP's ticks close, amid its own thread's acquire or release, and amid those of all others.
fn closed_in_a_handler_on_top_of_its_users<V: Variant + 'static>(new: fn() -> Rundown<V>) {
    let device = leaked(Device::new(new()));
    let closed: &AtomicU64 = leaked(AtomicU64::new(0));
    test_kernels::set_on_tick(leaked(move || {
        assert!(interrupts::in_handler());
        // Never waits: it drains now, or by a later tick.
        if device.rundown.try_wait().is_ok() {
            device.tear_down(|| clock::spin_for(10_000));
            closed.fetch_add(1, Ordering::Relaxed);
        }
    }));
    smp::run_on_each(&|me| {
        if me == CpuIndex::BSP {
            test_kernels::start_ticking();
        }
        let over = || closed.load(Ordering::Relaxed) >= 20;
        until(over, || {
            device.use_once();
        });
        KernelPlatform::wake_all();
        if me == CpuIndex::BSP {
            timer::stop();
        }
    });
}

/// Runs `work` in an NMI handler of this CPU, and returns when it is done.
fn in_nmi(work: &'static (dyn Fn() + Sync)) {
    let done = leaked(AtomicBool::new(false));
    on_nmi(leaked(move || {
        work();
        done.store(true, Ordering::Release);
    }));
    ipi::nmi(cpu::current());
    while !done.load(Ordering::Acquire) {
        core::hint::spin_loop();
    }
    ipi::set_nmi_handler(None);
}

/// The variants whose close needs no barrier are closed in an NMI handler as anywhere else.
fn closed_in_an_nmi<V: Variant + 'static>(new: fn() -> Rundown<V>) {
    let rundown = leaked(new());
    in_nmi(leaked(|| assert_eq!(rundown.close(), CloseOutcome::Closed)));
    assert!(rundown.try_acquire().is_none(), "granted although closed");
    assert_eq!(rundown.try_wait(), Ok(()));
}

/// A per-CPU object's close needs a barrier, which is illegal in an NMI handler: it returns an
/// error there, on every CPU, and the object stays open. (So does each call that closes first:
/// `rundown/tests/per_cpu_platform.rs`.)
fn not_closed_in_an_nmi() {
    let rundown = leaked(test_kernels::per_cpu());
    let refuses = leaked(|| assert_eq!(rundown.close(), CloseOutcome::IllegalContext));
    let barriers = || barrier::statistics().calls;
    let before = barriers();
    for cpu in cpu::online() {
        smp::run_on_each(&|me| {
            if me == cpu {
                in_nmi(refuses);
            }
        });
    }
    assert_eq!(barriers(), before, "a barrier in an NMI handler");
    assert!(rundown.try_acquire().is_some(), "it was closed");
    assert_eq!(rundown.close(), CloseOutcome::Closed);
    // A closed object needs no barrier.
    in_nmi(leaked(|| assert_eq!(rundown.try_wait(), Ok(()))));
}

/// Threads, timer handlers and NMIs of all CPUs use the device; protection that one of them leaves
/// in its CPU's pocket is released by another. Each tick sends an NMI to the next CPU. Meanwhile
/// the BSP tears the device down again and again.
fn nmis_everywhere_while_the_owner_tears_down<V: Variant + 'static>(new: fn() -> Rundown<V>) {
    const TEARDOWNS: u64 = 20;
    let device = leaked(Device::new(new()));
    let in_nmi: &EachCpu<AtomicU64> = leaked(EachCpu::new(|| AtomicU64::new(0)));
    on_nmi(leaked(|| {
        let me = cpu::current();
        in_nmi[me].fetch_add(1, Ordering::Relaxed);
        device.use_once();
        device.exchange(me);
    }));
    test_kernels::set_on_tick(leaked(|| {
        device.use_once();
        ipi::nmi(next(cpu::current()));
    }));
    let turn = AtomicU64::new(0);
    smp::run_on_each(&|me| {
        test_kernels::start_ticking();
        for teardown in 1..=TEARDOWNS {
            for _ in 0..100 {
                device.use_once();
                device.exchange(me);
            }
            if me.get() == 0 {
                cpu::online().for_each(ipi::nmi);
                device.drain(&[me]);
                device.tear_down(|| clock::spin_for(20_000));
                turn.store(teardown, Ordering::Release);
                KernelPlatform::wake_all();
            }
            Halt.until(&mut || {
                // Protection in its pocket would keep the owner waiting.
                device.empty_pocket(me);
                turn.load(Ordering::Acquire) >= teardown
            });
        }
        if me.get() > 0 {
            timer::stop();
        }
    });
    // An NMI may still be on its way, so the handler stays, and this CPU keeps looking.
    let cpus: Vec<CpuIndex> = cpu::online().collect();
    device.drain(&cpus);
    timer::stop();
    // Each CPU takes its last one before it does this: the next test is not to find it.
    smp::run_on_each(&|_| {});
    ipi::set_nmi_handler(None);
    for cpu in cpus {
        let taken = in_nmi[cpu].load(Ordering::Relaxed);
        assert!(taken > 0, "{cpu} has taken no NMI");
    }
}
