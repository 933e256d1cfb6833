//! The pages below 1 MiB in which CPUs wake up.
//!
//! Two of them: one with code and what it reads, executable and not writable once there are page tables;
//! one that is written, not executable: see `trampoline.S`. They are taken from the memory map when CPUs
//! are to be started. They are given back when every CPU that was started is accounted for: one that was
//! given up may still wake up there one day.
//!
//! Even then a CPU that nobody knows of, and that a broadcast has reached, may be on its way. So what is
//! given back stays as it is, mapping and all, until it is taken again, and only trampolines are taken from
//! that end of memory.
//!
//! `unsafe` in this module: the pages are written through raw pointers.

use core::{arch::global_asm, mem::offset_of, ptr};

use spin::Once;
use x86_64::{
    PhysAddr, VirtAddr,
    registers::{
        control::{Cr0, Cr0Flags, Cr4},
        model_specific::{Efer, EferFlags},
    },
    structures::paging::{PageTableFlags, PhysFrame},
};

use super::{
    entry,
    gdt::{CODE_32_SELECTOR, CODE_64_SELECTOR, DATA_SELECTOR, GDT},
    records::{self, Note, Record, Records},
};
use crate::memory::{self, FRAMES, mapping};

/// What is to be different about a trampoline, to show what comes of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sabotage {
    /// An invalid opcode at one of the marks.
    pub(super) at: Option<Mark>,
    /// Where it leads.
    pub(super) to: Destination,
    /// The CPU waits until its time-stamp counter has come so far.
    pub(super) not_before: u64,
}

/// A place in `trampoline.S`: the first one in each mode at which exceptions are taken care of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Real,
    Protected,
    Long,
}

/// Where a CPU goes when it is in long mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Destination {
    /// To the kernel's entry.
    #[default]
    Kernel,
    /// To an entry that begins with an invalid opcode.
    FaultyEntry,
    /// To an instruction that writes to the first page, which it is in.
    Write,
    /// To the second page.
    Execute,
}

/// A trampoline that is ready to be used.
#[derive(Debug)]
pub(super) struct Trampoline {
    page: PhysAddr,
    sabotage: Sabotage,
}

impl Trampoline {
    /// Takes two pages and fills them. BSP, thread context. `None`: the memory map has no two usable
    /// pages below 1 MiB that lie side by side.
    pub(super) fn install(sabotage: Sabotage) -> Option<Self> {
        let page = FRAMES.take_low(BYTES)?;
        let trampoline = Self { page, sabotage };
        let tables = *TABLES.call_once(mapping::new_level_4);
        let flags = [
            PageTableFlags::PRESENT,
            PageTableFlags::PRESENT | PageTableFlags::WRITABLE | PageTableFlags::NO_EXECUTE,
        ];
        for (frame, flags) in [page, page + PAGE].into_iter().zip(flags) {
            // Where it is, so that paging can be switched on underfoot.
            mapping::map_if_new(tables, VirtAddr::new(frame.as_u64()), frame, flags);
        }
        trampoline.fill(tables, sabotage);
        Some(trampoline)
    }

    /// What is different about it.
    pub(super) fn sabotage(&self) -> Sabotage {
        self.sabotage
    }

    /// The page's number, which a SIPI names. (Pages below 1 MiB have numbers below 256.)
    pub(super) fn number(&self) -> u8 {
        (self.page.as_u64() >> 12) as u8
    }

    /// What CPUs have written down in it and has not been read. BSP only.
    pub(super) fn next_note(&self) -> Option<Note> {
        self.notes().next()
    }

    /// Gives the pages back: every CPU that has been sent here has left. Those taken last first.
    pub(super) fn give_back(self) {
        FRAMES.give_low(self.page, BYTES);
    }

