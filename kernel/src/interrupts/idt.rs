//! The interrupt descriptor table: 256 gates to the stubs of `entry.S`.
//!
//! One table for all CPUs: it never changes after [`init`], and each CPU loads it. What differs
//! between CPUs, the stacks, is in their TSS.

use core::{arch::global_asm, mem::MaybeUninit, ptr};

use spin::Once;
use x86_64::structures::idt::InterruptDescriptorTable;

use crate::cpu::descriptors::{DOUBLE_FAULT_STACK, MACHINE_CHECK_STACK, NMI_STACK};

global_asm!(include_str!("entry.S"), dispatch = sym super::dispatch::dispatch);

unsafe extern "C" {
    /// The first of the 256 stubs.
    static interrupt_stubs: u8;
}

/// Distance of the stubs in `entry.S`, in bytes.
const STUB_SIZE: usize = 16;

static EARLY: Once<Gates> = Once::new();
static IDT: Once<Gates> = Once::new();

/// Builds the tables, and loads an early one on the BSP, whose gates all use the current stack: there is no
/// TSS yet that could tell another. Called once, with the loader's GDT still in use: its 64-bit code segment
/// has the same selector as the kernel's, 8.
pub(crate) fn init() {
    IDT.call_once(|| Gates::new(stack_of));
    EARLY.call_once(|| Gates::new(|_| 0)).load();
}

/// Loads the table on this CPU, which has its TSS.
pub(crate) fn load() {
    IDT.get().expect("the BSP builds the IDT first").load();
}

/// Which stack of the TSS an interrupt uses: 1 + its place there, or 0 for the current stack.
fn stack_of(vector: usize) -> u16 {
    match vector {
        2 => NMI_STACK + 1,
        8 => DOUBLE_FAULT_STACK + 1,
        18 => MACHINE_CHECK_STACK + 1,
        _ => 0,
    }
}

/// The table. `x86_64`'s own type gives each gate a typed handler, which stable Rust cannot
/// write; so the gates are set through its layout, which is the hardware's: 256 gates of 16 bytes.
#[repr(transparent)]
struct Gates(InterruptDescriptorTable);

impl Gates {
    fn new(stack_of: impl Fn(usize) -> u16) -> Self {
        let mut raw = [[0_u64; 2]; 256];
        for (vector, gate) in raw.iter_mut().enumerate() {
            *gate = self::gate(stub(vector), stack_of(vector));
        }
        let mut table = MaybeUninit::<InterruptDescriptorTable>::uninit();
        const { assert!(size_of::<InterruptDescriptorTable>() == size_of::<[[u64; 2]; 256]>()) };
        // SAFETY: same size (checked above), and every bit pattern is a valid gate: the type's
        // entries are plain integers.
        unsafe { ptr::copy_nonoverlapping(raw.as_ptr(), table.as_mut_ptr().cast(), raw.len()) };
        // SAFETY: just written in full.
        Self(unsafe { table.assume_init() })
    }

    fn load(&'static self) {
        self.0.load();
    }
}

/// An interrupt gate (Intel SDM 3A, figure 6-8): present, type 0xe (interrupts off on entry),
/// ring 0, code selector 8, `stack` = 1 + place in the TSS's stack table or 0 for the current
/// stack.
fn gate(handler: u64, stack: u16) -> [u64; 2] {
    const PRESENT_INTERRUPT_GATE: u64 = 0x8e00 << 32;
    const KERNEL_CODE: u64 = 0x08 << 16;
    let low = (handler & 0xffff)
        | KERNEL_CODE
        | u64::from(stack) << 32
        | PRESENT_INTERRUPT_GATE
        | (handler >> 16 & 0xffff) << 48;
    [low, handler >> 32]
}

fn stub(vector: usize) -> u64 {
    &raw const interrupt_stubs as u64 + (vector * STUB_SIZE) as u64
}
