//! NMIs from outside, which no CPU of the guest has sent: the host has QEMU's monitor inject them
//! all the while, each to all CPUs at once. Their handler takes and releases protection, on top of
//! threads that do the same.
//!
//! The guest `nmi` sends its NMIs itself, which synchronises: the sender is between two
//! instructions that it has chosen. These come when they come.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use kernel::cpu::CpuIndex;
use kernel::platform::Halt;
use kernel::testing::Test;
use kernel::{clock, cpu, interrupts, smp};
use rundown::{Rundown, Variant, WaitOutcome};
use spin::Once;
use test_kernels::nmi::on_nmi;
use test_kernels::{Device, EachCpu, apic, leaked, tests};

pub(crate) mod tables;

pub(crate) fn tests() -> &'static [Test] {
    // A CPU without a valid NMI entry gets no NMIs, unless it is the BSP.
    let listen = LISTEN.call_once(|| EachCpu::new(|| AtomicBool::new(false)));
    smp::run_on_each(&|me| {
        let [lint0, lint1] = apic::nmi_pins();
        assert!(!lint0, "QEMU's NMIs come in at LINT1");
        listen[me].store(lint1, Ordering::Relaxed);
    });
    assert!(listens(CpuIndex::BSP));
    // The host begins when the first test does.
    on_nmi(leaked(|| {}));
    tests! {
        each { torn_down_under_nmis }
        named { "sequences_are_interrupted_and_count_once" => |_| interrupted_sequences() }
    }
}

/// NMIs that each CPU that listens must have taken before a test ends.
const NMIS: u64 = 25;

/// Whether NMIs come to each CPU by its LINT1.
static LISTEN: Once<EachCpu<AtomicBool>> = Once::new();

fn listens(cpu: CpuIndex) -> bool {
    let listen = LISTEN.get().expect("set by `run`");
    listen[cpu].load(Ordering::Relaxed)
}

/// Threads and NMIs of all CPUs use the device, which the BSP tears down again and again.
fn torn_down_under_nmis<V: Variant + 'static>(new: fn() -> Rundown<V>) {
    const TEARDOWNS: u64 = 20;
    let device = leaked(Device::new(new()));
    let in_nmi: &EachCpu<AtomicU64> = leaked(EachCpu::new(|| AtomicU64::new(0)));
    // Uses it, and leaves a protection behind every other time.
    on_nmi(leaked(|| {
        let me = cpu::current();
        assert!(interrupts::in_handler());
        device.use_once();
        device.exchange(me);
        in_nmi[me].fetch_add(1, Ordering::Relaxed);
    }));
    let every_cpu_has_taken_some = || {
        let mut listeners = cpu::online().filter(|cpu| listens(*cpu));
        listeners.all(|cpu| in_nmi[cpu].load(Ordering::Relaxed) >= NMIS)
    };
    // The next NMI releases what is still in a pocket, or that CPU's thread does.
    let drain = || assert_eq!(device.rundown.wait(&Halt), WaitOutcome::Drained);
    let over = AtomicBool::new(false);
    smp::run_on_each(&|me| {
        let mut teardowns = 0;
        while !over.load(Ordering::Relaxed) {
            for _ in 0..100 {
                if !device.use_once() {
                    core::hint::spin_loop();
                }
            }
            device.empty_pocket(me);
            if me == CpuIndex::BSP {
                drain();
                device.tear_down(|| clock::spin_for(20_000));
                teardowns += 1;
                let enough = teardowns >= TEARDOWNS && every_cpu_has_taken_some();
                over.store(enough, Ordering::Relaxed);
            }
        }
    });
    // NMIs still come, but from here on they only release.
    drain();
    assert_eq!(device.rundown.racy_held(), 0);
}

/// Nothing else than NMIs interrupts these threads, until one of them has come within a sequence on
/// each CPU, which then began again; and yet everything was counted once.
fn interrupted_sequences() {
    let object = leaked(test_kernels::per_cpu());
    let in_nmi: &EachCpu<AtomicU64> = leaked(EachCpu::new(|| AtomicU64::new(0)));
    on_nmi(leaked(|| {
        let guard = object.try_acquire();
        assert!(guard.is_some(), "refused although open");
        in_nmi[cpu::current()].fetch_add(1, Ordering::Relaxed);
    }));
    let restarts: EachCpu<AtomicU64> = EachCpu::new(|| AtomicU64::new(0));
    smp::run_on_each(&|me| {
        let before = interrupts::restarts(me);
        let enough =
            || in_nmi[me].load(Ordering::Relaxed) >= NMIS && interrupts::restarts(me) > before;
        while listens(me) && !enough() {
            let guard = object.try_acquire();
            assert!(guard.is_some(), "refused although open");
        }
        restarts[me].store(interrupts::restarts(me) - before, Ordering::Relaxed);
    });
    on_nmi(leaked(|| {}));
    let sum = |counts: &EachCpu<AtomicU64>| -> u64 {
        counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    };
    let (nmis, restarts) = (sum(in_nmi), sum(&restarts));
    kernel::log!("{nmis} NMIs, {restarts} of them within a sequence");
    assert_eq!(object.racy_held(), 0, "a count was lost");
    assert_eq!(object.try_wait(), Ok(()));
}
