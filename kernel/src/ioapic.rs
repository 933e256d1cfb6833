//! The I/O APICs (Intel 82093AA data sheet): each pin's entry, with its vector and CPU, masked.
//!
//! `unsafe` in this module: the address of the registers.

use alloc::vec::Vec;
use bringup::Madt;
use spin::Once;
use x86_64::PhysAddr;

use crate::memory::Registers;

/// All that answer.
static CHIPS: Once<Vec<Chip>> = Once::new();

/// Finds the controllers. Once, on the BSP.
pub(crate) fn init(madt: &Madt<'_>) {
    CHIPS.call_once(|| {
        let listed = madt.io_apics().map(|listed| listed.address);
        listed.filter_map(Chip::find).collect()
    });
}

/// Masks all entries, but for the firmware's own. One CPU at a time.
pub(crate) fn silence() {
    /// Delivery mode in an entry's lower half, and the one that is for the firmware.
    const DELIVERY: u32 = 0b111 << 8;
    const SMI: u32 = 0b010 << 8;
    const MASKED: u32 = 1 << 16;
    for chip in CHIPS.get().into_iter().flatten() {
        for pin in 0..chip.pins {
            let [low, high] = [0, 1].map(|half| Chip::ENTRIES + 2 * pin + half);
            if chip.read(low) & DELIVERY == SMI {
                // Its work is done behind the kernel's back.
                continue;
            }
            chip.write(low, MASKED);
            chip.write(high, 0);
        }
    }
}

/// One controller. Of its two registers in memory one chooses what the other one reads and writes.
struct Chip {
    registers: Registers,
    pins: u32,
}

impl Chip {
    const SELECT: u64 = 0x00;
    const WINDOW: u64 = 0x10;
    /// Bits 16 to 23: the number of the last pin.
    const VERSION: u32 = 0x01;
    /// Two for each pin.
    const ENTRIES: u32 = 0x10;

    /// `None` if nothing answers at the address.
    fn find(address: u32) -> Option<Self> {
        let address = PhysAddr::new(address.into());
        // Intel's lie 1 KiB apart (82093AA data sheet), AMD's may be at any multiple of 256 bytes.
        if !address.is_aligned(0x100_u64) {
            return None;
        }
        let mut chip = Self {
            // SAFETY: the firmware's word; only entries are written, which touch no memory.
            registers: unsafe { Registers::map(address) },
            pins: 0,
        };
        let version = chip.read(Self::VERSION);
        // The selector has 8 bits, which is room for 120 pins; all ones are what is not there.
        chip.pins = (version >> 16 & 0xff) + 1;
        (version != u32::MAX && chip.pins <= 120).then_some(chip)
    }

    fn read(&self, register: u32) -> u32 {
        self.registers.write(Self::SELECT, register);
        self.registers.read(Self::WINDOW)
    }

    fn write(&self, register: u32, value: u32) {
        self.registers.write(Self::SELECT, register);
        self.registers.write(Self::WINDOW, value);
    }
}
