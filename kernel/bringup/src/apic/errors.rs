//! What a local APIC has found wrong.

use core::fmt;

use super::LocalApic;

/// Bits of the error status register (Intel SDM 3A, 11.5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApicErrors(pub u8);

/// By bit.
const NAMES: [&str; 8] = [
    "wrong checksum of a message sent",
    "wrong checksum of a message received",
    "no APIC accepted an interrupt sent",
    "an interrupt received was not accepted",
    "an interrupt was sent to whichever CPU, which this APIC cannot",
    "an interrupt was sent with a vector below 16",
    "an interrupt was received with a vector below 16",
    "access to a register that is not there",
];

impl LocalApic {
    /// The errors of this CPU's APIC since they were last taken. Any context.
    #[must_use]
    pub fn take_errors(self) -> ApicErrors {
        const STATUS: u32 = 0x280;
        // A write moves what has gathered to where it is read.
        // SAFETY: that is all it does.
        unsafe { self.write(STATUS, 0) };
        ApicErrors(self.read(STATUS) as u8)
    }
}

impl fmt::Display for ApicErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error status {:#04x}", self.0)?;
        let set = NAMES.iter().enumerate();
        let mut set = set.filter(|(bit, _)| self.0 >> bit & 1 == 1);
        set.try_for_each(|(_, name)| write!(f, "; {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_name() {
        // A failed send and an illegal vector.
        let text = std::format!("{}", ApicErrors(0x24));
        assert_eq!(
            text,
            "error status 0x24; no APIC accepted an interrupt sent; \
             an interrupt was sent with a vector below 16"
        );
    }
}
