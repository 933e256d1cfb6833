//! How a driver is unloaded while its interrupt handler may run on any CPU, told from both sides.
//!
//! A network card interrupts all CPUs all the time. The handler uses the driver, which lies on the heap.
//! To unload the driver is to free that memory: at that moment no handler may be in it, and none may come
//! in later. A lock would have to be taken by each interrupt, on one cache line for all CPUs; and a
//! handler must not wait for whoever unloads. Rundown protection is made for this:
//!
//! - a handler asks `try_acquire`. If the answer is no, there is no driver: it does without;
//! - who unloads calls `run_down`, which returns when the last handler has left, and with the driver.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use kernel::platform::{Halt, KernelPlatform};
use kernel::{Machine, cpu, log, smp, timer};
use protocol::exit::ExitCode;
use rundown::{CacheAware, CacheAwareRundown, Protected, Slot, State};

kernel::main!(run);

/// A driver for a network card that never was.
struct Driver {
    version: u64,
    /// The card's registers, as long as it is switched on.
    powered: AtomicBool,
    frames: AtomicU64,
}

impl Driver {
    /// Switches the card on.
    fn load(version: u64) -> Box<Self> {
        Box::new(Self {
            version,
            powered: AtomicBool::new(true),
            frames: AtomicU64::new(0),
        })
    }

    /// Takes a frame from the card. Without power it would hang the machine.
    fn receive(&self) {
        assert!(self.powered.load(Ordering::Relaxed), "the card is off");
        self.frames.fetch_add(1, Ordering::Relaxed);
    }
}

/// Switches the card off; the memory goes with the box.
impl Drop for Driver {
    fn drop(&mut self) {
        self.powered.store(false, Ordering::Relaxed);
    }
}

/// The driver, if one is loaded. A static, so that an interrupt finds it; none is loaded yet. One counter
/// for each of 64 CPUs; more CPUs would share.
static DRIVER: Protected<Box<Driver>, CacheAware<KernelPlatform, [Slot; 64]>> =
    Protected::vacant(CacheAwareRundown::new());

/// Interrupts that found a driver, and that found none.
static HANDLED: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// The card's interrupt handler. On any CPU, on several at once; it never waits.
fn on_interrupt() {
    match DRIVER.try_acquire() {
        Some(driver) => {
            driver.receive();
            HANDLED.fetch_add(1, Ordering::Relaxed);
            // `driver` is a guard: dropped here, it lets an unload go on that has begun meanwhile.
        }
        None => {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
    // For `until_interrupts` below.
    KernelPlatform::wake_all();
}

/// Loads a version: from the return of `publish` on, handlers find it.
fn load(version: u64) {
    let loaded = DRIVER.publish(Driver::load(version));
    loaded.expect("nothing is loaded when the next one comes");
}

/// Unloads the driver, and returns it for a last look before it is dropped.
fn unload() -> Box<Driver> {
    // Handlers that have a guard go on undisturbed, new ones are turned away. This CPU sleeps until the
    // last guard is dropped, wherever that is; often none is out, and it does not sleep at all.
    let driver = DRIVER.run_down(&Halt).expect("nobody else unloads");
    // The driver is ours alone, as if there never had been any other CPU.
    assert!(driver.powered.load(Ordering::Relaxed));
    driver
}

/// Sleeps until `more` interrupts have been counted in `counter`.
fn until_interrupts(counter: &AtomicU64, more: u64) {
    let goal = counter.load(Ordering::Relaxed) + more;
    Halt.until(&mut || counter.load(Ordering::Relaxed) >= goal);
}

fn run(machine: &'static Machine) -> ExitCode {
    kernel::testing::run(
        machine,
        &[("five_versions_in_a_row", five_versions_in_a_row)],
    )
}

fn five_versions_in_a_row(_: &'static Machine) {
    const VERSIONS: u64 = 5;
    // The card interrupts every CPU: their timers stand in for it.
    test_kernels::set_on_tick(&on_interrupt);
    smp::run_on_each(&|_| test_kernels::start_ticking());
    until_interrupts(&DROPPED, 1);

    for version in 1..=VERSIONS {
        load(version);
        until_interrupts(&HANDLED, 2 * cpu::count() as u64);

        let driver = unload();
        assert_eq!(driver.version, version);
        let frames = driver.frames.load(Ordering::Relaxed);
        assert!(frames >= 2 * cpu::count() as u64);
        log!("version {version} unloaded after {frames} frames");
        drop(driver);

        // The card goes on interrupting. Nobody finds the driver.
        assert_eq!(DRIVER.state(), State::RunDown);
        until_interrupts(&DROPPED, 2);
    }
    smp::run_on_each(&|_| timer::stop());
}
