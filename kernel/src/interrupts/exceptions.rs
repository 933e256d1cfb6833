//! Exceptions: the kernel expects none, so each is reported in full and ends it.

use core::fmt;

use x86_64::registers::control::{Cr2, Cr3};

use super::{backtrace, frame::Frame};
use crate::{
    cpu::machine_check,
    emergency,
    memory::stack::{self, Hit},
    time,
};

const DOUBLE_FAULT: u8 = 8;
const PAGE_FAULT: u8 = 14;
const MACHINE_CHECK: u8 = 18;

/// Names by vector (Intel SDM 3A, table 6-1; AMD64 APM 2, table 8-1).
const NAMES: [&str; 22] = [
    "divide error",
    "debug",
    "non-maskable interrupt",
    "breakpoint",
    "overflow",
    "bound range",
    "invalid opcode",
    "device not available",
    "double fault",
    "coprocessor segment overrun",
    "invalid TSS",
    "segment not present",
    "stack segment fault",
    "general protection fault",
    "page fault",
    "reserved",
    "x87 error",
    "alignment check",
    "machine check",
    "SIMD error",
    "virtualization",
    "control protection",
];

/// How long a CPU leaves it to another one to report a machine check.
const REPORT_OF_ANOTHER_NS: u64 = 100_000_000;

/// Reports the exception with registers, CPU and backtrace, and ends the kernel; or this CPU alone, if the
/// kernel [can do without it](emergency::LEAVE_OUT).
pub(super) fn report(vector: u8, frame: &Frame) -> ! {
    let report = Report { vector, frame };
    emergency::leave_out(format_args!("{report}"), Some(vector), frame.rip);
    if vector == MACHINE_CHECK && machine_check::is_of_another_cpu() {
        // That one's report stops this CPU. If none comes, this CPU's is better than none.
        time::spin_for(REPORT_OF_ANOTHER_NS);
    }
    emergency::report(format_args!("{report}"), |line| {
        backtrace::from(frame.rip, frame.rbp, line)
    })
}

struct Report<'a> {
    vector: u8,
    frame: &'a Frame,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Frame {
            rip,
            rsp,
            rflags,
            error_code,
            ..
        } = self.frame;
        let name = NAMES.get(usize::from(self.vector)).unwrap_or(&"reserved");
        write!(f, "exception {}: {name}", self.vector)?;
        if let PAGE_FAULT | DOUBLE_FAULT = self.vector {
            let address = Cr2::read_raw();
            if let Some(Hit { cpu, purpose }) = stack::guard_hit(address) {
                write!(f, ": stack overflow: {purpose} stack of {cpu}")?;
            }
            write!(f, " (address {address:#x}")?;
            if self.vector == PAGE_FAULT {
                // Error code bits (Intel SDM 3A, 4.7).
                let [present, write, fetch] = [0, 1, 4].map(|bit| error_code >> bit & 1 == 1);
                let access = if fetch {
                    "execute"
                } else if write {
                    "write"
                } else {
                    "read"
                };
                let why = if present { "forbidden" } else { "not mapped" };
                write!(f, ", {access}, {why}")?;
            }
            f.write_str(")")?;
        }
        if self.vector == MACHINE_CHECK {
            machine_check::Errors.fmt(f)?;
        }
        let (r, cr3) = (self.frame, Cr3::read_raw().0.start_address());
        writeln!(f, " error code {error_code:#x}")?;
        write!(
            f,
            "    rip {rip:016x} rsp {rsp:016x} rflags {rflags:08x} cr3 {cr3:x}"
        )?;
        let registers = [
            [
                ("rax", r.rax),
                ("rbx", r.rbx),
                ("rcx", r.rcx),
                ("rdx", r.rdx),
            ],
            [
                ("rsi", r.rsi),
                ("rdi", r.rdi),
                ("rbp", r.rbp),
                ("r8 ", r.r8),
            ],
            [
                ("r9 ", r.r9),
                ("r10", r.r10),
                ("r11", r.r11),
                ("r12", r.r12),
            ],
        ];
        for row in registers {
            f.write_str("\n   ")?;
            for (name, value) in row {
                write!(f, " {name} {value:016x}")?;
            }
        }
        write!(
            f,
            "\n    r13 {:016x} r14 {:016x} r15 {:016x}",
            r.r13, r.r14, r.r15
        )
    }
}
