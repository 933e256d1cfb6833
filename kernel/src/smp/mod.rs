//! The other CPUs (APs): started all at once by crate [`bringup`], then idle until there is work; taken out and
//! brought back.
//!
//! | | where |
//! |---|---|
//! | what the crate asks of this kernel; an AP's set-up | here |
//! | work for CPUs, and the idle loop | `work` |
//! | [`offline`], [`online`], CPUs that are plugged in | `hotplug` |
//! | what is said about it all | `report` |
//! | faults on purpose | `faults` |
//!
//! `docs/bring-up.md` describes it step by step, with the traps on the way.
//!
//! `unsafe` in this module: what is promised to the crate.

mod faults;
mod hotplug;
mod report;
pub(crate) mod work;

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bringup::{
    Arrival, Event, LOW_PAGES, MAX_CPUS, Plan, Progress, Refused, SlotState, Starter, Steps,
};
use protocol::options::{Options, StartMode};
use spin::Once;
use x86_64::PhysAddr;

use crate::{
    apic, barrier, clock,
    cpu::{self, CpuIndex, Descriptors},
    exit, interrupts, ipi,
    memory::{self, FRAMES, stack},
    panic, serial, timer,
};

pub use hotplug::{OfflineError, StartError, offline, online};
pub use report::{BringUp, Parked, parked};
pub use work::run_on_each;

static STARTER: Starter<Kernel, MAX_CPUS> = Starter::new(Kernel);

/// How long CPUs have, in milliseconds. Written once, by [`start`].
static TIMEOUT_MS: AtomicU32 = AtomicU32::new(0);

/// What is kept of each CPU for its start.
struct Own {
    descriptors: Once<&'static Descriptors>,
    /// By how many ticks its clock was found to be behind that of another CPU.
    behind: AtomicU64,
}

static OWN: [Own; MAX_CPUS] = [const {
    Own {
        descriptors: Once::new(),
        behind: AtomicU64::new(0),
    }
}; MAX_CPUS];

/// Starts all CPUs that the firmware lists as enabled. Once, on the BSP; interrupts are off before and
/// after.
pub(crate) fn start(options: &Options) -> BringUp {
    cpu::set_online(cpu::local());
    TIMEOUT_MS.store(options.patience, Ordering::Relaxed);
    faults::arm(options.fault);
    let prepared = STARTER.prepare(apic::local(), cpu::map());
    let mut steps = Steps::default();
    let started = prepared.and_then(|()| start_as_asked(options.start, &mut steps));
    if let Err(refused) = started {
        crate::log!("{refused}: no other CPU can be started");
    }
    let is_up = |cpu: &Progress| cpu.state == SlotState::Online;
    let up = STARTER.progress().filter(is_up);
    for area in up.filter_map(|cpu| cpu::area(cpu.cpu)) {
        cpu::set_online(area);
    }
    let bring_up = report::bring_up(steps);
    report::all(&bring_up, options.job);
    bring_up
}

/// Starts the enabled CPUs. Those that are to fail on purpose in the trampoline, which all share, come last.
fn start_as_asked(mode: StartMode, steps: &mut Steps) -> Result<(), Refused> {
    if mode == StartMode::Serial {
        let mut one_by_one = cpu::map().iter_enabled();
        return one_by_one.try_for_each(|(index, _)| run(|cpu| cpu.cpu == index, false, steps));
    }
    let broadcast = mode == StartMode::Broadcast && !faults::chosen();
    let is_last = |cpu: Progress| faults::is_last(cpu.apic_id);
    run(|cpu| cpu.is_enabled && !is_last(cpu), broadcast, steps)?;
    run(|cpu| cpu.is_enabled && is_last(cpu), broadcast, steps)
}

fn run(
    wanted: impl Fn(Progress) -> bool,
    broadcast: bool,
    steps: &mut Steps,
) -> Result<(), Refused> {
    let plan = Plan {
        broadcast,
        timeout_ns: u64::from(TIMEOUT_MS.load(Ordering::Relaxed)) * 1_000_000,
        ..Plan::default()
    };
    STARTER.start(wanted, &plan, steps)
}

