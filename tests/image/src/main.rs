//! The image: see the crate's library.
//!
//! Linked by the kernel's linker script, but at another address and without the kernel's code.
#![no_std]
#![no_main]

// As in the kernel.
#[cfg(not(target_os = "none"))]
extern crate std;

use core::arch::{asm, global_asm};
use core::panic::PanicInfo;

use rundown::per_cpu::gs::Bounds;
use test_image::{BASE, Exports, Imports, SharedRundown, import};

// For boot/direct/link.ld.
global_asm!(".globl image_base", ".set image_base, {base}", base = const BASE);

/// Where the loader comes in, before it registers the table: it uses no object.
#[unsafe(no_mangle)]
extern "C" fn _start(imports: &'static Imports, exports: &mut Exports) {
    import(imports);
    *exports = Exports { sequences: Bounds::of_this_image(), acquire, release, use_often };
}

extern "C" fn acquire(object: &SharedRundown) -> bool {
    object.acquire().is_ok()
}

unsafe extern "C" fn release(object: &SharedRundown) {
    // SAFETY: by the caller.
    unsafe { object.release() };
}

extern "C" fn use_often(object: &SharedRundown, times: usize) -> usize {
    (0..times).filter(|_| object.try_acquire().is_some()).count()
}

#[cfg_attr(target_os = "none", panic_handler)]
#[cfg_attr(not(target_os = "none"), expect(dead_code))]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        // SAFETY: an invalid opcode, which ends the kernel with a report.
        unsafe { asm!("ud2") };
    }
}
