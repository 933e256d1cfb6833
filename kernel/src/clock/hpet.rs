//! The High Precision Event Timer's main counter.
//!
//! Registers: IA-PC HPET specification 1.0a, section 2.3.

use bringup::rate::Counter;

use crate::{
    firmware::hpet::{self, CAPABILITIES, CONFIGURATION},
    memory::Registers,
};

const MAIN_COUNTER: u64 = 0xf0;

/// Bit of the configuration: the main counter counts, and the timers interrupt.
const ENABLE: u32 = 1;

/// The main counter.
pub(super) struct Hpet {
    pub(super) counter: Counter,
    registers: Registers,
}

impl Hpet {
    /// `None` if there is no HPET, or what it says of its rate cannot be.
    pub(super) fn find() -> Option<Self> {
        let registers = hpet::registers()?;
        let [low, high] = [CAPABILITIES, CAPABILITIES + 4].map(|half| registers.read(half));
        let capabilities = u64::from(high) << 32 | u64::from(low);
        // Of the lower half of the count: it lasts for 43 s at 100 MHz, and one access cannot see half
        // of it before a carry and half after.
        let counter = Counter::hpet(capabilities)?;
        Some(Self { counter, registers })
    }

    /// Lets the counter count, if the firmware has not. Nothing else of what the firmware has set is
    /// changed, and the counter goes on afterwards.
    pub(super) fn running(&self) -> &Self {
        let configuration = self.registers.read(CONFIGURATION);
        if configuration & ENABLE == 0 {
            self.registers.write(CONFIGURATION, configuration | ENABLE);
        }
        self
    }

    /// Its count.
    pub(super) fn read(&self) -> u64 {
        self.registers.read(MAIN_COUNTER).into()
    }
}
