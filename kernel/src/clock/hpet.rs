//! The High Precision Event Timer's main counter.
//!
//! Registers: IA-PC HPET specification 1.0a, section 2.3.

use bootloader_api::BootInfo;
use timebase::{Counter, Reference, tables};
use x86_64::{PhysAddr, VirtAddr, structures::paging::PageTableFlags};

use crate::{acpi, memory::mapping};

/// Where its registers are mapped: the page after the xAPIC's, in the same level-4 entry, 508.
///
/// All of the first 4 GiB is mapped already, but as ordinary memory, write-back. Firmware overrides that by
/// the MTRRs for its devices; this page does not rely on it: its own bits make it uncached whatever the
/// MTRRs say (Intel SDM 3A, table 12-7).
const MMIO: u64 = 0xffff_fe00_0000_1000;

const CAPABILITIES: u64 = 0;
const CONFIGURATION: u64 = 0x10;
const MAIN_COUNTER: u64 = 0xf0;
/// Up to the last register of the first timer; all that is used here lies within.
const SIZE: u64 = 0x120;

/// Bit of the configuration: the main counter counts, and the timers interrupt.
const ENABLE: u32 = 1;

/// The main counter.
pub(super) struct Hpet {
    registers: VirtAddr,
    counter: Counter,
}

impl Hpet {
    /// Maps the HPET that the ACPI tables tell of. `None` if they tell of none, or there is none where
    /// they say. Once.
    pub(super) fn find(boot_info: &BootInfo) -> Option<Self> {
        let table = acpi::table::<::acpi::hpet::HpetTable>(boot_info)?;
        // Below 4 GiB, as on every PC: the CPU might have no further addresses.
        let address = u32::try_from(tables::hpet_address(table)?).ok()?;
        let address = PhysAddr::new(address.into());
        let page = address.align_down(4096_u64);
        let offset = address - page;
        if !address.is_aligned(8_u64) || offset + SIZE > 4096 {
            return None;
        }
        let uncached = PageTableFlags::NO_CACHE | PageTableFlags::WRITE_THROUGH;
        mapping::map(VirtAddr::new(MMIO), page, uncached | PageTableFlags::GLOBAL);
        let registers = VirtAddr::new(MMIO) + offset;
        let capabilities = u64::from(read(registers + CAPABILITIES + 4)) << 32
            | u64::from(read(registers + CAPABILITIES));
        // The lower half of the count alone: it lasts for 43 s at 100 MHz, and one access cannot see half
        // of it before a carry and half after.
        let counter = Counter::hpet(capabilities)?.lower_half();
        Some(Self { registers, counter })
    }

    /// Lets the counter count, if the firmware has not. Nothing else of what the firmware has set is
    /// changed, and the counter goes on afterwards.
    pub(super) fn running(&self) -> &Self {
        let configuration = read(self.registers + CONFIGURATION);
        if configuration & ENABLE == 0 {
            write(self.registers + CONFIGURATION, configuration | ENABLE);
        }
        self
    }
}

impl Reference for Hpet {
    fn counter(&self) -> Counter {
        self.counter
    }

    fn read(&self) -> u64 {
        read(self.registers + MAIN_COUNTER).into()
    }
}

fn read(register: VirtAddr) -> u32 {
    // SAFETY: `find` has mapped the page, the registers lie within it and are aligned, and reading one
    // has no effect.
    unsafe { register.as_ptr::<u32>().read_volatile() }
}

fn write(register: VirtAddr, value: u32) {
    // SAFETY: as for `read`; the caller writes what the register is for, and it touches no memory.
    unsafe { register.as_mut_ptr::<u32>().write_volatile(value) };
}
