//! Stacks, each with an unmapped page below it.
//!
//! One slot of address space per CPU and purpose, so that a hit on a guard page can be named.

use core::{fmt, ops::Range};

use bootloader_api::BootInfo;
use bringup::CpuIndex;
use spin::Once;
use x86_64::{VirtAddr, structures::paging::PageTableFlags};

use super::{frames::FRAMES, mapping};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Ordinary code and most interrupts.
    Main,
    /// Non-maskable interrupts.
    Nmi,
    /// Double faults.
    DoubleFault,
}

/// Level-4 entry 509: used for nothing else.
const BASE: u64 = 0xffff_fe80_0000_0000;
const PAGE: u64 = 4096;
/// Address space per stack. The stack fills its upper end.
const SLOT: u64 = 128 << 10;
const PURPOSES: [Purpose; 3] = [Purpose::Main, Purpose::Nmi, Purpose::DoubleFault];
const END: u64 = BASE + bringup::MAX_CPUS as u64 * PURPOSES.len() as u64 * SLOT;

/// The BSP's first stack, which comes from the loader.
static LOADERS: Once<Range<u64>> = Once::new();

/// The most that all stacks of a CPU and their page tables take.
pub(crate) const BYTES_PER_CPU: u64 =
    Purpose::Main.bytes() + Purpose::Nmi.bytes() + Purpose::DoubleFault.bytes() + 4 * PAGE;

impl Purpose {
    /// Size of such a stack in bytes. The last two only ever report and stop.
    const fn bytes(self) -> u64 {
        match self {
            Self::Main => 64 << 10,
            Self::Nmi | Self::DoubleFault => 16 << 10,
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Main => "main",
            Self::Nmi => "NMI",
            Self::DoubleFault => "double-fault",
        })
    }
}

pub(super) fn init(boot_info: &BootInfo) {
    let bottom = boot_info.kernel_stack_bottom;
    LOADERS.call_once(|| bottom..bottom + boot_info.kernel_stack_len);
}

/// Maps a stack for a CPU and returns its top. Once per CPU and purpose. Panics if memory runs out.
pub(crate) fn allocate(cpu: CpuIndex, purpose: Purpose) -> VirtAddr {
    let top = slot(cpu, purpose) + SLOT;
    let bytes = purpose.bytes();
    let take = |bytes| FRAMES.take(bytes).expect("memory for a stack");
    // The pages that a CPU uses first are taken one by one: they lie close to those of other CPUs.
    let rest = bytes - 2 * PAGE * u64::from(purpose == Purpose::Main);
    let frames = take(rest);
    for offset in (0..bytes).step_by(PAGE as usize) {
        let frame = match offset < rest {
            true => frames + offset,
            false => take(PAGE),
        };
        let page = VirtAddr::new(top - bytes + offset);
        mapping::map(page, frame, PageTableFlags::GLOBAL);
    }
    VirtAddr::new(top)
}

/// Whether `len` bytes at `address` lie in a stack, provided that it was allocated.
pub(crate) fn contains(address: u64, len: u64) -> bool {
    let Some(end) = address.checked_add(len) else {
        return false;
    };
    if let Some(loaders) = LOADERS.get().filter(|stack| stack.contains(&address)) {
        return end <= loaders.end;
    }
    let Some((_, purpose)) = owner(address) else {
        return false;
    };
    let in_slot = (address - BASE) % SLOT;
    in_slot >= SLOT - purpose.bytes() && in_slot + len <= SLOT
}

/// The owner of the guard page that `address` lies in, if any. The whole rest of a slot counts.
pub(crate) fn guard_hit(address: u64) -> Option<(CpuIndex, Purpose)> {
    let loaders = LOADERS.get().map_or(0, |stack| stack.start);
    if (loaders.saturating_sub(PAGE)..loaders).contains(&address) {
        return Some((CpuIndex::BSP, Purpose::Main));
    }
    let (cpu, purpose) = owner(address)?;
    ((address - BASE) % SLOT < SLOT - purpose.bytes()).then_some((cpu, purpose))
}

fn slot(cpu: CpuIndex, purpose: Purpose) -> u64 {
    BASE + (cpu.get() as u64 * PURPOSES.len() as u64 + purpose as u64) * SLOT
}

fn owner(address: u64) -> Option<(CpuIndex, Purpose)> {
    if !(BASE..END).contains(&address) {
        return None;
    }
    let slot = ((address - BASE) / SLOT) as usize;
    let cpu = CpuIndex::new((slot / PURPOSES.len()) as u32);
    Some((cpu, PURPOSES[slot % PURPOSES.len()]))
}
