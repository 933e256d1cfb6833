//! Each CPU's own GDT and TSS: the remains of segmentation.
//!
//! The TSS names the stacks for the two interrupts that must work whatever the current stack is
//! like: NMI and double fault (Intel SDM 3A, 6.14.5).

use core::{
    ptr,
    sync::atomic::{AtomicU64, Ordering},
};

use alloc::boxed::Box;
use bringup::CpuIndex;
use x86_64::{
    instructions::tables::load_tss,
    registers::segmentation::{CS, DS, ES, FS, SS, Segment},
    structures::{
        gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector},
        tss::TaskStateSegment,
    },
};

use crate::memory::stack::{self, Purpose};

/// Place of each stack in the TSS's interrupt stack table, from 0.
pub(crate) const NMI_STACK: u16 = 0;
pub(crate) const DOUBLE_FAULT_STACK: u16 = 1;

/// A CPU's GDT, with the TSS that one of its entries points to.
pub(crate) struct Descriptors {
    gdt: GlobalDescriptorTable,
    code: SegmentSelector,
    tss: SegmentSelector,
}

impl Descriptors {
    /// Builds them, and the stacks, for a CPU. Once per CPU, on the BSP. Panics if memory runs out.
    pub(crate) fn allocate(cpu: CpuIndex) -> &'static Self {
        let mut tss = TaskStateSegment::new();
        for (place, purpose) in
            [(NMI_STACK, Purpose::Nmi), (DOUBLE_FAULT_STACK, Purpose::DoubleFault)]
        {
            tss.interrupt_stack_table[usize::from(place)] = stack::allocate(cpu, purpose);
        }
        let tss: &'static TaskStateSegment = Box::leak(Box::new(tss));
        let mut gdt = GlobalDescriptorTable::new();
        let code = gdt.append(Descriptor::kernel_code_segment());
        let tss = gdt.append(Descriptor::tss_segment(tss));
        Box::leak(Box::new(Self { gdt, code, tss }))
    }

    /// Loads them on this CPU, whose they must be, each time that it was started.
    pub(crate) fn load(&'static self) {
        self.gdt.load();
        self.mark_available();
        // Null data segments are right in 64-bit mode (Intel SDM 3A, 3.4.4). GS is left alone:
        // writing its selector would clear the base.
        // SAFETY: the selector is that of the 64-bit kernel code segment in the GDT just loaded.
        unsafe { CS::set_reg(self.code) };
        for set_null in [SS::set_reg, DS::set_reg, ES::set_reg, FS::set_reg] {
            // SAFETY: no code uses these segments' bases or limits in 64-bit mode.
            unsafe { set_null(SegmentSelector::NULL) };
        }
        // SAFETY: the selector is that of the TSS in the GDT just loaded; both are 'static.
        unsafe { load_tss(self.tss) };
    }

    /// Marks the TSS as unused: LTR marks it as busy, which an INIT does not undo, and a second LTR
    /// would fault (Intel SDM 3A, 8.2.3).
    fn mark_available(&self) {
        const BUSY: u64 = 1 << 41;
        let low = &self.gdt.entries()[usize::from(self.tss.index())];
        // SAFETY: entries are transparent `AtomicU64`s, since the CPU writes to them; only this CPU
        // uses this table.
        let low = unsafe { &*ptr::from_ref(low).cast::<AtomicU64>() };
        low.fetch_and(!BUSY, Ordering::Relaxed);
    }
}
