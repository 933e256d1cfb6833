//! The screen's framebuffer, mapped as write-combining: by the memory types that firmware gives it,
//! each write is one transaction on the bus.

use raw_cpuid::CpuId;
use x86_64::{
    PhysAddr, VirtAddr, registers::model_specific::Msr, structures::paging::PageTableFlags,
};

use super::mapping::{map, physical};
use crate::screen;

/// In level-4 entry 508, behind the devices' registers.
const BASE: u64 = 0xffff_fe00_4000_0000;
const PAGE: u64 = 4096;

/// IA32_PAT: eight memory types, a byte each. Entry 1, by default write-through, is that of pages
/// with [`PageTableFlags::WRITE_THROUGH`] alone; 1 is write-combining, whatever an MTRR says (Intel
/// SDM 3A, 12.5.2.2 and 12.12). The other CPUs take it over when they are started.
const PAT: u32 = 0x277;
const ENTRY_1: u64 = 0xff << 8;
const WRITE_COMBINING: u64 = 1 << 8;

/// Maps it. Once, on the BSP, before others run.
pub(super) fn init() {
    let features = CpuId::new().get_feature_info();
    if !features.is_some_and(|features| features.has_pat()) {
        return;
    }
    let Some((loaders, bytes)) = screen::framebuffer() else {
        return;
    };
    let mut pat = Msr::new(PAT);
    // SAFETY: the register is there (CPUID).
    let types = unsafe { pat.read() };
    // SAFETY: nothing is cached by this entry: no page of the kernel or a loader is write-through.
    unsafe { pat.write(types & !ENTRY_1 | WRITE_COMBINING) };
    let loaders = VirtAddr::from_ptr(loaders);
    let first = loaders.align_down(PAGE);
    for offset in (0..loaders - first + bytes as u64).step_by(PAGE as usize) {
        let frame: PhysAddr = physical(first + offset);
        map(
            VirtAddr::new(BASE + offset),
            frame,
            PageTableFlags::WRITE_THROUGH | PageTableFlags::GLOBAL,
        );
    }
    let start = VirtAddr::new(BASE) + (loaders - first);
    // SAFETY: it has just been mapped, all of it that is written to.
    unsafe { screen::move_to(start.as_mut_ptr()) };
}
