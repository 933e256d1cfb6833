//! The interrupt descriptor table: 256 gates to the stubs of `entry.S`.
//!
//! One table for all CPUs. The stacks, which differ between them, are in their TSS.

use core::{arch::global_asm, array};

use spin::Once;
use x86_64::{VirtAddr, instructions::tables::lidt, structures::DescriptorTablePointer};

use crate::cpu::descriptors::{DOUBLE_FAULT_STACK, NMI_STACK};

global_asm!(include_str!("entry.S"), dispatch = sym super::dispatch::dispatch);

unsafe extern "C" {
    /// The first of the 256 stubs.
    static interrupt_stubs: u8;
}

/// Distance of the stubs in `entry.S`, in bytes.
const STUB_SIZE: usize = 16;

static EARLY: Once<Gates> = Once::new();
static IDT: Once<Gates> = Once::new();

/// Builds the tables, and loads an early one on the BSP, whose gates all use the current stack:
/// there is no TSS yet. The loader's GDT, whose code selector is 8, too, is still in use.
pub(crate) fn init() {
    IDT.call_once(|| gates(stack_of));
    load_table(EARLY.call_once(|| gates(|_| 0)));
}

/// Loads the table on this CPU, which has its TSS.
pub(crate) fn load() {
    load_table(IDT.get().expect("the BSP builds the IDT first"));
}

/// Which stack of the TSS an interrupt uses: 1 + its place there, or 0 for the current stack.
fn stack_of(vector: usize) -> u16 {
    match vector {
        2 => NMI_STACK + 1,
        8 => DOUBLE_FAULT_STACK + 1,
        _ => 0,
    }
}

/// The table. `x86_64`'s type wants a typed handler for each gate, which stable Rust cannot write.
type Gates = [[u64; 2]; 256];

fn gates(stack_of: impl Fn(usize) -> u16) -> Gates {
    let first = &raw const interrupt_stubs as u64;
    array::from_fn(|vector| gate(first + (vector * STUB_SIZE) as u64, stack_of(vector)))
}

fn load_table(gates: &'static Gates) {
    let table = DescriptorTablePointer {
        limit: (size_of::<Gates>() - 1) as u16,
        base: VirtAddr::from_ptr(gates),
    };
    // SAFETY: 256 gates, for good, each to its stub.
    unsafe { lidt(&table) }
}

/// An interrupt gate (Intel SDM 3A, figure 6-8): present, type 0xe (interrupts off on entry), ring
/// 0, code selector 8, `stack` = 1 + place in the TSS's stack table or 0 for the current stack.
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
