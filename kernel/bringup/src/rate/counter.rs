//! Counters whose rate is known: how wide, which way, how fast.

/// How a counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Ones in the bits that count.
    mask: u64,
    direction: Direction,
    /// Femtoseconds (10^-15 s) from one clock to the next; not 0.
    period_fs: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

impl Counter {
    /// A channel of the 8254 that counts down from 65536: comes round after 55 ms.
    ///
    /// Its input clock is a third of the NTSC colour carrier, 315/88 MHz (Intel 8254 data sheet; IBM PC
    /// technical reference).
    pub const PIT: Self = Self {
        mask: 0xffff,
        direction: Direction::Down,
        period_fs: 838_095_238,
    };

    /// ACPI's power management timer: the colour carrier itself, rounded 3.579545 MHz (ACPI 6.5, section
    /// 4.8.2.1). With 24 bits it comes round after 4.7 s; with 32 (flag `TMR_VAL_EXT` of the FADT) after
    /// 20 minutes.
    #[must_use]
    pub const fn pm_timer(is_32_bit: bool) -> Self {
        Self {
            mask: if is_32_bit { 0xffff_ffff } else { 0xff_ffff },
            direction: Direction::Up,
            period_fs: 279_365_079,
        }
    }

    /// The HPET's main counter, from the register that tells its capabilities (IA-PC HPET 1.0a, section
    /// 2.3.4): the period in femtoseconds in the upper half, and in bit 13 whether it has 64 bits.
    ///
    /// `None` if there is no HPET, whose registers then read as zeros or ones: the period must be at
    /// most 100 ns; and it is taken to be at least 0.1 ns, so that 32 bits last for longer than any
    /// measurement.
    #[must_use]
    pub const fn hpet(capabilities: u64) -> Option<Self> {
        const MAX_FS: u64 = 100_000_000;
        const MIN_FS: u64 = 100_000;
        const IS_64_BIT: u64 = 1 << 13;
        let period_fs = capabilities >> 32;
        if period_fs < MIN_FS || period_fs > MAX_FS {
            return None;
        }
        Some(Self {
            mask: if capabilities & IS_64_BIT == 0 {
                0xffff_ffff
            } else {
                u64::MAX
            },
            direction: Direction::Up,
            period_fs,
        })
    }

    /// A 64-bit counter that counts up at this rate: a TSC whose rate is known. `None` if that is none
    /// of [`TSC_HZ`](super::TSC_HZ).
    #[must_use]
    pub fn tsc(hz: u64) -> Option<Self> {
        super::TSC_HZ.contains(&hz).then(|| Self {
            mask: u64::MAX,
            direction: Direction::Up,
            period_fs: FEMTOS_PER_SECOND / hz,
        })
    }

    /// The same counter, of which only the lower 32 bits are read.
    #[must_use]
    pub const fn lower_half(self) -> Self {
        Self {
            mask: self.mask & 0xffff_ffff,
            ..self
        }
    }

    /// Its rate in Hz, rounded down.
    #[must_use]
    pub const fn hz(self) -> u64 {
        FEMTOS_PER_SECOND / self.period_fs
    }

    /// Clocks from one reading to a later one. Right if less time has passed than the counter takes to
    /// come round: full rounds cannot be seen. Bits above the counter's own are ignored.
    #[must_use]
    pub const fn elapsed(self, from: u64, to: u64) -> u64 {
        let forward = match self.direction {
            Direction::Up => to.wrapping_sub(from),
            Direction::Down => from.wrapping_sub(to),
        };
        forward & self.mask
    }

    /// Whether it takes longer to come round than anything takes a CPU away: a second. The 8254 does not.
    #[must_use]
    pub fn outlasts_pauses(self) -> bool {
        self.clocks_in(1_000_000_000) <= self.mask
    }

    /// Clocks in so many nanoseconds, at least one.
    #[must_use]
    pub fn clocks_in(self, nanos: u64) -> u64 {
        let clocks = u128::from(nanos) * 1_000_000 / u128::from(self.period_fs);
        u64::try_from(clocks).unwrap_or(u64::MAX).max(1)
    }

    /// The rate in Hz, rounded to the nearest, of another counter that has counted `counted` while this one
    /// has counted `clocks`. No clocks are taken for one.
    #[must_use]
    pub fn rate_of(self, counted: u64, clocks: u64) -> u64 {
        let femtos = u128::from(clocks.max(1)) * u128::from(self.period_fs);
        // Less than 2^64 * 2^50.
        let rate = (u128::from(counted) * u128::from(FEMTOS_PER_SECOND) + femtos / 2) / femtos;
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}

const FEMTOS_PER_SECOND: u64 = 1_000_000_000_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Counter;

    /// QEMU's HPET: 10 ns, 64 bits, three timers, vendor 0x8086.
    const QEMU_HPET: u64 = 0x0098_9680_8086_a201;

    fn all() -> [Counter; 6] {
        let hpet = Counter::hpet(QEMU_HPET).expect("QEMU has one");
        [
            Counter::PIT,
            Counter::pm_timer(false),
            Counter::pm_timer(true),
            hpet,
            hpet.lower_half(),
            Counter::tsc(2_294_608_000).expect("plausible"),
        ]
    }

