//! The interrupt descriptor table: 256 gates to the stubs of `entry.S`.
//!
//! One table for all CPUs: it never changes after [`init`], and each CPU loads it. What differs
//! between CPUs, the stacks, is in their TSS.

use core::{arch::global_asm, mem::MaybeUninit, ptr};

use spin::Once;
use x86_64::{VirtAddr, structures::idt::InterruptDescriptorTable};

use crate::cpu::descriptors::{DOUBLE_FAULT_STACK, MACHINE_CHECK_STACK, NMI_STACK};

global_asm!(include_str!("entry.S"), dispatch = sym super::dispatch);

unsafe extern "C" {
    /// The first of the 256 stubs.
    static interrupt_stubs: u8;
}

/// Distance of the stubs in `entry.S`, in bytes.
const STUB_SIZE: usize = 16;

static IDT: Once<Gates> = Once::new();
/// As long as the BSP has no TSS that would name its stacks.
static EARLY_IDT: Once<Gates> = Once::new();

/// Builds the table and loads it on the BSP, but such a one that all handlers run on the current stack:
/// through a gate with a stack of its own, an NMI that came before there is a TSS would shut the machine
/// down. When there is one, the BSP does as all others and [loads](load) the real one.
///
/// Called once, with the loader's GDT still in use: its 64-bit code segment has the same selector as the
/// kernel's, 8.
pub(crate) fn init() {
    IDT.call_once(|| Gates::new(own_stack));
    EARLY_IDT.call_once(|| Gates::new(|_| 0)).load();
}

/// Loads the table on this CPU.
pub(crate) fn load() {
    IDT.get().expect("the BSP builds the IDT first").load();
}

/// The table. `x86_64`'s own type gives each gate a typed handler, which stable Rust cannot
/// write; so the gates are set through its layout, which is the hardware's: 256 gates of 16 bytes.
#[repr(transparent)]
struct Gates(InterruptDescriptorTable);

impl Gates {
    /// `stack` tells of each vector which stack its handler runs on, see [`gate`](Self::gate).
    fn new(stack: fn(usize) -> u16) -> Self {
        let mut raw = [[0_u64; 2]; 256];
        for (vector, gate) in raw.iter_mut().enumerate() {
            *gate = Self::gate(stub(vector), stack(vector));
        }
        let mut table = MaybeUninit::<InterruptDescriptorTable>::uninit();
        const { assert!(size_of::<InterruptDescriptorTable>() == size_of::<[[u64; 2]; 256]>()) };
        // SAFETY: same size (checked above), and every bit pattern is a valid gate: the type's
        // entries are plain integers.
        unsafe { ptr::copy_nonoverlapping(raw.as_ptr(), table.as_mut_ptr().cast(), raw.len()) };
        // SAFETY: just written in full.
        Self(unsafe { table.assume_init() })
    }

    /// An interrupt gate (Intel SDM 3A, figure 6-8): present, type 0xe (interrupts off on entry),
    /// ring 0, code selector 8, `stack` = 1 + place in the TSS's stack table or 0 for the current
    /// stack.
    fn gate(handler: VirtAddr, stack: u16) -> [u64; 2] {
        const PRESENT_INTERRUPT_GATE: u64 = 0x8e00 << 32;
        const KERNEL_CODE: u64 = 0x08 << 16;
        let address = handler.as_u64();
        let low = (address & 0xffff)
            | KERNEL_CODE
            | u64::from(stack) << 32
            | PRESENT_INTERRUPT_GATE
            | (address >> 16 & 0xffff) << 48;
        [low, address >> 32]
    }

    fn load(&'static self) {
        self.0.load();
    }
}

/// The stacks of those interrupts that must work whatever the current stack is like.
fn own_stack(vector: usize) -> u16 {
    match vector {
        2 => NMI_STACK + 1,
        8 => DOUBLE_FAULT_STACK + 1,
        18 => MACHINE_CHECK_STACK + 1,
        _ => 0,
    }
}

fn stub(vector: usize) -> VirtAddr {
    VirtAddr::from_ptr(&raw const interrupt_stubs) + (vector * STUB_SIZE) as u64
}
