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
//! | LINT0, LINT1 | the NMI's pin: set on the BSP alone, masked by INIT elsewhere | as the MADT says, on each CPU | below |
//! | I/O APICs | entries that are not masked | masked, all but those for the firmware itself (SMI) | [`ioapic`] |
//! | HPET | timers that interrupt; replacement of 8254 and clock chip | both off, the counter runs on | `hpet` |
//! | local APIC | errors | reported | [`apic`] |
//! | | performance counters, temperature, corrected errors | masked, except SMIs | [`apic`] |
//! | | interrupts in service that no handler will end | ended | [`apic`] |
//! | | interrupts that had come before all this | handled as unexpected | [`unexpected`] |
//!
//! After that nothing interrupts that the kernel has not asked for; what does nevertheless is
//! [counted](unexpected::stray) and survived. The firmware keeps what it needs for itself: its
//! system management interrupts.

pub(crate) mod hpet;

use bringup::{LintUse, NmiPins};
use spin::Once;

use crate::{
    acpi, apic, cpu,
    interrupts::{self, pic},
    ioapic, log, unexpected,
};

/// On which of its two pins each CPU gets the board's NMIs. On almost every PC that is LINT1, on all CPUs; but it is
/// for the firmware to say, for each CPU. It sets up the pins of the BSP alone: INIT masks those of the others. A kernel
/// that leaves it at that has the memory's errors, a button, or a hypervisor's NMI arrive at one CPU, which may be the
/// one that hangs.
static NMI_PINS: Once<NmiPins> = Once::new();

/// Finds what there is, by the firmware's tables, and [silences](silence) it. Once, on the BSP, when the
/// CPU map is known; interrupts are off.
pub(crate) fn take_over() {
    if let Some(madt) = acpi::MADT.get() {
        ioapic::init(madt);
        let pins = NMI_PINS.call_once(|| NmiPins::new(madt, cpu::map()));
        let some = pins.not_covered();
        if some > 0 {
            log!(
                "acpi: the MADT has no valid NMI entry for {some} CPUs: NMIs reach the BSP by LINT1"
            );
        }
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
        program_nmi_pins();
    });
}

/// Sets up this CPU's pins: for NMIs or masked. As long as nothing is known, LINT1 stays as it is.
pub(crate) fn program_nmi_pins() {
    let pins = NMI_PINS.get().map(|pins| pins.of(cpu::current()));
    apic::set_pins(pins.unwrap_or([LintUse::Masked, LintUse::AsFound]));
}
