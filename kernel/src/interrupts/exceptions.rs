//! Exceptions: the kernel expects none, so each is reported in full and ends it. So does a panic.

use core::{fmt, panic::PanicInfo};

use x86_64::{
    registers::control::{Cr2, Cr3},
    structures::idt::ExceptionVector,
};

use super::{backtrace, frame::Frame};
use crate::{emergency, memory::stack};

const DOUBLE_FAULT: u8 = 8;
const PAGE_FAULT: u8 = 14;

/// Reports the exception with registers, CPU and backtrace, and ends the kernel; or this CPU alone,
/// if the kernel [can do without it](emergency::LEAVE_OUT).
pub(super) fn report(vector: u8, frame: &Frame) -> ! {
    let text = fmt::from_fn(|f| describe(vector, frame, f));
    emergency::leave_out(format_args!("{text}"), Some(vector), frame.rip);
    emergency::report(format_args!("{text}"), |line| backtrace::from(frame.rip, frame.rbp, line))
}

#[cfg_attr(target_os = "none", panic_handler)]
#[cfg_attr(not(target_os = "none"), expect(dead_code))]
fn panic(info: &PanicInfo<'_>) -> ! {
    emergency::leave_out(format_args!("PANIC {info}"), None, 0);
    emergency::report(format_args!("{info}"), |line| backtrace::here(line))
}

fn describe(vector: u8, r: &Frame, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "exception {vector}")?;
    if let Ok(name) = ExceptionVector::try_from(vector) {
        write!(f, " ({name:?})")?;
    }
    if let PAGE_FAULT | DOUBLE_FAULT = vector {
        let address = Cr2::read_raw();
        if let Some((cpu, purpose)) = stack::guard_hit(address) {
            write!(f, ": stack overflow: {purpose} stack of {cpu}")?;
        }
        write!(f, ": address {address:#x}")?;
    }
    if vector == PAGE_FAULT {
        // Error code bits (Intel SDM 3A, 4.7).
        let [present, write, fetch] = [0, 1, 4].map(|bit| r.error_code >> bit & 1 == 1);
        let access = match (fetch, write) {
            (true, _) => "execute",
            (_, true) => "write",
            _ => "read",
        };
        let why = if present { "forbidden" } else { "not mapped" };
        write!(f, ", {access}, {why}")?;
    }
    write!(f, ", error code {:#x}", r.error_code)?;
    const NAMES: [&str; 19] = [
        "rip", "rsp", "rflags", "cr3", "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8", "r9",
        "r10", "r11", "r12", "r13", "r14", "r15",
    ];
    let cr3 = Cr3::read_raw().0.start_address().as_u64();
    let values = [
        r.rip, r.rsp, r.rflags, cr3, r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rbp, r.r8, r.r9,
        r.r10, r.r11, r.r12, r.r13, r.r14, r.r15,
    ];
    for (place, (name, value)) in NAMES.into_iter().zip(values).enumerate() {
        f.write_str(if place % 4 == 0 { "\n" } else { " " })?;
        write!(f, "{name:>6} {value:016x}")?;
    }
    Ok(())
}
