//! What happens when the library itself panics: the platform's `panic`, then a trap.

use core::panic::PanicInfo;

use crate::platform;
use crate::text::Text;

#[panic_handler]
fn panic(what: &PanicInfo<'_>) -> ! {
    if let Some(panic) = platform::table().panic {
        let text = Text::of(what);
        // SAFETY: the platform's function, with a text that lives for the call.
        unsafe { panic(text.as_ptr()) };
    }
    loop {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: raises an invalid-opcode exception (Intel SDM volume 2, "UD"), which is the point.
        unsafe {
            core::arch::asm!("ud2", options(nomem, nostack));
        }
        core::hint::spin_loop();
    }
}
