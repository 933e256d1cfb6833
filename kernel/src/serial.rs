//! The first serial port: whole lines from any CPU, any context, without deadlock.
//!
//! The port is behind a spin lock that is held with interrupts off, so an interrupt handler never
//! finds it held by the CPU it interrupted. An exception or an NMI may; it sees its own CPU as the
//! owner and writes past the lock: a line in the middle of another one rather than none. A panic
//! stops the other CPUs first, and then breaks the lock if one of them held it. So does who resets
//! a CPU: an INIT takes it out of the middle of a line.
//!
//! The lock is the owner's number: there is no moment at which it is held by an unknown owner.

use core::{
    fmt::{self, Write},
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use bringup::CpuIndex;
use spin::mutex::SpinMutex;
use uart_16550::{BaudRate, Config, Uart16550, backend::PioBackend};
use x86_64::instructions::interrupts::without_interrupts;

use crate::per_cpu;

/// I/O port of the first serial port (IBM PC/AT).
const COM1: u16 = 0x3f8;

/// Value of [`OWNER`] when the lock is free.
const NOBODY: u32 = u32::MAX;

/// The port as it is set up. Others wait for [`OWNER`], not for this: an owner that finds this in
/// use has broken into a line, and writes to the port as it is by default, byte by byte.
static PORT: SpinMutex<Uart16550<PioBackend>> = SpinMutex::new(com1());
/// Index of the CPU that holds the lock.
static OWNER: AtomicU32 = AtomicU32::new(NOBODY);

/// Sets the port to 115200 baud, 8N1. Works without one. Once, on the BSP, before others run.
pub(crate) fn init() {
    let config = Config { baud_rate: BaudRate::Baud115200, ..Config::DEFAULT };
    // No device: then there is no log, and nowhere to report that.
    let _ = PORT.lock().init(config);
}

/// Calls `write` with the port. Its output comes out in one piece.
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
        let mut port = PORT.try_lock();
        let mut broken_into = com1();
        let uart = port.as_deref_mut().unwrap_or(&mut broken_into);
        let send = |bytes: &[u8]| uart.send_bytes(bytes);
        write(&mut Port::at_line(send, &LOST, MOST_REFUSALS));
        if !is_nested {
            give_up(me);
        }
    });
}

/// Takes the lock from its holder. All other CPUs have stopped for good, else lines mix.
pub(crate) fn break_lock() {
    OWNER.store(NOBODY, Ordering::Release);
}

/// Takes the lock away from a CPU that has been reset, if it has held it. On another CPU.
pub(crate) fn break_lock_of(cpu: CpuIndex) {
    give_up(cpu.get() as u32);
}

fn try_take(owner: u32) -> bool {
    // First only look: that leaves the line with whoever has it.
    OWNER.load(Ordering::Relaxed) == NOBODY
        // Acquire: pairs with the release of who has had the lock before.
        && OWNER
            .compare_exchange(NOBODY, owner, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
}

fn give_up(owner: u32) {
    // Release: pairs with the acquire of who has it next. (It may have been taken away.)
    let _ = OWNER.compare_exchange(owner, NOBODY, Ordering::Release, Ordering::Relaxed);
}

static LOST: AtomicU64 = AtomicU64::new(0);

/// Ten seconds, where reading the port's state takes the microsecond that it took on an ISA bus. 16
/// bytes, the most there are to wait for, are out after 1.4 ms.
const MOST_REFUSALS: u32 = 10_000_000;

const fn com1() -> Uart16550<PioBackend> {
    // SAFETY: on a PC these ports belong to the first serial port or to nothing.
    match unsafe { Uart16550::new_port(COM1) } {
        Ok(port) => port,
        Err(_) => panic!("a valid port"),
    }
}

/// A writer to a port that may not take the bytes.
///
/// A transmitter that does not get empty for far longer than it takes is given up: bytes after that
/// are lost and counted, until the port takes the start of another line, which then says how many.
#[derive(Debug)]
pub struct Port<'a, S> {
    /// Sends the first of these bytes, without waiting; returns how many.
    send: S,
    /// Bytes lost since the port last took any. Relaxed everywhere: it is only a number.
    lost: &'a AtomicU64,
    /// How many times in a row the port may refuse.
    most_refusals: u32,
}

impl<'a, S: FnMut(&[u8]) -> usize> Port<'a, S> {
    /// One at the start of a line.
    pub fn at_line(mut send: S, lost: &'a AtomicU64, most_refusals: u32) -> Self {
        let has_recovered = lost.load(Ordering::Relaxed) > 0 && send(b"\n") > 0;
        let mut port = Self { send, lost, most_refusals };
        if has_recovered {
            let lost = lost.swap(0, Ordering::Relaxed);
            // Writing cannot fail.
            let _ = writeln!(port, "serial port: {lost} bytes were lost here");
        }
        port
    }
}

impl<S: FnMut(&[u8]) -> usize> fmt::Write for Port<'_, S> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text.as_bytes();
        let mut refusals = 0;
        while !rest.is_empty() {
            let is_given_up = self.lost.load(Ordering::Relaxed) > 0;
            if is_given_up || refusals == self.most_refusals {
                self.lost.fetch_add(rest.len() as u64, Ordering::Relaxed);
                break;
            }
            let sent = (self.send)(rest);
            rest = &rest[sent..];
            refusals = if sent == 0 { refusals + 1 } else { 0 };
            core::hint::spin_loop();
        }
        Ok(())
    }
}
