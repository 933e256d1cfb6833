//! On which of its two pins each CPU gets the board's NMIs.
//!
//! On almost every PC that is LINT1, on all CPUs; but it is for the firmware to say, for each CPU.
//! It sets up the pins of the BSP alone: INIT masks those of the others. A kernel that leaves it at
//! that has the memory's errors, a button, or a hypervisor's NMI arrive at one CPU, which may be
//! the one that hangs.

use bringup::{CpuMap, LintUse, Madt, NmiPins};
use spin::Once;

use crate::{apic, cpu, log};

static PINS: Once<NmiPins> = Once::new();

/// Reads what the firmware says. On the BSP, before other CPUs start.
pub(super) fn init(madt: &Madt<'_>, cpus: &CpuMap) {
    let some = PINS.call_once(|| NmiPins::new(madt, cpus)).not_covered();
    if some > 0 {
        log!("acpi: the MADT has no valid NMI entry for {some} CPUs: NMIs reach the BSP by LINT1");
    }
}

/// Sets up this CPU's pins: for NMIs or masked. As long as nothing is known, LINT1 stays as it is.
pub(crate) fn program() {
    let pins = PINS.get().map(|pins| pins.of(cpu::current()));
    apic::set_pins(pins.unwrap_or([LintUse::Masked, LintUse::AsFound]));
}
