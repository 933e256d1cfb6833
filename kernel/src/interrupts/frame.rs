//! The handlers' view of the code that was interrupted.

/// An interrupt's words on the stack: registers (in the order of `entry.S`), then the CPU's own
/// (Intel SDM 3A, 6.14.2).
#[derive(Clone, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "registers, by their names")]
pub struct Frame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rbp: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rbx: u64,
    pub rax: u64,
    pub vector: u64,
    /// 0 for vectors without one.
    pub error_code: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}
