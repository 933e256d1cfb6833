//! Which of the two ways to the registers is taken.
//!
//! x2APIC where the CPU has it, since its IDs have 32 bits. From there is no way back to xAPIC that keeps
//! what the APIC is set to (Intel SDM 3A, figure 11-27), so a firmware that has gone there decides. If the
//! kernel is told to use xAPIC, it does so as long as it can address everybody.

use protocol::{exit::ExitCode, options::ApicMode};
use raw_cpuid::FeatureInfo;
use x86_64::registers::model_specific::{ApicBase, ApicBaseFlags};

use crate::{emergency::exit, log};

/// The two ways.
pub(super) const X_APIC: u64 = 1;
pub(super) const X2_APIC: u64 = 2;

/// Decides. On the BSP, before its APIC is used. Ends the kernel if it cannot be as asked.
pub(super) fn choose(asked: ApicMode, features: &FeatureInfo) -> u64 {
    let can = features.has_x2apic();
    if !can && matches!(asked, ApicMode::X2apic | ApicMode::Preset) {
        log!(
            "apic: x2APIC is asked for, and this CPU does not have it (TCG has it from QEMU 9.0 on, KVM always)"
        );
        exit(ExitCode::Unfit);
    }
    if asked == ApicMode::Preset {
        switch_on(ApicBaseFlags::LAPIC_ENABLE);
        switch_on(ApicBaseFlags::X2APIC_ENABLE);
    }
    let (_, found) = ApicBase::read();
    let (mode, why) = if found.contains(ApicBaseFlags::X2APIC_ENABLE) {
        (X2_APIC, "x2APIC, as the firmware has left it")
    } else if !can {
        (X_APIC, "xAPIC: this CPU has no x2APIC")
    } else if asked == ApicMode::Xapic {
        (X_APIC, "xAPIC, as asked")
    } else {
        (X2_APIC, "x2APIC")
    };
    log!("apic: {why}");
    mode
}

/// Sets a flag in the APIC's base register, if it is not set.
pub(super) fn switch_on(flag: ApicBaseFlags) {
    let (base, flags) = ApicBase::read();
    if !flags.contains(flag) {
        // SAFETY: the callers switch on what CPUID has; the page stays where it is mapped.
        unsafe { ApicBase::write(base, flags | flag) };
    }
}
