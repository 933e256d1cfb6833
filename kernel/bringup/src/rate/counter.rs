//! Counters whose rate is known: how wide, which way, how fast.

use super::TSC_HZ;

/// How a counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Ones in the bits that count.
    mask: u64,
    counts_down: bool,
    /// Femtoseconds (10^-15 s) from one clock to the next; not 0.
    period_fs: u64,
}

impl Counter {
    /// A channel of the 8254 that counts down from 65536: comes round after 55 ms.
    ///
    /// Its input clock is a third of the NTSC colour carrier, 315/88 MHz (Intel 8254 data sheet;
    /// IBM PC technical reference).
    pub const PIT: Self = Self { mask: 0xffff, counts_down: true, period_fs: 838_095_238 };

    /// ACPI's power management timer: the colour carrier itself, rounded 3.579545 MHz (ACPI 6.5,
    /// section 4.8.2.1). With 24 bits it comes round after 4.7 s; with 32 (flag `TMR_VAL_EXT` of
    /// the FADT) after 20 minutes.
    #[must_use]
    pub const fn pm_timer(is_32_bit: bool) -> Self {
        Self::up(if is_32_bit { 0xffff_ffff } else { 0xff_ffff }, 279_365_079)
    }

    /// The lower 32 bits of the HPET's main counter, which all chipsets can read in one access;
    /// `capabilities` is the register of that name (IA-PC HPET 1.0a, section 2.3.4), whose upper
    /// half is the period in femtoseconds.
    ///
    /// `None` if there is no HPET, whose registers then read as zeros or ones: the period must be
    /// at most 100 ns; and at least 0.1 ns, so that 32 bits last for longer than any measurement.
    #[must_use]
    pub fn hpet(capabilities: u64) -> Option<Self> {
        let period_fs = capabilities >> 32;
        let is_likely = (100_000..=100_000_000).contains(&period_fs);
        is_likely.then_some(Self::up(0xffff_ffff, period_fs))
    }

    /// A 64-bit counter that counts up at this rate: a TSC whose rate is known. `None` if the rate
    /// is outside [`TSC_HZ`].
    #[must_use]
    pub fn tsc(hz: u64) -> Option<Self> {
        let is_likely = TSC_HZ.contains(&hz);
        is_likely.then(|| Self::up(u64::MAX, FEMTOS_PER_SECOND / hz))
    }

    const fn up(mask: u64, period_fs: u64) -> Self {
        Self { mask, counts_down: false, period_fs }
    }

    /// Clocks from one reading to a later one. Right if less time has passed than the counter takes
    /// to come round: full rounds cannot be seen. Bits above the counter's own are ignored.
    pub(super) fn elapsed(self, from: u64, to: u64) -> u64 {
        let forward = match self.counts_down {
            true => from.wrapping_sub(to),
            false => to.wrapping_sub(from),
        };
        forward & self.mask
    }

    /// Whether it takes longer to come round than a CPU is ever away: a second. The 8254 does not.
    pub(super) fn outlasts_pauses(self) -> bool {
        self.clocks_in(1_000_000_000) <= self.mask
    }

    /// Clocks in `nanos`, at least one.
    pub(super) fn clocks_in(self, nanos: u64) -> u64 {
        let clocks = u128::from(nanos) * 1_000_000 / u128::from(self.period_fs);
        u64::try_from(clocks).unwrap_or(u64::MAX).max(1)
    }

    /// The rate in Hz, rounded to the nearest, of another counter that has counted `counted` while
    /// this one has counted `clocks`. No clocks count as one.
    pub(super) fn rate_of(self, counted: u64, clocks: u64) -> u64 {
        let femtos = u128::from(clocks.max(1)) * u128::from(self.period_fs);
        // Less than 2^64 * 2^50.
        let rate = (u128::from(counted) * u128::from(FEMTOS_PER_SECOND) + femtos / 2) / femtos;
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}

const FEMTOS_PER_SECOND: u64 = 1_000_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::Counter;

    /// QEMU's HPET: 10 ns, 64 bits, three timers, vendor 0x8086.
    const QEMU_HPET: u64 = 0x0098_9680_8086_a201;

    fn all() -> [Counter; 5] {
        [
            Counter::PIT,
            Counter::pm_timer(false),
            Counter::pm_timer(true),
            Counter::hpet(QEMU_HPET).expect("QEMU has one"),
            Counter::tsc(2_000_000_000).expect("plausible"),
        ]
    }

    #[test]
    fn rates_are_those_of_the_data_sheets() {
        let clocks = all().map(|counter| counter.clocks_in(1_000_000_000));
        assert_eq!(clocks, [1_193_181, 3_579_545, 3_579_545, 100_000_000, 2_000_000_000]);
        // 14.318 MHz, as in real chipsets.
        let hpet = Counter::hpet(0x0429_b17f_8086_a701).expect("valid");
        assert_eq!(hpet.clocks_in(1_000_000_000), 14_318_179);
        assert_eq!(Counter::PIT.clocks_in(5_000_000), 5_965);
        assert_eq!(Counter::PIT.clocks_in(0), 1);
    }

    #[test]
    fn counters_come_round_at_their_widths() {
        let [pit, short, long, hpet, tsc] = all();
        for (counter, from, to, expected) in [
            (pit, 100, 40, 60),
            // 65536 reads as 0: the first clock leads from there to 65535.
            (pit, 0, 0xffff, 1),
            (pit, 5, 0xfff0, 21),
            (pit, 7, 7, 0),
            (short, 0xff_ffff, 1, 2),
            // The upper eight bits of a 24-bit timer should read as 0.
            (short, 0xab00_0001, 0xcd00_0003, 2),
            (long, 0xffff_ffff, 1, 2),
            (long, 0xff_ffff, 0x100_0001, 2),
            (hpet, 0xffff_ffff, 1, 2),
            (tsc, 0xffff_ffff, 0x1_0000_0001, 2),
            (tsc, u64::MAX, 1, 2),
        ] {
            let elapsed = counter.elapsed(from, to);
            assert_eq!(elapsed, expected, "{counter:?}: {from:#x} to {to:#x}");
        }
        assert_eq!(all().map(Counter::outlasts_pauses), [false, true, true, true, true]);
    }

    #[test]
    fn a_counter_that_cannot_be_is_none() {
        for capabilities in [0, u64::MAX, 0x8086_a201, 100_000_001 << 32, 99_999 << 32] {
            assert_eq!(Counter::hpet(capabilities), None, "{capabilities:#x}");
        }
        assert!(Counter::hpet(100_000_000 << 32).is_some());
        for hz in [0, 99_999_999, 20_000_000_001] {
            assert_eq!(Counter::tsc(hz), None);
        }
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
        assert_eq!(Counter::PIT.rate_of(11_473_040, 5_966), 2_294_573_035);
    }
}
