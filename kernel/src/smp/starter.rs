//! This kernel as crate [`bringup`] sees it: the functions it calls, an AP's set-up, the way out.
//!
//! `unsafe` in this module: promises to the crate.

use core::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering},
};

use bringup::{
    Arrival, CannotStart, Event, LOW_PAGES, MAX_CPUS, Plan, Progress, SlotState, Starter, Steps,
};
use spin::Once;
use x86_64::PhysAddr;

use crate::{
    apic, barrier,
    cpu::{self, CpuIndex, Descriptors},
    emergency, faults, firmware, interrupts, ipi,
    memory::{self, FRAMES, stack},
    per_cpu::{self, per_cpu},
    report, serial, time, timer,
    work::{self, LEAVE},
};

pub(super) static STARTER: Starter<Kernel, MAX_CPUS> = Starter::new(Kernel);

/// How CPUs are started, as the options have it. Set before the start.
pub(super) static PLAN: Once<Plan> = Once::new();

/// CPUs that have no stacks, for want of memory.
pub(super) static NO_MEMORY: AtomicUsize = AtomicUsize::new(0);

per_cpu! {
    /// Made before the CPU is first started.
    static DESCRIPTORS: Once<&'static Descriptors> = Once::new();
}

pub(super) fn plan() -> Plan {
    *PLAN.get().expect("set before the start")
}

pub(super) fn run(
    wanted: impl Fn(Progress) -> bool,
    broadcast: bool,
    steps: &mut Steps,
) -> Result<(), CannotStart> {
    let plan = Plan { broadcast, ..plan() };
    STARTER.start(wanted, &plan, steps)
}

/// The end of a CPU that has failed while it started: no other CPU waits for it, so it is recorded
/// and halts, and the rest goes on. Returns on any other CPU. A CPU counts as starting until it is
/// ONLINE, and again when it has left.
pub(super) fn leave_out(message: fmt::Arguments<'_>, vector: Option<u8>, address: u64) {
    let cpu = cpu::current();
    if cpu != CpuIndex::BSP && STARTER.state(cpu) != SlotState::Online {
        crate::log!("while starting: {message}");
        STARTER.fail(cpu, vector, address)
    }
}

/// The way out of the idle loop of a CPU that is to leave. Thread context, interrupts on.
fn leave() -> ! {
    let me = cpu::current();
    timer::stop();
    interrupts::disable();
    // While barriers still reach this CPU: a call's function may use objects that they guard.
    interrupts::as_handler(ipi::serve_calls);
    cpu::set_offline();
    ipi::serve_calls();
    barrier::serve();
    apic::silence();
    // SAFETY: this CPU, which only parks after this; jobs and calls on its stack have ended.
    unsafe { STARTER.leave(me) };
    ipi::wake(CpuIndex::BSP);
    // SAFETY: this CPU has left; any CPU that would wait for it has seen that.
    unsafe { bringup::park() }
}

pub(super) struct Kernel;

// SAFETY: the low pages come from the memory map and are never given back; all of physical memory
// is mapped where `virt` says; stacks are each CPU's own, mapped in the one set of tables.
unsafe impl bringup::Kernel for Kernel {
    fn nanos(&self) -> u64 {
        time::nanos()
    }

    /// Halts for about a millisecond, unless the timer, whose period may be a minute, is in use.
    fn pause(&self) {
        faults::on_the_bsp();
        if timer::is_periodic() {
            time::spin_for(100_000);
            return;
        }
        interrupts::without(|| {
            timer::set_alarm(1_000_000);
            interrupts::enable_and_halt();
            interrupts::disable();
            timer::clear_alarm();
        });
    }

    fn low_pages(&self) -> Option<u64> {
        let pages = faults::has_memory().then(|| FRAMES.take_low(LOW_PAGES as u64 * 4096));
        pages.flatten().map(PhysAddr::as_u64)
    }

    fn virt(&self, physical: u64) -> *mut u8 {
        memory::virt(PhysAddr::new(physical)).as_mut_ptr()
    }

    fn stack(&self, cpu: CpuIndex) -> Option<*mut u8> {
        if FRAMES.largest() < cpu::bytes_up_to(cpu) + stack::BYTES_PER_CPU {
            NO_MEMORY.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        cpu::allocate_up_to(cpu);
        let descriptors = DESCRIPTORS.of(cpu).expect("just made");
        descriptors.call_once(|| Descriptors::allocate(cpu));
        Some(stack::allocate(cpu, stack::Purpose::Main).as_mut_ptr())
    }

    fn stopped(&self, cpu: CpuIndex) {
        // It may have been reset in the middle of a line.
        serial::break_lock_of(cpu);
        let leave = LEAVE.of(cpu).expect("`stack` has made its area");
        // Relaxed: the CPU has taken it back before it left, which the BSP has seen.
        let is_to_leave = leave.load(Ordering::Relaxed);
        assert!(!is_to_leave, "{cpu} is to leave before it has come");
        if let Some(fault) = faults::in_the_trampoline(cpu::apic_id(cpu)) {
            STARTER.inject(fault);
        }
    }

    fn report(&self, event: Event) {
        report::event(event);
    }

    /// Waits for nothing and allocates nothing. (It takes the log's lock if it has faulted.)
    fn enter(&'static self, arrival: Arrival) -> ! {
        faults::in_the_first_line(&arrival);
        per_cpu::install(arrival.cpu());
        // It may have been in a handler when it was started again.
        interrupts::forget_handlers();
        let descriptors = DESCRIPTORS.here().get();
        descriptors.expect("`stack` has made them").load();
        interrupts::load();
        faults::in_rust(&arrival);
        arrival.stamp(0);
        apic::enable();
        firmware::program_nmi_pins();
        cpu::read_topology();
        arrival.stamp(1);
        // Requests from here on arrive.
        ipi::forget();
        if emergency::is_reported_elsewhere() {
            emergency::halt();
        }
        arrival.online();
        work::idle(leave)
    }
}
