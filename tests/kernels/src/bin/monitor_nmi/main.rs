//! NMIs from outside, which no CPU of the guest has sent: the host has QEMU's monitor inject them
//! all the while, each to all CPUs at once. Their handler takes and releases protection, on top of
//! threads that do the same.
//!
//! The guest `nmi` sends its NMIs itself, which synchronises: the sender is between two
//! instructions that it has chosen. These come when they come.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use kernel::bootloader_api::BootInfo;
use kernel::cpu::CpuIndex;
use kernel::platform::Halt;
use kernel::{Machine, clock, cpu, interrupts, ipi, smp};
use protocol::exit::ExitCode;
use rundown::{Rundown, Variant, WaitOutcome};
use spin::Once;
use test_kernels::{PerCpu, apic};

mod tables;

kernel::bootloader_api::entry_point!(start, config = &kernel::BOOTLOADER_CONFIG);

/// As [`kernel::main!`] does it, after damaging the firmware's tables if the host asks for that.
fn start(boot_info: &'static mut BootInfo) -> ! {
    tables::replace(boot_info);
    kernel::start(env!("CARGO_BIN_NAME"), boot_info, run)
}

fn run(machine: &'static Machine) -> ExitCode {
    // A CPU without a valid NMI entry gets no NMIs, unless it is the BSP.
    let listen = LISTEN.call_once(|| PerCpu::new(|| AtomicBool::new(false)));
    smp::run_on_each(&|me| {
        let [lint0, lint1] = apic::nmi_pins();
        assert!(!lint0, "QEMU's NMIs come in at LINT1");
        listen[me].store(lint1, Ordering::Relaxed);
    });
    assert!(listens(CpuIndex::BSP));
    // The host begins when the first test does.
    ipi::set_nmi_handler(Some(on_nmi));
    kernel::testing::run(
        machine,
        test_kernels::for_every_variant![
            torn_down_under_nmis;
            ("sequences_are_interrupted_and_count_once", |_| interrupted_sequences()),
        ],
    )
}

/// NMIs that each CPU that listens must have taken before a test ends.
const NMIS: u64 = 50;

/// Whether NMIs come to each CPU by its LINT1.
static LISTEN: Once<PerCpu<AtomicBool>> = Once::new();

fn listens(cpu: CpuIndex) -> bool {
    let listen = LISTEN.get().expect("set by `run`");
    listen[cpu].load(Ordering::Relaxed)
}

/// What the NMI handler does: a reference to a leaked closure, since a handler can only be a
/// `fn()`.
static WORK: AtomicPtr<&'static (dyn Fn() + Sync)> = AtomicPtr::new(ptr::null_mut());

fn set_work(work: &'static (dyn Fn() + Sync)) {
    WORK.store(Box::leak(Box::new(work)), Ordering::Release);
}

fn on_nmi() {
    // SAFETY: null, or leaked by `set_work`.
    if let Some(work) = unsafe { WORK.load(Ordering::Acquire).as_ref() } {
        work();
    }
}

fn leaked<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// Something that is torn down, and used under protection.
struct Device<V: Variant> {
    rundown: Rundown<V>,
    alive: AtomicBool,
    /// Whether each CPU has a protection in its pocket, which an NMI has put there.
    pockets: PerCpu<AtomicBool>,
    in_nmi: PerCpu<AtomicU64>,
}

impl<V: Variant> Device<V> {
    fn touch(&self) {
        assert!(
            self.alive.load(Ordering::Relaxed),
            "used after its teardown"
        );
    }

    /// Takes protection and lets it go; whether it was granted.
    fn use_once(&self) -> bool {
        let guard = self.rundown.try_acquire();
        guard.as_ref().inspect(|_| self.touch()).is_some()
    }

    /// Releases what is in the pocket. Whether there was something.
    fn empty_pocket(&self, cpu: CpuIndex) -> bool {
        let full = self.pockets[cpu].swap(false, Ordering::Relaxed);
        if full {
            self.touch();
            // SAFETY: it was in the pocket, and now is this caller's.
            unsafe { self.rundown.release() };
        }
        full
    }

    /// The handler's work: uses the device, and leaves a protection behind every other time.
    fn on_nmi(&self) {
        let me = cpu::current();
        assert!(interrupts::in_handler());
        self.use_once();
        if !self.empty_pocket(me) && self.rundown.acquire().is_ok() {
            self.touch();
            self.pockets[me].store(true, Ordering::Relaxed);
        }
        self.in_nmi[me].fetch_add(1, Ordering::Relaxed);
    }

    fn every_cpu_has_taken(&self, nmis: u64) -> bool {
        let mut listeners = cpu::online().filter(|cpu| listens(*cpu));
        listeners.all(|cpu| self.in_nmi[cpu].load(Ordering::Relaxed) >= nmis)
    }
}

/// Threads and NMIs of all CPUs use the device, which the BSP tears down again and again.
fn torn_down_under_nmis<V: Variant + 'static>(new: fn() -> Rundown<V>) {
    const TEARDOWNS: u64 = 20;
    let device = leaked(Device {
        rundown: new(),
        alive: AtomicBool::new(true),
        pockets: PerCpu::new(|| AtomicBool::new(false)),
        in_nmi: PerCpu::new(|| AtomicU64::new(0)),
    });
    set_work(leaked(|| device.on_nmi()));
    let tear_down = || {
        // What is still in a pocket the next NMI releases, or that CPU's thread.
        assert_eq!(device.rundown.wait(&Halt), WaitOutcome::Drained);
        device.alive.store(false, Ordering::Relaxed);
        clock::spin_for(20_000);
        device.alive.store(true, Ordering::Relaxed);
    };
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
                tear_down();
                assert!(device.rundown.reinit().is_ok());
                teardowns += 1;
                let enough = teardowns >= TEARDOWNS && device.every_cpu_has_taken(NMIS);
                over.store(enough, Ordering::Relaxed);
            }
        }
    });
    // NMIs still come, but from here on they only release.
    tear_down();
    assert_eq!(device.rundown.racy_held(), 0);
}

/// Nothing else than NMIs interrupts these threads, until one of them has come within a sequence on each CPU,
/// which then began again; and yet everything was counted once.
fn interrupted_sequences() {
    let object = leaked(test_kernels::per_cpu());
    let in_nmi: &PerCpu<AtomicU64> = leaked(PerCpu::new(|| AtomicU64::new(0)));
    set_work(leaked(|| {
        let guard = object.try_acquire();
        assert!(guard.is_some(), "refused although open");
        in_nmi[cpu::current()].fetch_add(1, Ordering::Relaxed);
    }));
    let restarts: PerCpu<AtomicU64> = PerCpu::new(|| AtomicU64::new(0));
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
    set_work(leaked(|| {}));
    let sum = |counts: &PerCpu<AtomicU64>| -> u64 {
        counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    };
    let (nmis, restarts) = (sum(in_nmi), sum(&restarts));
    kernel::log!("{nmis} NMIs, {restarts} of them within a sequence");
    assert_eq!(object.racy_held(), 0, "a count was lost");
    assert_eq!(object.try_wait(), Ok(()));
}