    #[test]
    fn rates_are_those_of_the_data_sheets() {
        assert_eq!(Counter::PIT.hz(), 1_193_181);
        assert_eq!(Counter::pm_timer(true).hz(), 3_579_545);
        assert_eq!(Counter::hpet(QEMU_HPET).expect("valid").hz(), 100_000_000);
        assert_eq!(
            Counter::tsc(2_000_000_000).expect("valid").hz(),
            2_000_000_000
        );
    }

    #[test]
    fn the_8254_counts_down_and_comes_round() {
        let pit = Counter::PIT;
        assert_eq!(pit.elapsed(100, 40), 60);
        // 65536 reads as 0: the first clock leads from there to 65535.
        assert_eq!(pit.elapsed(0, 0xffff), 1);
        assert_eq!(pit.elapsed(5, 0xfff0), 21);
        assert_eq!(pit.elapsed(7, 7), 0);
    }

    #[test]
    fn the_pm_timer_comes_round_at_its_width() {
        assert_eq!(Counter::pm_timer(false).elapsed(0xff_ffff, 1), 2);
        assert_eq!(Counter::pm_timer(true).elapsed(0xffff_ffff, 1), 2);
        assert_eq!(Counter::pm_timer(true).elapsed(0xff_ffff, 0x100_0001), 2);
        // The upper eight bits of a 24-bit timer should read as 0; who knows.
        assert_eq!(
            Counter::pm_timer(false).elapsed(0xab00_0001, 0xcd00_0003),
            2
        );
    }

    #[test]
    fn the_hpet_has_32_or_64_bits() {
        let wide = Counter::hpet(QEMU_HPET).expect("valid");
        let narrow = Counter::hpet(QEMU_HPET & !(1 << 13)).expect("valid");
        assert_eq!(wide.elapsed(0xffff_ffff, 0x1_0000_0001), 2);
        assert_eq!(wide.elapsed(u64::MAX, 1), 2);
        assert_eq!(narrow.elapsed(0xffff_ffff, 1), 2);
        assert_eq!(wide.lower_half(), narrow);
    }

    #[test]
    fn an_hpet_that_is_not_there_is_none() {
        for capabilities in [0, u64::MAX, 0x8086_a201, 100_000_001 << 32, 99_999 << 32] {
            assert_eq!(Counter::hpet(capabilities), None, "{capabilities:#x}");
        }
        assert!(Counter::hpet(100_000_000 << 32).is_some());
        // 14.318 MHz, as in real chipsets.
        assert_eq!(
            Counter::hpet(0x0429_b17f_8086_a701).map(Counter::hz),
            Some(14_318_179)
        );
    }

    #[test]
    fn rates_outside_the_plausible_are_no_tsc() {
        assert_eq!(Counter::tsc(0), None);
        assert_eq!(Counter::tsc(99_999_999), None);
        assert_eq!(Counter::tsc(20_000_000_001), None);
    }

    #[test]
    fn five_milliseconds() {
        assert_eq!(Counter::PIT.clocks_in(5_000_000), 5_965);
        assert_eq!(Counter::pm_timer(true).clocks_in(5_000_000), 17_897);
        assert_eq!(Counter::PIT.clocks_in(0), 1);
        assert_eq!(Counter::PIT.rate_of(11_473_040, 5_966), 2294573035);
    }

    #[test]
    fn rates_are_rounded_to_the_nearest() {
        let hpet = Counter::hpet(QEMU_HPET).expect("valid");
        assert_eq!(hpet.rate_of(1, 100_000_000), 1);
        assert_eq!(hpet.rate_of(1, 200_000_001), 0);
        assert_eq!(hpet.rate_of(1, 199_999_999), 1);
        assert_eq!(hpet.rate_of(0, 0), 0);
        assert_eq!(hpet.rate_of(u64::MAX, 0), u64::MAX);
        assert_eq!(Counter::PIT.rate_of(u64::MAX, u64::MAX), 1_193_182);
    }

    proptest! {
        #[test]
        fn what_has_elapsed_is_what_was_added(which in 0_usize..6, start in 0_u64.., more in 0_u64..) {
            let counter = all()[which];
            let more = more & counter.mask;
            let later = match counter.direction {
                super::Direction::Up => start.wrapping_add(more),
                super::Direction::Down => start.wrapping_sub(more),
            };
            prop_assert_eq!(counter.elapsed(start, later), more);
            prop_assert_eq!(counter.elapsed(start & counter.mask, later & counter.mask), more);
        }

        #[test]
        fn a_rate_comes_back(which in 0_usize..6, hz in 1_000_000_u64..20_000_000_000) {
            let counter = all()[which];
            let clocks = counter.clocks_in(5_000_000);
            let femtos = u128::from(clocks) * u128::from(counter.period_fs);
            let counted = (u128::from(hz) * femtos / 1_000_000_000_000_000) as u64;
            // One tick more or less in 5 ms.
            prop_assert!(counter.rate_of(counted, clocks).abs_diff(hz) <= 201);
        }

        #[test]
        fn no_reading_is_too_much(which in 0_usize..6, counted in 0_u64.., clocks in 0_u64.., capabilities in 0_u64..) {
            let counter = Counter::hpet(capabilities).unwrap_or(all()[which]);
            let _ = counter.rate_of(counted, clocks);
            let _ = counter.clocks_in(counted);
            prop_assert!(counter.hz() > 0);
            prop_assert!(counter.rate_of(counted, clocks) >= counter.rate_of(counted / 2, clocks));
        }
    }
}
