//! The local APIC pins by which CPUs get the board's NMIs.
//!
//! The MADT lists these pins (ACPI 6.5, sections 5.2.12.7 and 5.2.12.13), often wrongly: of 536
//! real tables 114 do not cover the BSP. So implausible entries are ignored, and a BSP without a
//! valid entry gets NMIs at LINT1, where PCs wire them and where Linux always takes them.

#[cfg(test)]
mod tests;

use core::array;

use crate::{
    id::CpuIndex,
    madt::{CpuState, Madt},
    map::{CpuMap, MAX_CPUS},
};

/// The use of a pin whose interrupts do not come from an I/O APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LintUse {
    /// Masked.
    Masked,
    /// The pin for NMIs. Edge-triggered, whatever the firmware says (Intel SDM 3A, 11.5.1).
    Nmi {
        /// The signal is active low; else it is active high.
        active_low: bool,
    },
    /// Unknown: the pin keeps its setting.
    AsFound,
}

/// The uses of both pins, LINT0 and LINT1, of each CPU.
#[derive(Clone, Debug)]
pub struct NmiPins {
    pins: [[LintUse; 2]; MAX_CPUS],
    not_covered: usize,
}

impl NmiPins {
    /// Reads from `madt` the pins of the CPUs in `cpus`.
    ///
    /// Takes 12 KiB of stack. Reads all entries twice and sorts the CPUs.
    #[must_use]
    pub fn new(madt: &Madt<'_>, cpus: &CpuMap) -> Self {
        let uids = uids(madt, cpus);
        let uid = |place: &u16| uids[usize::from(*place)].map(|(_, uid)| uid);
        let mut by_uid: [u16; MAX_CPUS] = array::from_fn(|place| place as u16);
        let by_uid = &mut by_uid[..cpus.len()];
        by_uid.sort_unstable_by_key(uid);

        const UNKNOWN: [LintUse; 2] = [LintUse::Masked, LintUse::AsFound];
        let mut pins = [UNKNOWN; MAX_CPUS];
        for nmi in madt.nmis() {
            let mut of_these = &*by_uid;
            if nmi.uid.is_some() {
                let below = of_these.partition_point(|place| uid(place) < nmi.uid);
                let up_to = of_these.partition_point(|place| uid(place) <= nmi.uid);
                of_these = &of_these[below..up_to];
            }
            for place in of_these {
                let pins = &mut pins[usize::from(*place)];
                // The CPU's first valid entry settles both pins: the other one is not for NMIs.
                if pins[1] == LintUse::AsFound {
                    pins[1] = LintUse::Masked;
                }
                // Of contradictory entries the first wins.
                if pins[nmi.lint] == LintUse::Masked {
                    let active_low = nmi.active_low;
                    pins[nmi.lint] = LintUse::Nmi { active_low };
                }
            }
        }
        let not_covered = pins[..cpus.len()].iter().filter(|pins| **pins == UNKNOWN);
        let not_covered = not_covered.count();
        if pins[0] == UNKNOWN {
            pins[0][1] = LintUse::Nmi { active_low: false };
        }
        Self { pins, not_covered }
    }

    /// The uses of LINT0 and LINT1 on this CPU.
    #[must_use]
    pub fn of(&self, cpu: CpuIndex) -> [LintUse; 2] {
        self.pins[cpu.get()]
    }

    /// Number of CPUs without a valid entry. Of these, only the BSP gets NMIs.
    #[must_use]
    pub fn not_covered(&self) -> usize {
        self.not_covered
    }
}

/// The number by which pin entries name each CPU; `None` for a CPU that is not listed.
fn uids(madt: &Madt<'_>, cpus: &CpuMap) -> [Option<(CpuState, u32)>; MAX_CPUS] {
    let mut uids: [Option<(CpuState, u32)>; MAX_CPUS] = [None; MAX_CPUS];
    for cpu in madt.cpus() {
        let Some(index) = cpus.index_of(cpu.apic_id) else {
            continue;
        };
        // Of a CPU's several entries the enabled one counts: firmware is known to fill its list up
        // with disabled entries that all have the same ID.
        let uid = &mut uids[index.get()];
        if uid.is_none_or(|(state, _)| cpu.state < state) {
            *uid = Some((cpu.state, cpu.uid));
        }
    }
    uids
}
