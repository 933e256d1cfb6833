//! From the trampoline to the kernel's own code: what `entry.S` reads.
//!
//! `unsafe` in this module: what assembly reads and calls.

use core::{
    arch::global_asm,
    mem::offset_of,
    ptr,
    sync::atomic::{AtomicPtr, AtomicU64, Ordering},
};

use crate::{
    apic::LocalApic,
    descriptors::{CODE_64_SELECTOR, GDT, gate},
    id::ApicId,
    record::{self, RECORDS, Records, Stage},
    registers,
    slot::{BootSlot, SlotState},
};

/// Read by all CPUs that start. The first [`Starter`](crate::Starter) prepared has it for good.
pub(crate) static SHARED: Shared = Shared {
    scratch: [const { AtomicU64::new(0) }; SCRATCH_SIZE / 8],
    cr3: AtomicU64::new(0),
    cr4: AtomicU64::new(0),
    low_cr3: AtomicU64::new(0),
    mmio: AtomicPtr::new(ptr::null_mut()),
    ids: AtomicPtr::new(ptr::null_mut()),
    ids_len: AtomicU64::new(0),
    slots: AtomicPtr::new(ptr::null_mut()),
    starter: AtomicPtr::new(ptr::null_mut()),
    main: AtomicPtr::new(ptr::null_mut()),
    records: AtomicPtr::new(ptr::null_mut()),
    bell: AtomicU64::new(0),
    idt: [const { [const { AtomicU64::new(0) }; 2] }; IDT_LEN],
};

/// Written before the first SIPI, but for `scratch`.
#[repr(C, align(16))]
pub(crate) struct Shared {
    /// Where exceptions push before a CPU has its own stack. Never read.
    scratch: [AtomicU64; SCRATCH_SIZE / 8],
    /// The kernel's page tables, and all of its CR4.
    pub(crate) cr3: AtomicU64,
    pub(crate) cr4: AtomicU64,
    /// The trampoline's page tables.
    pub(crate) low_cr3: AtomicU64,
    /// The local APIC's page; null in x2APIC mode.
    pub(crate) mmio: AtomicPtr<u32>,
    pub(crate) ids: AtomicPtr<u32>,
    pub(crate) ids_len: AtomicU64,
    slots: AtomicPtr<BootSlot>,
    /// The argument of `main`.
    starter: AtomicPtr<()>,
    main: AtomicPtr<()>,
    pub(crate) records: AtomicPtr<Records<RECORDS>>,
    /// The APIC command by which a CPU that parks reports; 0 for none.
    pub(crate) bell: AtomicU64,
    idt: [[AtomicU64; 2]; IDT_LEN],
}

const IDT_LEN: usize = 32;
const SCRATCH_SIZE: usize = 512;
/// Distance of the stubs for exceptions in `entry.S`.
const STUB_SIZE: usize = 16;

impl Shared {
    /// Makes `starter` the one that all CPUs come to: each claims one of its `slots`, and calls
    /// `main` with it and its index. `false`: there is one.
    pub(crate) fn claim(
        &'static self,
        starter: *mut (),
        slots: &'static [BootSlot],
        main: *mut (),
    ) -> bool {
        // Relaxed: a CPU sees what is written here by way of its boot slot's state.
        let found = self.starter.compare_exchange(
            ptr::null_mut(),
            starter,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if found.is_err() {
            return false;
        }
        self.main.store(main, Ordering::Relaxed);
        self.slots.store(slots.as_ptr().cast_mut(), Ordering::Relaxed);
        for (vector, [low_half, high_half]) in self.idt.iter().enumerate() {
            let stub = &raw const bringup_stubs as u64 + (vector * STUB_SIZE) as u64;
            low_half.store(gate(CODE_64_SELECTOR, stub as u32), Ordering::Relaxed);
            high_half.store(stub >> 32, Ordering::Relaxed);
        }
        true
    }

    pub(crate) fn apic(&self) -> LocalApic {
        let page = self.mmio.load(Ordering::Relaxed);
        LocalApic { page }
    }

    /// The records; `None` before the low pages are set up.
    pub(crate) fn records(&self) -> Option<&'static Records<RECORDS>> {
        // SAFETY: null, or the records in the low pages, which stay the crate's, and are atomics.
        unsafe { self.records.load(Ordering::Acquire).as_ref() }
    }

    pub(crate) fn idt(&self) -> [[u64; 2]; IDT_LEN] {
        let load = |half: &AtomicU64| half.load(Ordering::Relaxed);
        self.idt.each_ref().map(|gate| gate.each_ref().map(load))
    }

    /// Records this CPU, rings, and parks it.
    pub(crate) fn record_and_park(&self, id: ApicId, what: u32, address: u64) -> ! {
        if let Some(records) = self.records() {
            records.push(id, what, address);
        }
        let bell = self.bell.load(Ordering::Relaxed);
        if bell != 0 {
            // SAFETY: an interrupt that the kernel has asked for (`Starter::notify`).
            unsafe { self.apic().write_command(bell) };
        }
        // SAFETY: a CPU that was started is in ring 0.
        unsafe { registers::park() }
    }
}

global_asm!(
    include_str!("cpuid.S"),
    include_str!("entry.S"),
    SHARED = sym SHARED,
    CR3 = const offset_of!(Shared, cr3),
    CR4 = const offset_of!(Shared, cr4),
    LOW_CR3 = const offset_of!(Shared, low_cr3),
    MMIO = const offset_of!(Shared, mmio),
    IDS = const offset_of!(Shared, ids),
    IDS_LEN = const offset_of!(Shared, ids_len),
    SLOTS = const offset_of!(Shared, slots),
    STARTER = const offset_of!(Shared, starter),
    MAIN = const offset_of!(Shared, main),
    RECORDS = const offset_of!(Shared, records),
    BELL = const offset_of!(Shared, bell),
    GDT = sym GDT,
    GDT_LIMIT = const size_of_val(&GDT) - 1,
    IDT = const offset_of!(Shared, idt),
    IDT_LIMIT = const IDT_LEN * 16 - 1,
    SCRATCH = const offset_of!(Shared, scratch),
    SCRATCH_SIZE = const SCRATCH_SIZE,
    ENTRIES = const offset_of!(Records<RECORDS>, entries),
    RECORD_COUNT = const RECORDS,
    SLOT_SIZE = const size_of::<BootSlot>(),
    SLOT_STATE = const offset_of!(BootSlot, state),
    SLOT_STACK = const offset_of!(BootSlot, stack_top),
    SLOT_STAMPS = const offset_of!(BootSlot, stamps),
    EXPECTED = const SlotState::Expected as u32,
    ARRIVED = const SlotState::Arrived as u32,
    VALID = const record::VALID,
    LONG = const Stage::Long as u32,
    ENTRY = const Stage::Entry as u32,
    RUST = const Stage::Rust as u32,
    NOT_EXPECTED = const record::NOT_EXPECTED,
);

unsafe extern "C" {
    static bringup_stubs: u8;
    pub(crate) fn bringup_entry() -> !;
}

// The CPU pushes to an aligned stack.
const _: () = assert!((offset_of!(Shared, scratch) + SCRATCH_SIZE).is_multiple_of(16));
