//! From the first line of Rust to a machine whose CPUs all run: [`start`] is the table of contents.

use bootloader_api::BootInfo;
use protocol::{event::Event, exit::ExitCode, options::Options};

use crate::{
    acpi, apic, barrier, clock, cpu, emergency::exit, firmware, interrupts, ipi, log, log::emit,
    memory, per_cpu, screen, serial, smp, timer, unexpected,
};

/// The machine that [`main!`](crate::main!) has brought up.
#[derive(Debug)]
#[non_exhaustive]
pub struct Machine {
    /// The options from the ramdisk.
    pub options: Options,
    /// How the start of the CPUs went.
    pub bring_up: smp::BringUp,
}

/// Where [`main!`](crate::main!) leads.
#[doc(hidden)]
pub fn start(
    name: &str,
    boot_info: &'static mut BootInfo,
    run: fn(&'static Machine) -> ExitCode,
) -> ! {
    per_cpu::init_bsp();
    // Each vector gets its handler before anything can come.
    ipi::init();
    barrier::init();
    timer::init();
    unexpected::init();
    interrupts::init();
    serial::init();
    if let Err(info) = screen::init(boot_info) {
        log!("no screen: it cannot be like this: {info:?}");
    }
    let options = read_options(boot_info);
    log::set_format(options.format);

    let bytes = memory::init(boot_info);
    cpu::settle_bsp();
    emit(&Event::Hello { kernel: name.into(), memory_kib: bytes >> 10 });
    log!("{name}: {} MiB of memory", bytes >> 20);
    cpu::Descriptors::allocate(cpu::CpuIndex::BSP).load();
    interrupts::load();
    acpi::init(boot_info);
    apic::init(options.apic);
    firmware::quiet_cpus();
    firmware::hpet::init();
    clock::init(options.clock);
    acpi::read_cpus(&options);
    apic::fit(options.apic, cpu::map(), acpi::table(b"DMAR"));
    firmware::take_over();
    if let Some(seed) = options.seed {
        clock::pit::cut_turns(seed);
        clock::watchdog::restart(seed);
    }
    cpu::read_topology();
    let bring_up = smp::start(&options);
    interrupts::enable();

    let machine = alloc::boxed::Box::leak(alloc::boxed::Box::new(Machine { options, bring_up }));
    let code = run(machine);
    // A CPU that came late and faulted has recorded it, but has not sent an interrupt.
    smp::poll();
    exit(code)
}

/// The options in the ramdisk. One that cannot be understood ends the kernel: it would do something
/// else than it was asked for.
fn read_options(boot_info: &BootInfo) -> Options {
    Options::parse(memory::ramdisk(boot_info)).unwrap_or_else(|error| {
        log!("options: {error}");
        exit(ExitCode::Unfit)
    })
}
