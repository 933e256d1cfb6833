//! The guest's last word.
//!
//! QEMU's `isa-debug-exit` device ends the process with status `(value << 1) | 1` when the guest
//! writes `value` to its port, so no value can yield 0: a QEMU that ends with 0 was ended by
//! something else (a reset with `-no-reboot`, a closed window), which is never a pass.

/// I/O port of `-device isa-debug-exit,iobase=0xf4,iosize=4`.
pub const PORT: u16 = 0xf4;

/// How a guest ends. The values are what it writes to [`PORT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ExitCode {
    /// Everything asked for was done and nothing was violated.
    Passed = 0x10,
    /// The kernel ran to its end and found something wrong.
    Failed = 0x11,
    /// A CPU panicked (this includes unhandled exceptions).
    Panicked = 0x12,
    /// The machine or the options were unfit; said on the serial port.
    Unfit = 0x13,
}

impl ExitCode {
    const ALL: [Self; 4] = [Self::Passed, Self::Failed, Self::Panicked, Self::Unfit];

    /// The value to write to [`PORT`].
    #[must_use]
    pub const fn value(self) -> u32 {
        self as u32
    }

    /// The status QEMU's process ends with.
    #[must_use]
    pub const fn status(self) -> i32 {
        ((self as i32) << 1) | 1
    }

    /// The exit code behind a status of QEMU's process, if a guest wrote one of ours.
    #[must_use]
    pub fn from_status(status: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.status() == status)
    }
}
