//! The first serial port: whole lines from any CPU, any context, without deadlock.
//!
//! The port is behind a spin lock that is held with interrupts off, so an interrupt handler never
//! finds it held by the CPU it interrupted. An exception or an NMI may; it sees its own CPU as the
//! owner and writes past the lock: a line in the middle of another one rather than none. A panic
//! stops the other CPUs first, and then breaks the lock if one of them held it. So does who resets a CPU:
//! an INIT takes it out of the midst of a line.
//!
//! The lock is the owner's number: there is no moment at which it is held and nobody knows by whom.

use core::{
    fmt,
    sync::atomic::{AtomicU32, Ordering},
};

use bringup::CpuIndex;
use spin::mutex::SpinMutex;
use uart_16550::{BaudRate, Config, Uart16550, backend::PioBackend};
use x86_64::instructions::interrupts::without_interrupts;

use crate::per_cpu;

/// I/O port of the first serial port (IBM PC/AT).
const COM1: u16 = 0x3f8;

/// Value of [`OWNER`] when nobody holds the lock.
const NOBODY: u32 = u32::MAX;

/// The port as it is set up. Not what others wait for: who owns the lock and finds this in use has broken into
/// a line, and writes to the port as it is by default, byte by byte.
static PORT: SpinMutex<Uart16550<PioBackend>> = SpinMutex::new(com1());
/// Index of the CPU that holds the lock.
static OWNER: AtomicU32 = AtomicU32::new(NOBODY);

/// Sets the port to 115200 baud, 8N1. A machine without one runs on silently. Once, on the BSP, before
/// others run.
pub(crate) fn init() {
    let config = Config {
        baud_rate: BaudRate::Baud115200,
        ..Config::DEFAULT
    };
    // No device: then nobody listens, and nobody can be told.
    let _ = PORT.lock().init(config);
}

/// Calls `write` with the port. What it writes comes out in one piece.
///
/// Any CPU, any context.
pub fn with_port(write: impl FnOnce(&mut dyn fmt::Write)) {
    without_interrupts(|| {
        let me = per_cpu::index().get() as u32;
        // Relaxed: only this CPU ever writes its own index, and program order covers that.
        let is_nested = OWNER.load(Ordering::Relaxed) == me;
        while !is_nested && !try_take(me) {
            core::hint::spin_loop();
        }
        match PORT.try_lock() {
            Some(mut port) => write(&mut Port(&mut port)),
            None => write(&mut Port(&mut com1())),
        }
        if !is_nested {
            give_up(me);
        }
    });
}

/// Takes the lock away from whoever holds it. All other CPUs have stopped for good, or else lines are
/// mixed up.
pub(crate) fn break_lock() {
    OWNER.store(NOBODY, Ordering::Release);
}

/// Takes the lock away from a CPU that has been reset, if it has held it. On another CPU.
pub(crate) fn break_lock_of(cpu: CpuIndex) {
    give_up(cpu.get() as u32);
}

/// Takes the lock if nobody has it.
fn try_take(owner: u32) -> bool {
    // First only look: that leaves the line with whoever has it.
    OWNER.load(Ordering::Relaxed) == NOBODY
        // Acquire: pairs with the release of who has had the lock before.
        && OWNER
            .compare_exchange(NOBODY, owner, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
}

/// Releases the lock if it is this one's.
fn give_up(owner: u32) {
    // Release: pairs with the acquire of who has it next. (It may have been taken away.)
    let _ = OWNER.compare_exchange(owner, NOBODY, Ordering::Release, Ordering::Relaxed);
}

const fn com1() -> Uart16550<PioBackend> {
    // SAFETY: on a PC these ports belong to the first serial port or to nothing.
    match unsafe { Uart16550::new_port(COM1) } {
        Ok(port) => port,
        Err(_) => panic!("a valid port"),
    }
}

struct Port<'a>(&'a mut Uart16550<PioBackend>);

impl fmt::Write for Port<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.send_bytes_exact(text.as_bytes());
        Ok(())
    }
}
