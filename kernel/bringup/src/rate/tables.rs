//! Where the firmware says that the counters are: two ACPI tables.
//!
//! Each function takes the bytes of a table, which begin with its header, and ignores what follows
//! the length that the header states; the checksum is not looked at.

use crate::bytes::{read_u32, read_u64, table};

/// Physical address of the HPET's registers (IA-PC HPET 1.0a, section 3.2.4). `None` if the table
/// cannot be read, or the address is not one of memory.
#[must_use]
pub fn hpet_address(bytes: &[u8]) -> Option<u64> {
    let (space, address) = generic_address(table(bytes, b"HPET")?, 40)?;
    (space == MEMORY).then_some(address)
}

/// ACPI's power management timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PmTimer {
    /// Its I/O port; 32 bits are read from it.
    pub port: u16,
    /// Whether all 32 bits count, or only 24.
    pub is_32_bit: bool,
}

impl PmTimer {
    /// The timer, from the FADT (ACPI 6.5, sections 5.2.9 and 4.8.3.3). `None` if the table cannot
    /// be read, the platform has no such timer, or it is not at an I/O port.
    #[must_use]
    pub fn from_fadt(bytes: &[u8]) -> Option<Self> {
        const TMR_VAL_EXT: u32 = 1 << 8;
        const HW_REDUCED_ACPI: u32 = 1 << 20;
        let table = table(bytes, b"FACP")?;
        let (block, length) = (read_u32(table, 76)?, *table.get(91)?);
        let flags = read_u32(table, 112)?;
        if length != 4 || flags & HW_REDUCED_ACPI != 0 {
            return None;
        }
        // Newer tables repeat the address in the longer form, which counts if it is not 0.
        let port = match generic_address(table, 208) {
            Some((IO, address)) => address,
            Some(_) => return None,
            None => block.into(),
        };
        Some(Self {
            port: u16::try_from(port).ok().filter(|port| *port != 0)?,
            is_32_bit: flags & TMR_VAL_EXT != 0,
        })
    }
}

const MEMORY: u8 = 0;
const IO: u8 = 1;

/// ACPI's generic address structure (ACPI 6.5, section 5.2.3.2), the parts that matter here: an
/// address space, and an address that is not 0.
fn generic_address(table: &[u8], at: usize) -> Option<(u8, u64)> {
    let address = read_u64(table, at + 4).filter(|address| *address != 0)?;
    Some((*table.get(at)?, address))
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::{PmTimer, hpet_address};

    fn table(signature: &[u8; 4], length: usize, fields: &[(usize, &[u8])]) -> Vec<u8> {
        let mut bytes = std::vec![0; length];
        bytes[..4].copy_from_slice(signature);
        bytes[4..8].copy_from_slice(&(length as u32).to_le_bytes());
        for (at, field) in fields {
            bytes[*at..at + field.len()].copy_from_slice(field);
        }
        bytes
    }

    /// As QEMU's.
    fn hpet() -> Vec<u8> {
        table(b"HPET", 56, &[(40, &[0, 0, 0, 0, 0, 0, 0xd0, 0xfe])])
    }

    /// As QEMU's for its pc machine, whose FADT has the first revision.
    fn short_fadt() -> Vec<u8> {
        table(b"FACP", 116, &[(76, &[8, 6]), (91, &[4]), (112, &[0xa5, 0x80])])
    }

    /// As QEMU's for q35.
    fn long_fadt() -> Vec<u8> {
        let mut table = table(b"FACP", 244, &[(208, &[1, 32, 0, 0, 8, 6])]);
        let short = short_fadt();
        table[8..116].copy_from_slice(&short[8..]);
        table
    }

    #[test]
    fn the_hpet() {
        assert_eq!(hpet_address(&hpet()), Some(0xfed0_0000));
        // Not in memory; a header that states less than there is.
        for (at, value) in [(40, 1), (4, 50)] {
            let mut table = hpet();
            table[at] = value;
            assert_eq!(hpet_address(&table), None, "byte {at}");
        }
        for length in 0..hpet().len() {
            assert_eq!(hpet_address(&hpet()[..length]), None, "{length} bytes");
        }
        assert_eq!(hpet_address(&short_fadt()), None);
    }

    #[test]
    fn the_power_management_timer() {
        type Changes = &'static [(usize, u8)];
        let timer = |port, is_32_bit| Some(PmTimer { port, is_32_bit });
        let cases: [(Vec<u8>, Changes, Option<PmTimer>); 11] = [
            (short_fadt(), &[], timer(0x608, false)),
            (short_fadt(), &[(113, 0x81)], timer(0x608, true)),
            // No timer: length; hardware-reduced; no port; one beyond the I/O space.
            (short_fadt(), &[(91, 0)], None),
            (short_fadt(), &[(114, 1 << 4)], None),
            (short_fadt(), &[(76, 0), (77, 0)], None),
            (short_fadt(), &[(78, 1)], None),
            // The longer form of the address counts if it is there.
            (long_fadt(), &[], timer(0x608, false)),
            (long_fadt(), &[(212, 0x18)], timer(0x618, false)),
            (long_fadt(), &[(212, 0), (213, 0)], timer(0x608, false)),
            // In memory: not for this crate.
            (long_fadt(), &[(208, 0)], None),
            (hpet(), &[], None),
        ];
        for (mut table, changes, expected) in cases {
            for (at, value) in changes {
                table[*at] = *value;
            }
            assert_eq!(PmTimer::from_fadt(&table), expected, "{changes:?}");
        }
        for length in 0..short_fadt().len() {
            assert_eq!(PmTimer::from_fadt(&short_fadt()[..length]), None);
        }
    }
}
