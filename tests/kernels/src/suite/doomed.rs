//! Scenarios that end badly, each in a manner of its own: the rig is tested with them.

use core::hint::black_box;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

use kernel::smp::{self, Event};
use kernel::testing::{self, Test};
use kernel::{ExitCode, Machine, cpu, interrupts};
use protocol::exit;
use test_kernels::{Barrier, apic, tests};
use x86_64::VirtAddr;
use x86_64::instructions::port::Port;
use x86_64::instructions::{self, tables};
use x86_64::structures::DescriptorTablePointer;

/// A scenario's work once the machine is up.
type End = fn(&'static Machine) -> ExitCode;

/// The scenarios, by name.
pub(crate) const SCENARIOS: &[(&str, End)] = &[
    ("silent_exit", |_| ExitCode::Passed),
    // Without a panic.
    ("failed", |machine| {
        testing::run(machine, PASSES);
        ExitCode::Failed
    }),
    ("wrong_exit", |machine| {
        let code = testing::run(machine, PASSES);
        // SAFETY: the port is that of QEMU's `isa-debug-exit`, which ends the machine.
        unsafe { Port::new(exit::PORT).write(0x3f_u32) };
        code
    }),
    ("missed_test", |machine| {
        testing::run(machine, tests! { once { passes, leaves, is_never_reached } })
    }),
    ("hang", |machine| testing::run(machine, tests! { once { passes, never_ends } })),
    ("power_off", |machine| testing::run(machine, tests! { once { switches_off } })),
    ("triple_fault", |machine| testing::run(machine, tests! { once { faults_three_times } })),
    ("page_fault", |machine| testing::run(machine, tests! { once { reads_where_nothing_is } })),
    ("stack_overflow", |machine| testing::run(machine, tests! { once { recurses_for_ever } })),
    ("panic_bsp", |machine| testing::run(machine, PANIC_ON_THE_BSP)),
    ("panic_ap", |machine| testing::run(machine, tests! { once { panics_on_the_last_cpu } })),
    ("panic_everywhere", |machine| testing::run(machine, tests! { once { panics_on_every_cpu } })),
];

const PASSES: &[Test] = tests! { once { passes } };
const PANIC_ON_THE_BSP: &[Test] = tests! {
    once { passes }
    named { "panics_on_the_bsp" => panics_on_the_bsp, "is_never_reached" => |_| is_never_reached() }
};

fn passes() {}

fn is_never_reached() {}

fn leaves() {
    kernel::exit(ExitCode::Passed)
}

fn never_ends() {
    interrupts::without(|| {
        loop {
            instructions::hlt();
        }
    });
}

fn switches_off() {
    /// PM1a control of QEMU's q35 and pc machines (base 0x600, set by SeaBIOS).
    const PM1A_CONTROL: u16 = 0x604;
    /// SLP_EN (bit 13) with SLP_TYP 0, which QEMU's DSDT names as `\_S5`: soft off.
    const SOFT_OFF: u16 = 1 << 13;

    // SAFETY: on the machine of this test the port ends the machine, and has no other effect.
    unsafe { Port::new(PM1A_CONTROL).write(SOFT_OFF) };
    // QEMU only takes note of it, and acts a little later.
    never_ends();
}

fn faults_three_times() {
    let no_gates = DescriptorTablePointer { limit: 0, base: VirtAddr::zero() };
    // SAFETY: nothing relies on the interrupt table after this, for the processor finds no gate for
    // the breakpoint, none for the fault that this is, none for the double fault, and gives up.
    unsafe { tables::lidt(&no_gates) };
    instructions::interrupts::int3();
}

fn on_the_last_cpu(work: fn()) {
    let last = cpu::online().last().expect("the BSP is online");
    smp::run_on_each(&|me| {
        if me == last {
            work();
        }
    });
}

fn reads_where_nothing_is() {
    /// In the upper half, far from the kernel and from the physical memory's window.
    const NOWHERE: usize = 0xffff_ffff_0bad_c0d8;

    on_the_last_cpu(|| {
        // SAFETY: the access does not take place. It faults, and the kernel does not go on.
        let value = unsafe { ptr::with_exposed_provenance::<u64>(NOWHERE).read_volatile() };
        kernel::log!("read {value}");
    });
}

fn recurses_for_ever() {
    on_the_last_cpu(|| kernel::log!("depth {}", descend(0)));
}

#[expect(unconditional_recursion, reason = "that is the purpose")]
fn descend(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    // Not a tail call: the frame is used after it.
    descend(depth + 1) + black_box(frame)[0]
}

fn panics_on_the_bsp(machine: &'static Machine) {
    // With interrupts off, nothing but the panic reports a CPU that comes now.
    instructions::interrupts::disable();
    if machine.options.fault.is_some() {
        let is_late = |event| matches!(event, Event::Late(_));
        while !smp::events().into_iter().any(is_late) && !apic::is_requested(testing::PARKED) {
            core::hint::spin_loop();
        }
    }
    panic!("on purpose, on the BSP")
}

/// While all others run on and on with interrupts disabled.
fn panics_on_the_last_cpu() {
    let last = cpu::online().last().expect("the BSP is online");
    let start = Barrier::for_all();
    let about_to_panic = AtomicBool::new(false);
    smp::run_on_each(&|me| {
        start.wait();
        if me == last {
            about_to_panic.store(true, Ordering::Relaxed);
            panic!("on purpose, on the last CPU");
        }
        // Only an NMI stops these. A CPU left running after the panic's report says so.
        interrupts::without(|| {
            loop {
                for _ in 0..1_000 {
                    core::hint::spin_loop();
                }
                if about_to_panic.load(Ordering::Relaxed) {
                    kernel::log!("still running");
                }
            }
        });
    });
}

/// One report, and an end.
fn panics_on_every_cpu() {
    let start = Barrier::for_all();
    smp::run_on_each(&|me| {
        start.wait();
        panic!("on purpose, on CPU {}", me.get());
    });
}
