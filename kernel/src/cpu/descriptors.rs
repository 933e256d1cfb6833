//! Each CPU's own GDT and TSS: what is left of segmentation.
//!
//! The TSS names the stacks for the three interrupts that must work whatever the current stack is
//! like: NMI, double fault, machine check (Intel SDM 3A, 7.14.5).

use alloc::boxed::Box;
use x86_64::{
    instructions::tables::load_tss,
    registers::segmentation::{CS, DS, ES, FS, SS, Segment},
    structures::{
        gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector},
        tss::TaskStateSegment,
    },
};

use super::CpuIndex;
use crate::memory::stack::{self, Purpose};

/// Place of each stack in the TSS's interrupt stack table, from 0.
pub(crate) const NMI_STACK: u16 = 0;
pub(crate) const DOUBLE_FAULT_STACK: u16 = 1;
pub(crate) const MACHINE_CHECK_STACK: u16 = 2;

/// Builds and loads this CPU's GDT and TSS. Once per CPU; needs the heap.
///
/// # Panics
/// If memory runs out.
pub(crate) fn load(cpu: CpuIndex) {
    let mut tss = TaskStateSegment::new();
    for (place, purpose) in [
        (NMI_STACK, Purpose::Nmi),
        (DOUBLE_FAULT_STACK, Purpose::DoubleFault),
        (MACHINE_CHECK_STACK, Purpose::MachineCheck),
    ] {
        tss.interrupt_stack_table[usize::from(place)] = stack::allocate(cpu, purpose);
    }
    let tss: &'static TaskStateSegment = Box::leak(Box::new(tss));

    let gdt = Box::leak(Box::new(GlobalDescriptorTable::new()));
    let code = gdt.append(Descriptor::kernel_code_segment());
    let tss = gdt.append(Descriptor::tss_segment(tss));
    gdt.load();
    // SAFETY: the selectors are those of the GDT just loaded: 64-bit kernel code, and the TSS
    // above, which is 'static. Null data segments are right in 64-bit mode (Intel SDM 3A, 3.4.4);
    // GS is left alone: writing its selector would clear the base.
    unsafe {
        CS::set_reg(code);
        SS::set_reg(SegmentSelector::NULL);
        DS::set_reg(SegmentSelector::NULL);
        ES::set_reg(SegmentSelector::NULL);
        FS::set_reg(SegmentSelector::NULL);
        load_tss(tss);
    }
}
