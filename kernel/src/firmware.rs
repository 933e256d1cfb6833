//! What firmware leaves live, and how it is silenced.
//!
//! A firmware has used interrupts itself (SeaBIOS: the 8254, the keyboard, the disk), and does not
//! put everything back before it jumps into a kernel. What it leaves behind interrupts as soon as the
//! kernel allows it, at vectors that mean something else by then. A kernel that was started by
//! another kernel finds still more.
//!
//! | source | what is left live | what is done | where |
//! |---|---|---|---|
//! | 8259s | open lines, at the vectors of exceptions | moved, then masked | `interrupts::pic` |
//! | LINT0 of the BSP | passes the 8259s' interrupts on | masked | [`apic`] |
//! | LINT0, LINT1 | the NMI's pin: set on the BSP alone, masked by INIT elsewhere | as the MADT says, on each CPU | `nmi_pins` |
//! | I/O APICs | entries that are not masked | masked, all but those for the firmware itself (SMI) | [`ioapic`] |
//! | HPET | timers that interrupt; replacement of 8254 and clock chip | both off, the counter runs on | `hpet` |
//! | local APIC | errors | reported | [`apic`] |
//! | | performance counters, temperature, corrected errors | masked, except SMIs | [`apic`] |
//! | | interrupts in service that nobody will end | ended | [`apic`] |
//! | | interrupts that had come before all this | taken as strays | [`unexpected`] |
//!
//! After that nothing interrupts that the kernel has not asked for; what does nevertheless is
//! [counted](unexpected::stray) and survived. The firmware keeps what it needs for itself: its
//! system management interrupts.

pub(crate) mod hpet;
pub(crate) mod nmi_pins;

use crate::{
    acpi, apic, cpu,
    interrupts::{self, pic},
    ioapic, unexpected,
};

/// Finds what there is, by the firmware's tables, and [silences](silence) it. Once, on the BSP, when the
/// CPU map is known; interrupts are off.
pub(crate) fn take_over() {
    if let Some(madt) = acpi::madt() {
        ioapic::init(madt);
        nmi_pins::init(madt, cpu::map());
    }
    silence();
    unexpected::tell_of_nmi();
}

/// Stops all other CPUs, which the firmware may have left spinning: they slow this one, and would falsify what
/// it measures. Once, on the BSP, after [`apic::init`].
pub(crate) fn quiet_cpus() {
    // SAFETY: on these CPUs there is only firmware, which has handed over and is not needed any more.
    unsafe { bringup::quiet_others(apic::local()) };
}

/// Silences all interrupts of devices, and sets up this CPU's pins. One that has been sent before may still come.
///
/// On one CPU at a time; thread or interrupt context, not NMI.
pub fn silence() {
    interrupts::without(|| {
        pic::mask();
        // The controllers first: what the timers still ask for meanwhile goes nowhere.
        ioapic::silence();
        hpet::silence();
        apic::mask_own_sources();
        apic::end_leftovers();
        nmi_pins::program();
    });
}
