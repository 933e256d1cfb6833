//! Interrupt sources that firmware leaves live, silenced: 8259s, pins, I/O APICs, HPET, the local
//! APIC's own. `docs/bring-up.md`, section 6, lists them. Interrupts that come nevertheless are
//! [counted](unexpected::stray); the firmware keeps its system management interrupts.

pub(crate) mod hpet;

use bringup::{LintUse, NmiPins};
use spin::Once;

use crate::{
    acpi, apic, cpu,
    interrupts::{self, pic},
    ioapic, log, unexpected,
};

/// On which of its two pins each CPU gets the board's NMIs. Firmware sets up only the BSP's, and
/// INIT masks the others': NMIs would arrive at one CPU, which may be the one that hangs.
static NMI_PINS: Once<NmiPins> = Once::new();

/// Finds what there is, by the firmware's tables, and [silences](silence) it. Once, on the BSP,
/// when the CPU map is known; interrupts are off.
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
    unexpected::log_nmi();
}

/// Stops all other CPUs, which the firmware may have left spinning: they would falsify the
/// measurement of time. Once, on the BSP, after [`apic::init`].
pub(crate) fn quiet_cpus() {
    // SAFETY: on these CPUs there is only firmware, which has handed over.
    unsafe { bringup::quiet_others(apic::local()) };
}

/// Silences devices' interrupts, and sets up this CPU's pins. One sent before may still come.
///
/// On one CPU at a time; thread or interrupt context, not NMI.
pub fn silence() {
    interrupts::without(|| {
        pic::mask();
        // The controllers first: interrupts that the timers still raise meanwhile go nowhere.
        ioapic::silence();
        hpet::silence();
        apic::mask_own_sources();
        apic::end_leftovers();
        program_nmi_pins();
    });
}

/// Sets up this CPU's pins: for NMIs or masked. Without a MADT, LINT1 stays as it is.
pub(crate) fn program_nmi_pins() {
    let pins = NMI_PINS.get().map(|pins| pins.of(cpu::current()));
    apic::set_pins(pins.unwrap_or([LintUse::Masked, LintUse::AsFound]));
}