    fn fill(&self, tables: PhysFrame, sabotage: Sabotage) {
        let low = self.page.as_u64() as u32;
        let address = |symbol: *const u8| low + offset(symbol) as u32;
        let entry = match sabotage.to {
            Destination::Kernel => entry::address(),
            Destination::FaultyEntry => entry::faulty_address(),
            Destination::Write => address(&raw const trampoline_write).into(),
            Destination::Execute => (self.page + PAGE).as_u64(),
        };
        let at = |field: usize| low + (FIELDS + field) as u32;
        let fields = Fields {
            gdt: GDT,
            ivt: core::array::from_fn(|vector| RealGate {
                offset: (offset(&raw const trampoline_stubs_16) + vector * STUB_SIZE) as u16,
                segment: (low >> 4) as u16,
            }),
            idt_32: core::array::from_fn(|vector| {
                let stub = address(&raw const trampoline_stubs_32) + (vector * STUB_SIZE) as u32;
                gate(CODE_32_SELECTOR, stub)
            }),
            idt_64: core::array::from_fn(|vector| {
                let stub = address(&raw const trampoline_stubs_64) + (vector * STUB_SIZE) as u32;
                [gate(CODE_64_SELECTOR, stub), 0]
            }),
            entry,
            not_before: sabotage.not_before,
            cr0: (Cr0::read() | Cr0Flags::PAGING).bits() as u32,
            // Paging and all: the AP writes CR0 last.
            cr3: tables.start_address().as_u64() as u32,
            cr4: Cr4::read_raw() as u32,
            // The CPU sets LMA itself (Intel SDM 3A, 10.8.5).
            efer: (Efer::read() - EferFlags::LONG_MODE_ACTIVE).bits() as u32,
            gdtr: Pointer::to(at(offset_of!(Fields, gdt)), size_of::<[u64; 4]>()),
            idtr_16: Pointer::to(at(offset_of!(Fields, ivt)), size_of::<[RealGate; 32]>()),
            idtr_32: Pointer::to(at(offset_of!(Fields, idt_32)), size_of::<[u64; 32]>()),
            idtr_64: Pointer::to(at(offset_of!(Fields, idt_64)), size_of::<[[u64; 2]; 32]>()),
            to_32: Far {
                offset: address(&raw const trampoline_32),
                selector: CODE_32_SELECTOR,
            },
            to_64: Far {
                offset: address(&raw const trampoline_64),
                selector: CODE_64_SELECTOR,
            },
        };
        let copy = memory::virt(self.page).as_mut_ptr::<u8>();
        // SAFETY: `FIELDS` bytes of code between two labels (`.org` in the assembly); the page is usable
        // memory that is this trampoline's alone, and mapped.
        unsafe { ptr::copy_nonoverlapping(&raw const trampoline_start, copy, FIELDS) };
        // SAFETY: still within the page.
        let place = unsafe { copy.add(FIELDS) }.cast::<Fields>();
        // SAFETY: as above; the fields end within the page (checked below) and are aligned.
        unsafe { place.write(fields) };
        if let Some(mark) = sabotage.at {
            // SAFETY: a mark lies within the code.
            let victim = unsafe { copy.add(mark.offset()) }.cast::<[u8; 2]>();
            // UD2 (Intel SDM 2B).
            // SAFETY: so do the two bytes, which no CPU is executing yet.
            unsafe { victim.write_unaligned([0x0f, 0x0b]) };
        }
        let notes = (memory::virt(self.page) + PAGE).as_mut_ptr::<Notes>();
        // SAFETY: the second page, as large and as aligned as need be; nobody uses it yet.
        unsafe { notes.write(Notes::new()) };
    }

    fn notes(&self) -> &Records<RECORDS> {
        let notes = (memory::virt(self.page) + PAGE).as_ptr::<Notes>();
        // SAFETY: `fill` has written it; it is shared with CPUs that write to it atomically, and stays
        // for as long as `self`, which gives it back.
        unsafe { &(*notes).records }
    }
}

impl Mark {
    /// Where it is in the page.
    fn offset(self) -> usize {
        offset(match self {
            Self::Real => &raw const trampoline_mark_16,
            Self::Protected => &raw const trampoline_mark_32,
            Self::Long => &raw const trampoline_mark_64,
        })
    }
}

/// The tables that are used while a CPU is in the trampoline: the kernel's upper half, and the pages of
/// trampolines where they are. Made once; all trampolines are mapped in them.
static TABLES: Once<PhysFrame> = Once::new();

const PAGE: u64 = 4096;
const BYTES: u64 = 2 * PAGE;
/// Where the fields begin; the code lies before them.
const FIELDS: usize = 0xa00;
/// Distance of the stubs for exceptions, in bytes.
const STUB_SIZE: usize = 16;
/// What a page holds.
const RECORDS: usize = 200;

