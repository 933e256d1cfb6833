//! What the crate asks of this kernel.
//!
//! `unsafe` in this module: what is promised to it.

use core::sync::atomic::Ordering;

use bringup::{Arrival, Event, LOW_PAGES};
use x86_64::PhysAddr;

use super::{
    faults, report,
    starter::{Kernel, OWN},
    work,
};
use crate::{
    apic, barrier, clock,
    cpu::{self, CpuIndex, Descriptors},
    exit, interrupts, ipi,
    memory::{self, FRAMES, stack},
    panic, serial, timer,
};

// SAFETY: the low pages come from the memory map and are never given back; all of physical memory
// is mapped where `virt` says; stacks are each CPU's own, mapped in the one set of tables that
// there is.
unsafe impl bringup::Kernel for Kernel {
    fn nanos(&self) -> u64 {
        clock::nanos()
    }

    /// Halts for about a millisecond, whether interrupts are on or off. Where the timer is in use,
    /// whose period may be a minute, waits for less than that and does not halt.
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

    /// Waits for nothing and allocates nothing. (It takes the log's lock if it has something to
    /// report: that it has faulted, or that its machine-check banks hold an old error.)
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
        // A CPU that is started again may have been asked before it left, or by one that did not
        // know that yet: by interrupts that INIT has swept away. What is asked from here on comes.
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
