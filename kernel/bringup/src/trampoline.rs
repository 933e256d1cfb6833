//! The pages below 1 MiB in which CPUs wake up.
//!
//! | page | holds | mapped on the way |
//! |---|---|---|
//! | first | code and what it reads: `trampoline.S`, `Fields` | executable, not writable |
//! | 2 and 3 | a stack and fault records, which CPUs write: `Data` | writable, not executable |
//! | the rest | the tables by which paging is switched on: [`tables`] | not at all |
//!
//! They are the crate's for good: a CPU given up, or not listed, may wake up there one day.
//!
//! `unsafe` in this module: the pages are written through raw pointers.

use core::{arch::global_asm, array, mem::offset_of, ptr, sync::atomic::Ordering};

use crate::{
    cpuid::Cpuid,
    descriptors::{CODE_32_SELECTOR, CODE_64_SELECTOR, DATA_SELECTOR, GDT, gate},
    entry::{self, SHARED},
    kernel::Kernel,
    record::{self, RECORDS, Record, Records, Stage},
    registers::{self, CR0_PG, CR4_LA57, CR4_PAE, EFER, EFER_LMA, EFER_NXE, MISC_ENABLE},
    tables::{self, DATA_PAGES, MAX_LEVELS},
};

/// Pages that the crate needs below 1 MiB, side by side.
pub const LOW_PAGES: usize = 1 + DATA_PAGES + MAX_LEVELS;
const PAGE: u64 = 4096;

/// Writes the pages from the physical address `low` on, for CPUs to wake up there with the page
/// tables and settings of this one.
///
/// # Safety
/// Ring 0. The pages are the crate's, and `kernel` does as [`Kernel`] demands.
pub(crate) unsafe fn install(kernel: &impl Kernel, low: u64) {
    // SAFETY: in ring 0.
    let [cr0, cr3, cr4] = unsafe { registers::control() };
    // SAFETY: every CPU with long mode has it.
    let efer = unsafe { registers::read_msr(EFER) };
    let levels = if cr4 & CR4_LA57 != 0 { 5 } else { 4 };
    let no_execute = efer & EFER_NXE != 0;
    // SAFETY: the frames are the crate's, and the tables that this CPU uses are intact.
    let root = unsafe { tables::build(|at| kernel.virt(at), cr3, levels, low, no_execute) };
    SHARED.cr3.store(cr3, Ordering::Relaxed);
    SHARED.cr4.store(cr4, Ordering::Relaxed);
    SHARED.low_cr3.store(root, Ordering::Relaxed);
    if SHARED.records().is_none() {
        let data = kernel.virt(low + PAGE).cast::<Data>();
        // SAFETY: the data pages, as large and as aligned as need be; no CPU uses them yet.
        unsafe { data.write(Data::new()) };
        // SAFETY: just written.
        let records = unsafe { &raw mut (*data).records };
        // Release: pairs with the load in `Shared::records`.
        SHARED.records.store(records, Ordering::Release);
    }
    let low = low as u32;
    let address = |symbol: *const u8| low + offset(symbol) as u32;
    let stub = |first: *const u8, vector: usize| address(first) + (vector * STUB_SIZE) as u32;
    let pointer = |field: usize, bytes: usize| Pointer {
        limit: bytes as u16 - 1,
        base: low + (FIELDS + field) as u32,
    };
    let fields = Fields {
        gdt: GDT,
        // Offset, then segment (Intel SDM 3A, 21.1.4).
        ivt: array::from_fn(|vector| {
            (low >> 4) << 16 | (stub(&raw const trampoline_stubs_16, vector) - low)
        }),
        idt_32: array::from_fn(|vector| {
            let stub = stub(&raw const trampoline_stubs_32, vector);
            gate(CODE_32_SELECTOR, stub)
        }),
        idt_64: SHARED.idt(),
        entry: entry::bringup_entry as *const () as u64,
        cr0: (cr0 | CR0_PG) as u32,
        cr3: root as u32,
        cr4: (cr4 & CR4_LA57 | CR4_PAE) as u32,
        // The CPU sets LMA itself (Intel SDM 3A, 10.8.5).
        efer: (efer & !EFER_LMA) as u32,
        misc_enable: nx_switch(efer, &Cpuid::here()),
        gdtr: pointer(offset_of!(Fields, gdt), size_of_val(&GDT)),
        idtr_16: pointer(offset_of!(Fields, ivt), 32 * 4),
        idtr_32: pointer(offset_of!(Fields, idt_32), 32 * 8),
        idtr_64: pointer(offset_of!(Fields, idt_64), 32 * 16),
        to_32: Far { offset: address(&raw const trampoline_32), selector: CODE_32_SELECTOR },
        to_64: Far { offset: address(&raw const trampoline_64), selector: CODE_64_SELECTOR },
    };
    let copy = kernel.virt(low.into());
    // SAFETY: `FIELDS` bytes of code between two labels (`.org` in the assembly), into the first
    // page. A CPU that is still there finds the same bytes before and after.
    unsafe { ptr::copy_nonoverlapping(&raw const trampoline_start, copy, FIELDS) };
    // SAFETY: as above; the fields end within the page (checked below) and are aligned.
    unsafe { fields_of(copy).write(fields) };
}

