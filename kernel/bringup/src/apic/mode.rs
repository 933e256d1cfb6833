//! xAPIC or x2APIC.
//!
//! On bare metal the interrupts of devices reach CPUs in x2APIC mode by interrupt remapping (Intel VT-d
//! specification, 5.1.4), which is a driver's and not this crate's. So the mode stays as the firmware
//! left it, unless a CPU cannot be addressed otherwise. Under a hypervisor x2APIC costs fewer exits, and
//! needs no remapping as long as the IDs fit.
//!
//! Nothing here leads back to xAPIC, which would lose what the APIC is set to (Intel SDM 3A, figure
//! 11-27), and which newer CPUs can forbid (LEGACY_XAPIC_DISABLED in IA32_XAPIC_DISABLE_STATUS).

use core::fmt;

use raw_cpuid::CpuId;

use super::LocalApic;
use crate::{
    id::ApicId,
    map::CpuMap,
    registers::{self, APIC_BASE, APIC_ENABLED, APIC_X2},
};

/// What decides between xAPIC and x2APIC mode.
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

/// The mode of the local APICs, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApicChoice {
    /// x2APIC: it was on.
    LeftOn,
    /// xAPIC: there is nothing else.
    Unavailable,
    /// xAPIC: the firmware asks for it.
    OptedOut,
    /// x2APIC: under a hypervisor.
    Virtual,
    /// x2APIC: needed to address this CPU.
    Demanded(ApicId),
    /// xAPIC: all CPUs can be addressed.
    Unneeded,
}

impl ApicFacts {
    /// Decides.
    #[must_use]
    pub fn choose(self) -> ApicChoice {
        match self {
            Self { is_x2: true, .. } => ApicChoice::LeftOn,
            Self { has_x2: false, .. } => ApicChoice::Unavailable,
            Self { opts_out: true, .. } => ApicChoice::OptedOut,
            Self {
                is_virtual: true, ..
            } => ApicChoice::Virtual,
            Self { highest, .. } if highest.get() >= super::FIRST_TOO_LARGE => {
                ApicChoice::Demanded(highest)
            }
            _ => ApicChoice::Unneeded,
        }
    }
}

impl ApicChoice {
    /// Whether it is x2APIC mode.
    #[must_use]
    pub fn is_x2(self) -> bool {
        matches!(self, Self::LeftOn | Self::Virtual | Self::Demanded(_))
    }
}

impl fmt::Display for ApicChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LeftOn => "x2APIC, as the firmware has left it",
            Self::Unavailable => "xAPIC: this CPU has no x2APIC",
            Self::OptedOut => "xAPIC, as the firmware asks (DMAR)",
            Self::Virtual => "x2APIC, under a hypervisor",
            Self::Demanded(id) => return write!(f, "x2APIC: {id} is listed"),
            Self::Unneeded => "xAPIC: no listed CPU needs x2APIC",
        })
    }
}

impl LocalApic {
    /// What decides about the mode on this machine: its CPUs, and its DMAR, if there is one.
    #[must_use]
    pub fn facts(self, map: &CpuMap, dmar: Option<&[u8]>) -> ApicFacts {
        let features = CpuId::new().get_feature_info();
        let features = features.as_ref();
        ApicFacts {
            is_x2: self.is_x2(),
            has_x2: features.is_some_and(|features| features.has_x2apic()),
            is_virtual: features.is_some_and(|features| features.has_hypervisor()),
            opts_out: dmar.is_some_and(opts_out),
            highest: map.iter().map(|(_, id)| id).max().unwrap_or(ApicId::new(0)),
        }
    }

    /// Switches this CPU over to x2APIC if the facts want it; what the APIC is set to stays (Intel
    /// SDM 3A, 11.12.1). From then on only the way that is returned leads to its registers.
    ///
    /// # Safety
    /// On the BSP, in ring 0, before other CPUs are started. The facts are the machine's, or a kernel's
    /// reasons to prefer one mode, and `has_x2` is true only if the CPU has it.
    pub unsafe fn fit(self, facts: ApicFacts) -> (Self, ApicChoice) {
        let choice = facts.choose();
        if self.is_x2() || !choice.is_x2() {
            return (self, choice);
        }
        // SAFETY: a CPU with a local APIC has the register.
        let base = unsafe { registers::read_msr(APIC_BASE) };
        // SAFETY: the CPU has the mode, and goes there from xAPIC, as it must.
        unsafe { registers::write_msr(APIC_BASE, base | APIC_ENABLED | APIC_X2) };
        (Self::from_page(core::ptr::null_mut()), choice)
    }
}

/// Whether the DMAR says so: X2APIC_OPT_OUT, flag 1, which counts if INTR_REMAP, flag 0, is set (Intel
/// VT-d specification, 8.1).
fn opts_out(dmar: &[u8]) -> bool {
    const FLAGS: usize = 37;
    dmar.get(FLAGS).is_some_and(|flags| flags & 0b11 == 0b11)
}

#[cfg(test)]
mod tests {
    use super::{ApicChoice::*, *};

    #[test]
    fn the_mode_of_each_kind_of_machine() {
        let id = ApicId::new;
        // On, there, virtual, opted out, highest ID.
        for (is_x2, has_x2, is_virtual, opts_out, highest, choice) in [
            (false, true, false, false, 254, Unneeded),
            (false, true, false, false, 255, Demanded(id(255))),
            (false, true, false, true, 254, OptedOut),
            (false, true, false, true, 255, OptedOut),
            (false, true, true, false, 0, Virtual),
            (false, true, true, true, 0, OptedOut),
            (false, false, true, false, 300, Unavailable),
            (false, false, false, true, 3, Unavailable),
            (true, true, false, false, 3, LeftOn),
            (true, true, false, true, 3, LeftOn),
            (true, true, true, false, 300, LeftOn),
        ] {
            let facts = ApicFacts {
                is_x2,
                has_x2,
                is_virtual,
                opts_out,
                highest: id(highest),
            };
            assert_eq!(facts.choose(), choice, "{facts:?}");
        }
        let x2 = [LeftOn, Virtual, Demanded(id(255))].map(ApicChoice::is_x2);
        let x = [Unavailable, OptedOut, Unneeded].map(ApicChoice::is_x2);
        assert_eq!((x2, x), ([true; 3], [false; 3]));
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
