//! A panic on any CPU: the others stop, one report, the end.

use core::panic::PanicInfo;

use crate::{emergency, interrupts::backtrace};

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    emergency::leave_out(format_args!("PANIC {info}"), None, 0);
    emergency::report(format_args!("{info}"), |line| backtrace::here(line))
}