/// The register by which firmware can forbid NX (XD Bit Disable, bit 34 of IA32_MISC_ENABLE), if NX
/// is in use; 0: none. Intel's CPUs have it from family 6 on (SDM 4, table 2-2).
fn nx_switch(efer: u64, cpuid: &Cpuid<'_>) -> u32 {
    let is_there = cpuid.is_intel() && cpuid.family() >= 6;
    if is_there && efer & EFER_NXE != 0 { MISC_ENABLE } else { 0 }
}

/// Where the fields lie in the first page, which lies at `page`.
pub(crate) fn fields_of(page: *mut u8) -> *mut Fields {
    page.wrapping_add(FIELDS).cast()
}

/// Where the fields begin; the code lies before them.
pub(crate) const FIELDS: usize = 0xa00;
const STUB_SIZE: usize = 16;
/// Where a symbol of the trampoline is from its start.
fn offset(symbol: *const u8) -> usize {
    symbol as usize - &raw const trampoline_start as usize
}

/// Read by `trampoline.S`.
#[repr(C)]
pub(crate) struct Fields {
    gdt: [u64; 4],
    ivt: [u32; 32],
    idt_32: [u64; 32],
    idt_64: [[u64; 2]; 32],
    pub(crate) entry: u64,
    cr0: u32,
    cr3: u32,
    cr4: u32,
    efer: u32,
    misc_enable: u32,
    gdtr: Pointer,
    idtr_16: Pointer,
    idtr_32: Pointer,
    idtr_64: Pointer,
    to_32: Far,
    to_64: Far,
}

#[derive(Clone, Copy, Debug)]
#[repr(C, packed)]
struct Pointer {
    limit: u16,
    base: u32,
}

#[derive(Clone, Copy, Debug)]
#[repr(C, packed)]
struct Far {
    offset: u32,
    selector: u16,
}

/// The pages that are written.
#[repr(C)]
struct Data {
    /// For words that exceptions push. Never read.
    stack: [u8; 512],
    records: Records<RECORDS>,
}

impl Data {
    const fn new() -> Self {
        Self {
            // INT3 (Intel SDM 2A): a CPU that comes to execute it, since it can, comes no further.
            stack: [0xcc; 512],
            records: Records::new(),
        }
    }
}

const STACK_TOP: usize = PAGE as usize + offset_of!(Data, records);
const RECORDS_AT: usize = PAGE as usize + offset_of!(Data, records);
const ENTRIES_AT: usize = RECORDS_AT + offset_of!(Records<RECORDS>, entries);

const _: () = {
    // The pages, as `trampoline.S` describes them.
    assert!(FIELDS.is_multiple_of(align_of::<Fields>()));
    assert!(FIELDS + size_of::<Fields>() <= PAGE as usize);
    assert!(size_of::<Data>() <= DATA_PAGES * PAGE as usize);
    // Real mode: every offset within a segment of 64 KiB, the data pages included.
    assert!((1 + DATA_PAGES) * PAGE as usize <= 1 << 16);
    // The CPU pushes to an aligned stack.
    assert!(STACK_TOP.is_multiple_of(16));
};

global_asm!(
    include_str!("cpuid.S"),
    include_str!("trampoline.S"),
    FIELDS = const FIELDS,
    STUB_SIZE = const STUB_SIZE,
    STACK_TOP = const STACK_TOP,
    GDTR = const FIELDS + offset_of!(Fields, gdtr),
    IDTR_16 = const FIELDS + offset_of!(Fields, idtr_16),
    IDTR_32 = const FIELDS + offset_of!(Fields, idtr_32),
    IDTR_64 = const FIELDS + offset_of!(Fields, idtr_64),
    TO_32 = const FIELDS + offset_of!(Fields, to_32),
    TO_64 = const FIELDS + offset_of!(Fields, to_64),
    CR0 = const FIELDS + offset_of!(Fields, cr0),
    CR3 = const FIELDS + offset_of!(Fields, cr3),
    CR4 = const FIELDS + offset_of!(Fields, cr4),
    EFER = const FIELDS + offset_of!(Fields, efer),
    MISC_ENABLE = const FIELDS + offset_of!(Fields, misc_enable),
    ENTRY = const FIELDS + offset_of!(Fields, entry),
    DATA_SELECTOR = const DATA_SELECTOR,
    CURSOR = const RECORDS_AT + offset_of!(Records<RECORDS>, cursor),
    RECORDS = const RECORDS,
    RECORD_ID = const ENTRIES_AT + offset_of!(Record, apic_id),
    RECORD_WHAT = const ENTRIES_AT + offset_of!(Record, what),
    VALID = const record::VALID,
    REAL = const Stage::Real as u32,
    PROTECTED = const Stage::Protected as u32,
);

unsafe extern "C" {
    static trampoline_start: u8;
    static trampoline_32: u8;
    static trampoline_64: u8;
    static trampoline_stubs_16: u8;
    static trampoline_stubs_32: u8;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpuid::{AMD, INTEL, tests::cpuid};

    #[test]
    fn only_intels_cpus_have_a_switch_that_forbids_nx() {
        for (vendor, family, efer, expected) in [
            (INTEL, 6, EFER_NXE, 0x1a0),
            (INTEL, 15, EFER_NXE, 0x1a0),
            (INTEL, 5, EFER_NXE, 0),
            (AMD, 15, EFER_NXE, 0),
            (INTEL, 6, EFER_LMA, 0),
        ] {
            let answers = [(1, 0, [family << 8, 0, 0, 0])];
            let read = cpuid(1, vendor, &answers);
            let found = nx_switch(efer, &Cpuid::by(&read));
            assert_eq!(found, expected, "{vendor:x?} {family}");
        }
    }
}
