//! xAPIC or x2APIC.
//!
//! On bare metal the interrupts of devices reach CPUs in x2APIC mode by interrupt remapping (Intel
//! VT-d specification, 5.1.4), which takes a driver. So the mode stays as the firmware left it,
//! unless a CPU cannot be addressed otherwise. Under a hypervisor x2APIC costs fewer exits, and
//! needs no remapping as long as the IDs fit. Nothing here leads back to xAPIC, which would lose
//! the APIC's settings (Intel SDM 3A, figure 11-27).

use core::ptr;

use super::{FIRST_TOO_LARGE, LocalApic};
use crate::{
    cpuid::Cpuid,
    id::ApicId,
    map::CpuMap,
    registers::{self, APIC_BASE, APIC_ENABLED, APIC_X2},
};

/// The facts that decide between xAPIC and x2APIC mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApicFacts {
    /// x2APIC mode is on.
    pub is_x2: bool,
    /// The CPU has it: CPUID leaf 1, ECX bit 21.
    pub has_x2: bool,
    /// A hypervisor runs the machine: leaf 1, ECX bit 31.
    pub is_virtual: bool,
    /// The firmware [asks](LocalApic::facts) not to switch it on.
    pub opts_out: bool,
    /// The highest ID of a listed CPU.
    pub highest: ApicId,
}

impl ApicFacts {
    /// Whether it is to be x2APIC mode, and why; for the log.
    #[must_use]
    pub fn choose(self) -> (bool, &'static str) {
        match self {
            Self { is_x2: true, .. } => (true, "x2APIC, as the firmware has left it"),
            Self { has_x2: false, .. } => (false, "xAPIC: this CPU has no x2APIC"),
            Self { opts_out: true, .. } => (false, "xAPIC, as the firmware asks (DMAR)"),
            Self { is_virtual: true, .. } => (true, "x2APIC, under a hypervisor"),
            _ if self.highest.get() >= FIRST_TOO_LARGE => {
                (true, "x2APIC: a listed CPU's ID needs it")
            }
            _ => (false, "xAPIC: no listed CPU needs x2APIC"),
        }
    }
}

impl LocalApic {
    /// The facts that decide about the mode on this machine: its CPUs, and its DMAR, if any.
    #[must_use]
    pub fn facts(self, map: &CpuMap, dmar: Option<&[u8]>) -> ApicFacts {
        const X2APIC: u32 = 1 << 21;
        let cpuid = Cpuid::here();
        ApicFacts {
            is_x2: self.is_x2(),
            has_x2: cpuid.get(1, 0).ecx & X2APIC != 0,
            is_virtual: cpuid.is_virtual(),
            opts_out: dmar.is_some_and(opts_out),
            highest: map.iter().map(|(_, id)| id).max().unwrap_or(ApicId::new(0)),
        }
    }

    /// Switches this CPU over to x2APIC if the facts want it; the APIC's settings stay (Intel SDM
    /// 3A, 11.12.1). From then on only the way that is returned leads to its registers; the text
    /// says [why](ApicFacts::choose).
    ///
    /// # Safety
    /// On the BSP, in ring 0, before other CPUs are started. The facts are the machine's, or a
    /// kernel's reasons to prefer one mode, and `has_x2` is true only if the CPU has it.
    pub unsafe fn fit(self, facts: ApicFacts) -> (Self, &'static str) {
        let (wants_x2, why) = facts.choose();
        if self.is_x2() || !wants_x2 {
            return (self, why);
        }
        // SAFETY: a CPU with a local APIC has the register.
        let base = unsafe { registers::read_msr(APIC_BASE) };
        // SAFETY: the CPU has the mode, and goes there from xAPIC, as it must.
        unsafe { registers::write_msr(APIC_BASE, base | APIC_ENABLED | APIC_X2) };
        let page = ptr::null_mut();
        (Self { page }, why)
    }
}

/// Whether the DMAR says so: X2APIC_OPT_OUT, flag 1, which counts if INTR_REMAP, flag 0, is set
/// (Intel VT-d specification, 8.1).
fn opts_out(dmar: &[u8]) -> bool {
    const FLAGS: usize = 37;
    dmar.get(FLAGS).is_some_and(|flags| flags & 0b11 == 0b11)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_of_each_kind_of_machine() {
        // On, there, virtual, opted out, highest ID; the mode, and a word of the reason.
        for (is_x2, has_x2, is_virtual, opts_out, highest, expected, why) in [
            (false, true, false, false, 254, false, "no listed"),
            (false, true, false, false, 255, true, "listed"),
            (false, true, false, true, 254, false, "DMAR"),
            (false, true, false, true, 255, false, "DMAR"),
            (false, true, true, false, 0, true, "hypervisor"),
            (false, true, true, true, 0, false, "DMAR"),
            (false, false, true, false, 300, false, "has no"),
            (false, false, false, true, 3, false, "has no"),
            (true, true, false, false, 3, true, "left"),
            (true, true, false, true, 3, true, "left"),
            (true, true, true, false, 300, true, "left"),
        ] {
            let facts =
                ApicFacts { is_x2, has_x2, is_virtual, opts_out, highest: ApicId::new(highest) };
            let (chosen, text) = facts.choose();
            assert_eq!(chosen, expected, "{facts:?}");
            assert!(text.contains(why) && text.starts_with("x2") == chosen, "{facts:?}");
        }
    }

    #[test]
    fn a_dmar_opts_out_by_two_flags() {
        let mut dmar = [0; 48];
        for (flags, expected) in [(0, false), (1, false), (2, false), (3, true), (7, true)] {
            dmar[37] = flags;
            assert_eq!(opts_out(&dmar), expected, "{flags}");
        }
        assert!(!opts_out(&dmar[..37]), "cut");
    }
}