/// An interrupt gate of 32 bits, and the lower half of one of 64 bits whose address is below 4 GiB:
/// present, type 0xe, ring 0 (Intel SDM 3A, figures 6-2 and 6-8).
const fn gate(selector: u16, stub: u32) -> u64 {
    let stub = stub as u64;
    stub & 0xffff | (selector as u64) << 16 | 0x8e00 << 32 | (stub >> 16) << 48
}

/// Where a symbol of the trampoline is from its start.
fn offset(symbol: *const u8) -> usize {
    symbol as usize - &raw const trampoline_start as usize
}

/// What `trampoline.S` reads.
#[derive(Debug)]
#[repr(C)]
struct Fields {
    gdt: [u64; 4],
    ivt: [RealGate; 32],
    idt_32: [u64; 32],
    idt_64: [[u64; 2]; 32],
    entry: u64,
    not_before: u64,
    cr0: u32,
    cr3: u32,
    cr4: u32,
    efer: u32,
    gdtr: Pointer,
    idtr_16: Pointer,
    idtr_32: Pointer,
    idtr_64: Pointer,
    to_32: Far,
    to_64: Far,
}

/// An entry of the interrupt table in real mode (Intel SDM 3A, 21.1.4).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct RealGate {
    offset: u16,
    segment: u16,
}

/// What LGDT and LIDT want: limit and base. 64-bit code reads 8 bytes of base, the upper 4 of which are
/// `zero`.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed)]
struct Pointer {
    limit: u16,
    base: u32,
    zero: u32,
}

impl Pointer {
    const fn to(base: u32, bytes: usize) -> Self {
        Self {
            limit: bytes as u16 - 1,
            base,
            zero: 0,
        }
    }
}

/// What a far jump wants.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed)]
struct Far {
    offset: u32,
    selector: u16,
}

/// The second page.
#[derive(Debug)]
#[repr(C)]
struct Notes {
    /// What exceptions push. Nobody reads it.
    stack: [u8; 512],
    records: Records<RECORDS>,
}

impl Notes {
    const fn new() -> Self {
        Self {
            // INT3 (Intel SDM 2A): who executes it, since he can, comes no further.
            stack: [0xcc; 512],
            records: Records::new(),
        }
    }
}

const STACK_TOP: usize = PAGE as usize + offset_of!(Notes, records);
const RECORDS_AT: usize = PAGE as usize + offset_of!(Notes, records);
const ENTRIES_AT: usize = RECORDS_AT + offset_of!(Records<RECORDS>, entries);

const _: () = {
    // The two pages, as `trampoline.S` describes them.
    assert!(FIELDS.is_multiple_of(align_of::<Fields>()));
    assert!(FIELDS + size_of::<Fields>() <= PAGE as usize);
    assert!(size_of::<Notes>() <= PAGE as usize);
    // Real mode: every offset within a segment of 64 KiB, the second page included.
    assert!(BYTES <= 1 << 16);
    // The assembly multiplies by 16.
    assert!(size_of::<Record>() == 16);
    assert!(offset_of!(Record, apic_id) == 0 && offset_of!(Record, what) == 4);
    // The CPU pushes to an aligned stack.
    assert!(STACK_TOP.is_multiple_of(16));
};

global_asm!(
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
    ENTRY = const FIELDS + offset_of!(Fields, entry),
    NOT_BEFORE = const FIELDS + offset_of!(Fields, not_before),
    DATA_SELECTOR = const DATA_SELECTOR,
    CURSOR = const RECORDS_AT + offset_of!(Records<RECORDS>, cursor),
    RECORDS = const RECORDS,
    RECORD_ID = const ENTRIES_AT + offset_of!(Record, apic_id),
    RECORD_WHAT = const ENTRIES_AT + offset_of!(Record, what),
    VALID = const records::VALID,
    REAL = const records::REAL,
    PROTECTED = const records::PROTECTED,
    LONG = const records::LONG,
);

unsafe extern "C" {
    static trampoline_start: u8;
    static trampoline_32: u8;
    static trampoline_64: u8;
    static trampoline_write: u8;
    static trampoline_stubs_16: u8;
    static trampoline_stubs_32: u8;
    static trampoline_stubs_64: u8;
    static trampoline_mark_16: u8;
    static trampoline_mark_32: u8;
    static trampoline_mark_64: u8;
}
