//! The first serial port: whole lines from any CPU, any context, without deadlock.
//!
//! The port is behind a spin lock that is held with interrupts off, so an interrupt handler never
//! finds it held by the CPU it interrupted. An exception or an NMI may; it sees its own CPU as the
//! owner and writes past the lock: a line in the middle of another one rather than none. A panic
//! stops the other CPUs first, and then breaks the lock if one of them held it. So does the BSP
//! when it resets a CPU: an INIT may come in the middle of a line. So the lock is its owner's
//! number.
//!
//! `unsafe` in this module: port accesses.

use core::{
    fmt::{self, Write},
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use bringup::CpuIndex;
use x86_64::instructions::{interrupts::without_interrupts, port};

use crate::per_cpu;

/// I/O port of the first serial port (IBM PC/AT).
const COM1: u16 = 0x3f8;

/// Value of [`OWNER`] when the lock is free.
const FREE: u32 = u32::MAX;

/// Index of the CPU that holds the lock.
static OWNER: AtomicU32 = AtomicU32::new(FREE);

/// Sets the port to 115200 baud, 8N1 (PC16550D data sheet, section 8). On a machine without one
/// there is no log, and nowhere to report that. Once, on the BSP, before others run.
pub(crate) fn init() {
    // No interrupts; a divisor of 1; 8 bits, no parity, 1 stop bit; empty FIFOs; DTR and RTS.
    for (register, value) in [(1, 0), (3, 0x80), (0, 1), (1, 0), (3, 0x03), (2, 0x07), (4, 0x03)] {
        // SAFETY: on a PC these ports belong to the first serial port or to nothing.
        unsafe { port::Port::<u8>::new(COM1 + register).write(value) };
    }
}

/// Sends as many bytes as there is room for, `most` at most, and returns how many.
fn send(bytes: &[u8], most: usize) -> usize {
    /// In the line status: nothing waits to be sent.
    const EMPTY: u8 = 1 << 5;
    // SAFETY: as in `init`.
    if unsafe { port::Port::<u8>::new(COM1 + 5).read() } & EMPTY == 0 {
        return 0;
    }
    let bytes = &bytes[..bytes.len().min(most)];
    for byte in bytes {
        // SAFETY: as in `init`.
        unsafe { port::Port::new(COM1).write(*byte) };
    }
    bytes.len()
}

/// Calls `write` with the port. What it writes comes out in one piece.
///
/// Any CPU, any context.
pub fn with_port(write: impl FnOnce(&mut dyn fmt::Write)) {
    without_interrupts(|| {
        let cpu = per_cpu::index();
        let me = cpu.get() as u32;
        // Relaxed: only this CPU ever writes its own index, and program order covers that.
        let is_nested = OWNER.load(Ordering::Relaxed) == me;
        while !is_nested && !try_take(me) {
            core::hint::spin_loop();
        }
        // The code that was broken into may be about to fill the FIFO, which has room for 16 bytes.
        let send = |bytes: &[u8]| send(bytes, if is_nested { 1 } else { 16 });
        write(&mut Port::at_line(send, &LOST, MOST_REFUSALS));
        if !is_nested {
            break_lock_of(cpu);
        }
    });
}

/// Takes the lock away from its owner. All other CPUs have stopped, or else lines are mixed up.
pub(crate) fn break_lock() {
    OWNER.store(FREE, Ordering::Release);
}

/// Takes the lock away from a CPU, if it holds it: on this CPU, or on the BSP after a reset.
pub(crate) fn break_lock_of(cpu: CpuIndex) {
    let owner = cpu.get() as u32;
    // Release: pairs with the acquire of the next owner.
    let _ = OWNER.compare_exchange(owner, FREE, Ordering::Release, Ordering::Relaxed);
}

fn try_take(owner: u32) -> bool {
    // Read first: that leaves the cache line with its owner.
    OWNER.load(Ordering::Relaxed) == FREE
        // Acquire: pairs with the release of the owner before.
        && OWNER.compare_exchange(FREE, owner, Ordering::Acquire, Ordering::Relaxed).is_ok()
}

static LOST: AtomicU64 = AtomicU64::new(0);

/// Ten seconds, where reading the port's state takes the microsecond that it took on an ISA bus.
/// The 16 bytes of the FIFO are out after 1.4 ms.
const MOST_REFUSALS: u32 = 10_000_000;

/// A writer to a port that may not take it.
///
/// A transmitter that stays full is given up: bytes after that are lost and counted, until the port
/// takes the start of another line, which then reports how many.
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