/// Whether this CPU may fail alone: it is on its way, or has been taken out. Not so from the moment on at
/// which it says that it is ready, when it may be declared online at any time, to that at which it has
/// answered everything and left.
pub(crate) fn is_starting() -> bool {
    let cpu = cpu::current();
    cpu != CpuIndex::BSP && STARTER.state(cpu) != SlotState::Online
}

/// The end of a CPU that has faulted while it started: it is recorded and halts.
pub(crate) fn park_faulty(vector: Option<u8>, address: u64) -> ! {
    STARTER.fail(cpu::current(), vector, address)
}

/// This kernel, as the crate sees it.
#[derive(Debug)]
struct Kernel;

// SAFETY: the low pages come from the memory map and are never given back; all of physical memory is mapped
// where `virt` says; stacks are each CPU's own, mapped in the one set of tables that there is.
unsafe impl bringup::Kernel for Kernel {
    fn nanos(&self) -> u64 {
        clock::nanos()
    }

    /// Halts for about a millisecond, whether interrupts are on or off. Where the timer is in use, whose period
    /// may be a minute, waits for less than that and does not halt.
    fn pause(&self) {
        use x86_64::instructions::interrupts::{disable, enable, enable_and_hlt};
        faults::on_the_bsp();
        clock::mark();
        if timer::is_periodic() {
            clock::spin_for(100_000);
            return;
        }
        let enabled = interrupts::enabled();
        disable();
        timer::set_alarm(1_000_000);
        enable_and_hlt();
        disable();
        timer::clear_alarm();
        if enabled {
            enable();
        }
    }

    fn low_pages(&self) -> Option<u64> {
        let pages = faults::has_memory().then(|| FRAMES.take_low(LOW_PAGES as u64 * 4096));
        pages.flatten().map(PhysAddr::as_u64)
    }

    fn virt(&self, physical: u64) -> *mut u8 {
        memory::virt(PhysAddr::new(physical)).as_mut_ptr()
    }

    fn stack(&self, cpu: CpuIndex) -> Option<*mut u8> {
        cpu::allocate_up_to(cpu);
        OWN[cpu.get()]
            .descriptors
            .call_once(|| Descriptors::allocate(cpu));
        Some(stack::allocate(cpu, stack::Purpose::Main).as_mut_ptr())
    }

    fn stopped(&self, cpu: CpuIndex) {
        // It may have been reset in the middle of a line.
        serial::break_lock_of(cpu);
        let area = cpu::area(cpu).expect("`stack` has made it");
        // Relaxed: the CPU has taken it back before it left, which the BSP has seen.
        let is_to_leave = area.leave.load(Ordering::Relaxed);
        assert!(!is_to_leave, "{cpu} is to leave before it has come");
        // So that the first CPU that comes has something to compare its clock to.
        clock::mark();
        faults::in_the_trampoline(cpu);
    }

    fn report(&self, event: Event) {
        report::event(event);
    }

    /// Waits for nothing and allocates nothing. (It takes the log's lock if it has something to report: that it has
    /// faulted, or that its machine-check banks hold an old error.)
    fn enter(&'static self, arrival: Arrival) -> ! {
        faults::in_the_first_line(&arrival);
        let area = cpu::area(arrival.cpu()).expect("`stack` has made it");
        cpu::install(area);
        // It may have been in a handler when it was started again.
        area.handlers.store(0, Ordering::Relaxed);
        area.in_nmi.store(false, Ordering::Relaxed);
        let own = &OWN[arrival.cpu().get()];
        own.descriptors.get().expect("`stack` has made them").load();
        interrupts::load();
        faults::in_rust(&arrival);
        arrival.stamp(0);
        apic::enable();
        cpu::topology::read();
        arrival.stamp(1);
        let behind = clock::compare(faults::has_slow_clock(&arrival));
        own.behind.store(behind, Ordering::Relaxed);
        // A CPU that is started again may have been asked before it left, or by one that did not know that yet:
        // by interrupts that INIT has swept away. What is asked from here on comes.
        area.nmi_asked.store(false, Ordering::Relaxed);
        area.barrier.take_nmi();
        barrier::serve();
        ipi::refuse_calls(&area.calls);
        if panic::is_reported_elsewhere() {
            exit::halt();
        }
        arrival.online();
        work::idle()
    }
}
