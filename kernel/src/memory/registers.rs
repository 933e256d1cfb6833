//! Pages of device registers.
//!
//! `unsafe` in this module: the registers.

use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::{PhysAddr, VirtAddr, structures::paging::PageTableFlags};

use super::mapping;

/// Level-4 entry 508.
const BASE: u64 = 0xffff_fe00_0000_0000;
const PAGE: u64 = 4096;

/// A device's registers of 32 bits, in one page, which is mapped uncached and for good.
#[derive(Clone, Copy, Debug)]
pub struct Registers(VirtAddr);

impl Registers {
    /// Maps the page in which these registers lie. Each call takes another page of address space.
    /// Panics if memory for page tables runs out.
    ///
    /// # Safety
    /// There are such registers or nothing, and what the caller writes to them touches no memory.
    pub unsafe fn map(address: PhysAddr) -> Self {
        static PAGES: AtomicU64 = AtomicU64::new(0);
        // Relaxed: whose page is whose, nothing else.
        let page = VirtAddr::new(BASE + PAGES.fetch_add(1, Ordering::Relaxed) * PAGE);
        let frame = address.align_down(PAGE);
        let uncached = PageTableFlags::NO_CACHE | PageTableFlags::WRITE_THROUGH;
        mapping::map(page, frame, uncached | PageTableFlags::GLOBAL);
        Self(page + (address - frame))
    }

    pub(crate) fn as_ptr(self) -> *mut u8 {
        self.0.as_mut_ptr()
    }

    /// The register at this offset in bytes.
    pub fn read(self, register: u64) -> u32 {
        // SAFETY: mapped, and checked to lie in the page.
        unsafe { self.pointer(register).read_volatile() }
    }

    /// Writes the register at this offset in bytes.
    pub fn write(self, register: u64, value: u32) {
        // SAFETY: as in `read`; by the caller of `map`, no memory is touched.
        unsafe { self.pointer(register).write_volatile(value) };
    }

    fn pointer(self, register: u64) -> *mut u32 {
        let register = self.0 + register;
        assert!(register.is_aligned(4_u64) && register.align_down(PAGE) == self.0.align_down(PAGE));
        register.as_mut_ptr()
    }
}
