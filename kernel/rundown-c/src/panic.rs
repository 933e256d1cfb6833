//! A panic of the library itself: the platform's `panic`, then a trap.

use core::panic::PanicInfo;

use crate::platform;
use crate::text::Text;

#[panic_handler]
fn panic(what: &PanicInfo<'_>) -> ! {
    if let Some(panic) = platform::table().panic {
        // One line: the message, then where; what prints a `PanicInfo` puts a line break between.
        let text: Text = match what.location() {
            Some(place) => Text::of(format_args!("{} ({place})", what.message())),
            None => Text::of(what.message()),
        };
        // SAFETY: the platform's function, with a text that lives for the call.
        unsafe { panic(text.as_ptr()) };
    }
    loop {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: raises an invalid-opcode exception (Intel SDM volume 2, "UD"), as intended.
        unsafe {
            core::arch::asm!("ud2", options(nomem, nostack));
        }
        core::hint::spin_loop();
    }
}
