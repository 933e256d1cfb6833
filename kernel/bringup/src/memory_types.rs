//! PAT and MTRRs: the types of memory (cached, write-combining, ...), which must be the same on all CPUs
//! (Intel SDM 3A, 12.11.8 and 12.12.4).
//!
//! The PAT is the kernel's, since its page tables index it: a CPU takes over that of the CPU that
//! starts it. The MTRRs are the firmware's: they are compared, and stay as they are.
//!
//! `unsafe` in this module: model-specific registers, where CPUID says that they are there.

use core::{
    array,
    sync::atomic::{AtomicU64, Ordering},
};

use raw_cpuid::CpuId;

use crate::registers;

/// IA32_PAT (Intel SDM 3A, 12.12.2).
const PAT: u32 = 0x277;

/// MTRRs that are compared: what there is, the default type, the fixed ranges, and as many pairs of base
/// and mask as the manual knows (Intel SDM 4, table 2-2: 10).
const MTRRS: usize = 2 + 11 + 2 * 10;

/// What the CPU that starts others has. Written before the first SIPI, so Relaxed everywhere.
static STARTERS: MemoryTypes = MemoryTypes {
    pat: AtomicU64::new(0),
    mtrrs: [const { AtomicU64::new(0) }; MTRRS],
};

struct MemoryTypes {
    pat: AtomicU64,
    mtrrs: [AtomicU64; MTRRS],
}

/// Keeps those of this CPU, which is about to start others.
///
/// # Safety
/// Ring 0.
pub(crate) unsafe fn keep() {
    let (has_pat, has_mtrrs) = features();
    // SAFETY: in ring 0, and CPUID has said that the registers are there.
    let read = |register| unsafe { registers::read_msr(register) };
    if has_pat {
        STARTERS.pat.store(read(PAT), Ordering::Relaxed);
    }
    if has_mtrrs {
        for (kept, value) in STARTERS.mtrrs.iter().zip(mtrrs(read)) {
            kept.store(value, Ordering::Relaxed);
        }
    }
}

/// On a CPU that starts: takes over the PAT, and returns the first MTRR that differs, or 0.
///
/// # Safety
/// Ring 0, interrupts off, and nothing is cached by a type that the PAT of the starting CPU does not
/// give it.
pub(crate) unsafe fn adopt() -> u32 {
    let (has_pat, has_mtrrs) = features();
    // SAFETY: as in `keep`.
    let read = |register| unsafe { registers::read_msr(register) };
    let pat = STARTERS.pat.load(Ordering::Relaxed);
    if has_pat && pat != 0 && pat != read(PAT) {
        // SAFETY: the register is there, and takes what the other CPU's has taken.
        unsafe { registers::write_memory_types(PAT, pat) };
    }
    if !has_mtrrs {
        return 0;
    }
    let kept = STARTERS
        .mtrrs
        .each_ref()
        .map(|value| value.load(Ordering::Relaxed));
    first_difference(&kept, &mtrrs(read))
}

/// Whether there are a PAT and MTRRs: CPUID leaf 1, EDX bits 16 and 12.
fn features() -> (bool, bool) {
    let features = CpuId::new().get_feature_info();
    features.map_or((false, false), |features| {
        (features.has_pat(), features.has_mtrr())
    })
}

/// The model-specific register of an MTRR (Intel SDM 3A, 12.11.1 to 12.11.2.3).
fn number(place: usize) -> u32 {
    let place = place as u32;
    match place {
        0 => 0xfe,
        1 => 0x2ff,
        2 => 0x250,
        3 | 4 => 0x258 + (place - 3),
        5..13 => 0x268 + (place - 5),
        _ => 0x200 + (place - 13),
    }
}

/// The values of all MTRRs; 0 for one that is not there, or whose pair is not valid, which then may hold
/// anything.
fn mtrrs(read: impl Fn(u32) -> u64) -> [u64; MTRRS] {
    const HAS_FIXED: u64 = 1 << 8;
    const VALID: u64 = 1 << 11;
    let capabilities = read(number(0));
    let pairs = capabilities as usize & 0xff;
    array::from_fn(|place| {
        let number = number(place);
        let counts = match place {
            0 | 1 => true,
            2..13 => capabilities & HAS_FIXED != 0,
            _ => (place - 13) / 2 < pairs && read(number | 1) & VALID != 0,
        };
        if counts { read(number) } else { 0 }
    })
}

fn first_difference(ours: &[u64; MTRRS], theirs: &[u64; MTRRS]) -> u32 {
    let place = ours.iter().zip(theirs).position(|(a, b)| a != b);
    place.map_or(0, number)
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
        first_difference(&all(registers()), &all(other))
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
        assert_eq!(difference(|registers| registers.extend([(0x202, 7)])), 0);
        assert_eq!(
            difference(|registers| registers.extend([(0x203, 0x7000)])),
            0
        );
        let mut without_fixed = registers();
        without_fixed.retain(|number, _| !(0x250..=0x26f).contains(number));
        without_fixed.insert(0xfe, 0x402);
        let all = mtrrs(|number| without_fixed[&number]);
        assert_eq!(all[2..13], [0; 11]);
    }
}
