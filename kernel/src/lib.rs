//! A minimal SMP kernel: starts every CPU, knows each by its APIC ID, and guards the teardown of
//! live objects by [rundown protection](rundown).
//!
//! A guest binary names its main function and gets a machine whose CPUs all run:
//!
//! ```ignore
//! #![no_std]
//! #![no_main]
//!
//! kernel::main!(run);
//!
//! fn run(machine: &'static kernel::Machine) -> kernel::ExitCode {
//!     kernel::smp::run_on_each(&|cpu| kernel::log!("hello from {cpu}"));
//!     kernel::ExitCode::Passed
//! }
//! ```
//!
//! From the first line of Rust to `run`, in this order (`start` below is the table of contents):
//!
//! | step | module |
//! |---|---|
//! | something for the BSP at GS, so that "which CPU am I" always has an answer | [`cpu`] |
//! | exceptions are reported from here on | [`interrupts`] |
//! | serial port; options from the ramdisk | [`serial`], [`log`](mod@log) |
//! | physical memory, heap, stacks with guard pages; the BSP's area in its place | [`memory`], [`cpu`] |
//! | the local APIC: which CPU this is; interrupts between CPUs | [`apic`], [`ipi`], [`timer`] |
//! | how long a second is | [`clock`], `bringup::rate` |
//! | which other CPUs there are | [`acpi`], crate `bringup` |
//! | what the firmware has left live is silenced | [`firmware`], [`ioapic`] |
//! | where the BSP sits, which caches it has (every other CPU asks itself) | [`cpu::topology`] |
//! | all other CPUs | [`smp`] |
//!
//! After that: [`barrier`] is this kernel's `membarrier`, [`platform`] is what `rundown` asks of a kernel, [`task`] runs futures, [`testing`] tests,
//! and the [`storm`] is the main job; the [`bench`](mod@bench) measures.
//!
//! How it got here (PVH entry, long mode, page tables) is crate `pvh`'s story.
#![no_std]

extern crate alloc;

// Linked for its entry point alone.
use pvh as _;

pub mod acpi;
pub mod apic;
pub mod barrier;
pub mod bench;
pub mod clock;
pub mod cpu;
mod exit;
pub mod firmware;
pub mod interrupts;
pub mod ioapic;
pub mod ipi;
pub mod log;
pub mod memory;
mod panic;
pub mod platform;
pub mod serial;
pub mod smp;
pub mod storm;
pub mod task;
pub mod testing;
pub mod timer;

#[doc(hidden)]
pub use bootloader_api;
use bootloader_api::{BootInfo, BootloaderConfig, config::Mapping};
use protocol::{event::Event, options::Options};

pub use self::{exit::exit, log::emit};
pub use protocol::exit::ExitCode;

/// What a loader has to provide: all physical memory mapped, and a first stack of 64 KiB.
pub static BOOTLOADER_CONFIG: BootloaderConfig = {
    let mut config = BootloaderConfig::new_default();
    config.mappings.physical_memory = Some(Mapping::Dynamic);
    config.kernel_stack_size = 64 * 1024;
    config
};

/// The machine that [`main!`] has brought up.
#[derive(Debug)]
#[non_exhaustive]
pub struct Machine {
    /// What the kernel was told.
    pub options: Options,
    /// How the start of the CPUs went.
    pub bring_up: smp::BringUp,
}

/// Defines the entry point of a guest binary: brings the machine up, calls the named
/// `fn(&'static Machine) -> ExitCode` on the BSP with interrupts enabled, and ends QEMU with the code
/// it returns.
#[macro_export]
macro_rules! main {
    ($run:path) => {
        $crate::bootloader_api::entry_point!(kernel_start, config = &$crate::BOOTLOADER_CONFIG);

        fn kernel_start(boot_info: &'static mut $crate::bootloader_api::BootInfo) -> ! {
            $crate::start(env!("CARGO_BIN_NAME"), boot_info, $run)
        }
    };
}

/// Where [`main!`] leads.
#[doc(hidden)]
pub fn start(
    name: &str,
    boot_info: &'static mut BootInfo,
    run: fn(&'static Machine) -> ExitCode,
) -> ! {
    cpu::init_bsp();
    interrupts::init();
    serial::init();
    let options = read_options(boot_info);
    log::set_format(options.format);

    memory::init(boot_info);
    cpu::settle_bsp();
    emit(&Event::Hello {
        kernel: name.into(),
        memory_kib: memory::usable_bytes() >> 10,
    });
    log!("{name}: {} MiB of memory", memory::usable_bytes() >> 20);
    cpu::Descriptors::allocate(cpu::CpuIndex::BSP).load();
    interrupts::load();
    acpi::init(boot_info);
    apic::init(options.apic);
    firmware::hpet::init();
    clock::init(options.clock);
    acpi::read_cpus(&options);
    apic::fit(cpu::map().iter().map(|(_, id)| id));
    firmware::take_over();
    cpu::topology::read();
    let bring_up = smp::start(&options);
    interrupts::enable();

    let machine = alloc::boxed::Box::leak(alloc::boxed::Box::new(Machine { options, bring_up }));
    let code = run(machine);
    // Logs CPUs that have come late.
    let _ = smp::parked();
    exit(code)
}

/// The options in the ramdisk. What cannot be understood ends the kernel: it would do something else
/// than it was asked for.
fn read_options(boot_info: &BootInfo) -> Options {
    Options::parse(memory::ramdisk(boot_info)).unwrap_or_else(|error| {
        log!("options: {error}");
        emit(&Event::Verdict {
            passed: false,
            text: alloc::borrow::Cow::Borrowed("the options in the ramdisk are not understood"),
        });
        exit(ExitCode::Unfit)
    })
}
