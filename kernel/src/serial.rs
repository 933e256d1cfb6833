//! The first serial port: whole lines from any CPU, any context, without deadlock.
//!
//! The port is behind a spin lock that is held with interrupts off, so an interrupt handler never
//! finds it held by the CPU it interrupted. An exception or an NMI may; it sees its own CPU as the
//! owner and writes past the lock: a line in the middle of another one rather than none. A panic
//! stops the other CPUs first, and then breaks the lock if one of them held it.

use core::{
    fmt,
    sync::atomic::{AtomicU32, Ordering},
};

use spin::mutex::SpinMutex;
use uart_16550::{BaudRate, Config, Uart16550, backend::PioBackend};

use crate::{cpu, interrupts};

/// I/O port of the first serial port (IBM PC/AT).
const COM1: u16 = 0x3f8;

/// Value of [`OWNER`] when nobody holds the lock.
const NOBODY: u32 = u32::MAX;

static PORT: SpinMutex<Uart16550<PioBackend>> = SpinMutex::new(com1());
static OWNER: AtomicU32 = AtomicU32::new(NOBODY);

/// Sets the port to 115200 baud, 8N1. A machine without one runs on silently.
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
    interrupts::without(|| {
        let me = cpu::current().get() as u32;
        // Relaxed: only this CPU ever writes its own index, and program order covers that.
        if OWNER.load(Ordering::Relaxed) == me {
            write(&mut Port(&mut com1()));
            return;
        }
        let mut port = PORT.lock();
        OWNER.store(me, Ordering::Relaxed);
        write(&mut Port(&mut port));
        OWNER.store(NOBODY, Ordering::Relaxed);
    });
}

/// Takes the lock away from whoever holds it.
///
/// # Safety
/// All other CPUs must have stopped for good.
pub(crate) unsafe fn break_lock() {
    OWNER.store(NOBODY, Ordering::Relaxed);
    if PORT.is_locked() {
        // SAFETY: the holder is stopped (caller's promise) or is this CPU, in a write that the
        // panic has abandoned; so no reference into the lock is used again.
        unsafe { PORT.force_unlock() };
    }
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
