//! The heap: `linked_list_allocator` behind a lock that is held with interrupts off.

use core::{
    alloc::{GlobalAlloc, Layout},
    ptr::{self, NonNull},
};

use linked_list_allocator::Heap;
use protocol::exit::ExitCode;
use spin::mutex::SpinMutex;
use x86_64::instructions::interrupts::without_interrupts;

use super::{frames::FRAMES, mapping::virt};
use crate::{emergency::exit, log};

/// The largest free piece's share that becomes heap; stacks and page tables need the rest.
const SHARE: u64 = 2;

/// The heap does not grow, so it starts large; but first-fit over a huge list is slow.
const MAX_BYTES: u64 = 64 << 20;

/// Less than this is no machine to boot on: 64 CPUs' areas and the storm's devices fit in half.
const MIN_BYTES: u64 = 1 << 20;

#[global_allocator]
static HEAP: KernelHeap = KernelHeap(SpinMutex::new(Heap::empty()));

/// Takes the heap's memory. Once, on the BSP. Ends the kernel if there is less than [`MIN_BYTES`].
pub(super) fn init() {
    let bytes = (FRAMES.largest() / SHARE).min(MAX_BYTES) & !0xfff;
    if bytes < MIN_BYTES {
        log!(
            "too little memory: {} KiB for the heap, {} KiB needed (QEMU: -m)",
            bytes >> 10,
            MIN_BYTES >> 10
        );
        exit(ExitCode::Unfit);
    }
    let start = virt(FRAMES.take(bytes).expect("half of the largest piece"));
    // SAFETY: the memory was just taken, so nothing else uses it, and it is mapped for good.
    unsafe { HEAP.0.lock().init(start.as_mut_ptr(), bytes as usize) };
}

struct KernelHeap(SpinMutex<Heap>);

// SAFETY: `Heap` hands out disjoint blocks of the memory it was given; the lock makes its calls
// exclusive, and as interrupts are off while it is held, a handler never waits for its own CPU.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        without_interrupts(|| self.0.lock().allocate_first_fit(layout))
            .map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(block) = NonNull::new(block) else {
            return;
        };
        without_interrupts(|| {
            // SAFETY: the caller passes a block of this heap and its layout (`GlobalAlloc`).
            unsafe { self.0.lock().deallocate(block, layout) }
        });
    }
}
