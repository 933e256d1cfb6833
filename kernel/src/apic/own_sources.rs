//! The interrupt sources inside a CPU, each with an entry in its local APIC's vector table: APIC
//! errors, performance counters, the temperature sensor, corrected machine checks. (The timer and
//! the two pins are in [`super`].)

use super::{DELIVERY, LVT_ERROR, LVT_MASKED, listen_for_errors, read, write};

const VERSION: u32 = 0x30;
const CORRECTED_ERRORS: u32 = 0x2f0;
const TEMPERATURE: u32 = 0x330;
const PERFORMANCE: u32 = 0x340;

const SMI_DELIVERY: u32 = 0b010 << 8;

/// Masks this CPU's, except those that the firmware handles itself, by SMI, and errors, which the kernel reports.
pub(crate) fn mask() {
    for entry in entries() {
        let value = read(entry);
        if value & DELIVERY != SMI_DELIVERY {
            write(entry, value | LVT_MASKED);
        }
    }
    listen_for_errors();
}

/// Their entries in the vector table. The number of the last entry says which there are (Intel SDM
/// 3A, figures 11-7 and 11-8); a register that is not there must not be touched in x2APIC mode.
fn entries() -> impl Iterator<Item = u32> {
    let last = read(VERSION) >> 16 & 0xff;
    let all = [
        (LVT_ERROR, 3),
        (PERFORMANCE, 4),
        (TEMPERATURE, 5),
        (CORRECTED_ERRORS, 6),
    ];
    let there = all.into_iter().filter(move |(_, number)| last >= *number);
    there.map(|(entry, _)| entry)
}
