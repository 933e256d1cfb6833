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
//! Modules lie on floors (`kernel/floors`, `docs/architecture.md`): imports lead downwards only.
//!
//! The way here (long mode, page tables, the jump) is in the crates `direct`, which QEMU's
//! `-kernel` enters, and `handover`, which the loader for UEFI (`boot/uefi`) uses as well.
#![no_std]

extern crate alloc;

// For the host, as editors check it, beside crates that link std, which has the panic handler.
#[cfg(not(target_os = "none"))]
extern crate std;

// Linked for its entry point alone.
use direct as _;

pub mod acpi;
pub mod apic;
pub mod barrier;
pub mod clock;
pub mod cpu;
mod emergency;
mod faults;
pub mod firmware;
mod hook;
pub mod images;
pub mod interrupts;
pub mod ioapic;
pub mod ipi;
pub mod log;
mod machine;
pub mod memory;
mod per_cpu;
pub mod platform;
mod report;
mod screen;
pub mod serial;
pub mod smp;
pub mod storm;
pub mod testing;
mod time;
pub mod timer;
pub mod unexpected;
mod work;

#[doc(hidden)]
pub use bootloader_api;
use bootloader_api::{BootloaderConfig, config::Mapping};

pub use self::{
    emergency::exit,
    log::emit,
    machine::{Machine, start},
};
pub use protocol::exit::ExitCode;

/// A loader has to provide: all physical memory mapped, and a first stack of 64 KiB. Mappings whose
/// place it chooses have to lie in the upper half, below the level-4 entries that are the kernel's
/// own: 507 (`per_cpu`), 508 (`memory::registers`) and 509 (`memory::stack`).
pub static BOOTLOADER_CONFIG: BootloaderConfig = {
    let mut config = BootloaderConfig::new_default();
    config.mappings.physical_memory = Some(Mapping::Dynamic);
    config.mappings.dynamic_range_start = Some(0xffff_8000_0000_0000);
    config.mappings.dynamic_range_end = Some(0xffff_fd7f_ffff_f000);
    config.kernel_stack_size = 64 * 1024;
    config
};

/// Defines the entry point of a guest binary: brings the machine up, calls the named
/// `fn(&'static Machine) -> ExitCode` on the BSP with interrupts enabled, and ends QEMU with the
/// code it returns.
#[macro_export]
macro_rules! main {
    ($run:path) => {
        $crate::bootloader_api::entry_point!(kernel_start, config = &$crate::BOOTLOADER_CONFIG);

        fn kernel_start(boot_info: &'static mut $crate::bootloader_api::BootInfo) -> ! {
            $crate::start(env!("CARGO_BIN_NAME"), boot_info, $run)
        }
    };
}
