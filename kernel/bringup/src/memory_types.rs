//! PAT and MTRRs: the types of memory, which must be the same on all CPUs (Intel SDM 3A, 12.11.8
//! and 12.12.4). A CPU takes over the PAT, which the kernel's page tables index, of the CPU that
//! starts it; the MTRRs, which are the firmware's, are compared.
//!
//! `unsafe` in this module: model-specific registers, where CPUID says that they are there.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::{cpuid::Cpuid, registers};

/// IA32_PAT (Intel SDM 3A, 12.12.2).
const PAT: u32 = 0x277;

/// The MTRRs that are compared (Intel SDM 3A, 12.11.1 to 12.11.2.3): capabilities, default type,
/// fixed ranges, and as many pairs of base and mask as the manual has (SDM 4, table 2-2: 10).
const MTRRS: [u32; 2 + 11 + 2 * 10] = [
    0xfe, 0x2ff, 0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f,
    0x200, 0x201, 0x202, 0x203, 0x204, 0x205, 0x206, 0x207, 0x208, 0x209, 0x20a, 0x20b, 0x20c,
    0x20d, 0x20e, 0x20f, 0x210, 0x211, 0x212, 0x213,
];

/// The PAT of the CPU that starts others. Written before the first SIPI, so Relaxed everywhere.
static STARTERS_PAT: AtomicU64 = AtomicU64::new(0);
static STARTERS_MTRRS: [AtomicU64; MTRRS.len()] = [const { AtomicU64::new(0) }; MTRRS.len()];

/// Keeps those of this CPU, which is about to start others.
///
/// # Safety
/// Ring 0.
pub(crate) unsafe fn keep() {
    let (has_pat, has_mtrrs) = features();
    // SAFETY: in ring 0, and CPUID has said that the registers are there.
    let read = |register| unsafe { registers::read_msr(register) };
    if has_pat {
        STARTERS_PAT.store(read(PAT), Ordering::Relaxed);
    }
    if has_mtrrs {
        for (kept, value) in STARTERS_MTRRS.iter().zip(mtrrs(read)) {
            kept.store(value, Ordering::Relaxed);
        }
    }
}

/// On a CPU that starts: takes over the PAT, and returns the first MTRR that differs, or 0.
///
/// # Safety
/// Ring 0, interrupts off, nothing cached by a type that the starting CPU's PAT does not give.
pub(crate) unsafe fn adopt() -> u32 {
    let (has_pat, has_mtrrs) = features();
    // SAFETY: as in `keep`.
    let read = |register| unsafe { registers::read_msr(register) };
    let pat = STARTERS_PAT.load(Ordering::Relaxed);
    if has_pat && pat != 0 && pat != read(PAT) {
        // SAFETY: the register is there, and takes what the other CPU's has taken.
        unsafe { registers::write_memory_types(PAT, pat) };
    }
    if !has_mtrrs {
        return 0;
    }
    let kept = STARTERS_MTRRS.each_ref();
    first_difference(kept.map(|value| value.load(Ordering::Relaxed)), mtrrs(read))
}

/// Whether there are a PAT and MTRRs: CPUID leaf 1, EDX bits 16 and 12.
fn features() -> (bool, bool) {
    let features = Cpuid::here().get(1, 0).edx;
    (features >> 16 & 1 == 1, features >> 12 & 1 == 1)
}

/// The values of all MTRRs; 0 for an absent one, or an invalid pair, which may hold anything.
fn mtrrs(read: impl Fn(u32) -> u64) -> [u64; MTRRS.len()] {
    const HAS_FIXED: u64 = 1 << 8;
    const VALID: u64 = 1 << 11;
    let capabilities = read(0xfe);
    let pairs = capabilities as u32 & 0xff;
    MTRRS.map(|number| {
        let counts = match number {
            0xfe | 0x2ff => true,
            0x250.. => capabilities & HAS_FIXED != 0,
            _ => (number - 0x200) / 2 < pairs && read(number | 1) & VALID != 0,
        };
        if counts { read(number) } else { 0 }
    })
}

fn first_difference(ours: [u64; MTRRS.len()], theirs: [u64; MTRRS.len()]) -> u32 {
    let place = ours.iter().zip(theirs).position(|(a, b)| *a != b);
    place.map_or(0, |place| MTRRS[place])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// As SeaBIOS leaves them: write-back, two fixed ranges set, one pair valid of two.
    fn registers() -> BTreeMap<u32, u64> {
        let fixed = [0x250, 0x258, 0x259].into_iter().chain(0x268..=0x26f);
        let mut registers: BTreeMap<u32, u64> = fixed.map(|number| (number, 0x0606)).collect();
        registers.extend([(0xfe, 0x502), (0x2ff, 0xc06)]);
        registers.extend([(0x200, 0x8000_0000), (0x201, 0xff_8000_0800)]);
        registers.extend([(0x202, 0x1234), (0x203, 0x5000)]);
        registers
    }

    fn difference(change: impl Fn(&mut BTreeMap<u32, u64>)) -> u32 {
        // A register that is not there must not be read: that faults.
        let all = |registers: BTreeMap<u32, u64>| mtrrs(|number| registers[&number]);
        let mut other = registers();
        change(&mut other);
        first_difference(all(registers()), all(other))
    }

    #[test]
    fn a_difference_has_the_number_of_its_register() {
        assert_eq!(difference(|_| {}), 0);
        for number in [0xfe, 0x2ff, 0x250, 0x258, 0x259, 0x268, 0x26f, 0x200, 0x201] {
            let flip = |registers: &mut BTreeMap<u32, u64>| {
                *registers.get_mut(&number).expect("there") ^= 1 << 9;
            };
            assert_eq!(difference(flip), number, "{number:#x}");
        }
        // No base without a mask.
        let disable = |registers: &mut BTreeMap<u32, u64>| registers.extend([(0x201, 0)]);
        assert_eq!(difference(disable), 0x200);
    }

    #[test]
    fn what_does_not_count_is_not_compared() {
        for (number, value) in [(0x202, 7), (0x203, 0x7000)] {
            let change = |registers: &mut BTreeMap<u32, u64>| registers.extend([(number, value)]);
            assert_eq!(difference(change), 0);
        }
        let mut without_fixed = registers();
        without_fixed.retain(|number, _| !(0x250..=0x26f).contains(number));
        without_fixed.insert(0xfe, 0x402);
        let all = mtrrs(|number| without_fixed[&number]);
        assert_eq!(all[2..13], [0; 11]);
    }
}
