//! On which of its two pins each CPU gets the board's NMIs.
//!
//! On almost every PC that is LINT1, on all CPUs; but it is for the firmware to say, for each CPU (MADT,
//! entry types 4 and 0xA). It sets up the pins of the BSP alone: INIT masks those of the others. A
//! kernel that leaves it at that has the memory's errors, a button, or a hypervisor's NMI arrive at one
//! CPU, which may be the one that hangs.

use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use bringup::{CpuMap, Lint, MAX_CPUS, Madt};

use crate::{
    apic::{self, Pin},
    cpu,
};

/// For each CPU, by its index, a bit for each pin: it is an NMI's; and a bit for each: active low.
///
/// Written by the BSP before other CPUs start, so Relaxed everywhere.
static PINS: [AtomicU8; MAX_CPUS] = [const { AtomicU8::new(0) }; MAX_CPUS];
/// Whether the firmware has said anything.
static KNOWN: AtomicBool = AtomicBool::new(false);

const LOW: u8 = 2;

/// Reads what the firmware says. On the BSP, before other CPUs start.
pub(super) fn init(madt: &Madt<'_>, cpus: &CpuMap) {
    for (cpu, apic_id) in cpus.iter() {
        let bits = madt.nmi_pins_of(apic_id).fold(0, |bits, pin| {
            let place = place(pin.lint);
            bits | 1 << place | u8::from(pin.active_low) << (LOW + place)
        });
        PINS[cpu.get()].store(bits, Ordering::Relaxed);
    }
    KNOWN.store(true, Ordering::Relaxed);
}

/// Sets up this CPU's pins: for NMIs or masked. Where the firmware has said nothing, LINT1 stays as it
/// is.
pub(crate) fn program() {
    let known = KNOWN.load(Ordering::Relaxed);
    let bits = PINS[cpu::current().get()].load(Ordering::Relaxed);
    for lint in [Lint::Lint0, Lint::Lint1] {
        let place = place(lint);
        if bits >> place & 1 == 1 {
            let active_low = bits >> (LOW + place) & 1 == 1;
            apic::set_pin(lint, Pin::Nmi { active_low });
        } else if known || lint == Lint::Lint0 {
            apic::set_pin(lint, Pin::Masked);
        }
    }
}

fn place(lint: Lint) -> u8 {
    match lint {
        Lint::Lint0 => 0,
        Lint::Lint1 => 1,
    }
}
