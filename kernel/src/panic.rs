//! A panic on any CPU: the others stop, one report, the end.

use core::panic::PanicInfo;

use crate::{emergency, interrupts::backtrace};

#[cfg_attr(target_os = "none", panic_handler)]
#[cfg_attr(not(target_os = "none"), expect(dead_code))]
fn panic(info: &PanicInfo<'_>) -> ! {
    emergency::leave_out(format_args!("PANIC {info}"), None, 0);
    emergency::report(format_args!("{info}"), |line| backtrace::here(line))
}
