//! Unexpected interrupts: counted, logged once, survived, except the board's hardware errors.
//!
//! | kind | sign | due |
//! |---|---|---|
//! | from a device, through the local APIC | the vector's bit in the in-service register | end of interrupt |
//! | from an 8259; or spurious there, which is its line 7 (8259A data sheet) | its vectors, no bit | nothing: it ends its own |
//! | spurious, of the local APIC | vector 0xff, no bit (Intel SDM 3A, 11.9) | nothing |
//!
//! An end of interrupt too many would end the interrupt that this one has interrupted; one too few
//! blocks all vectors of that priority and below. So the in-service bit decides, also between an
//! interrupt and an exception: APICs take vectors from 16 on (Intel SDM 3A, 11.5.2).
//!
//! `unsafe` in this module: one port access.

use core::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use bringup::CpuIndex;
use x86_64::instructions::port::Port;

use crate::{
    apic::{self, Ipi, Target},
    emergency,
    interrupts::{self, Frame, backtrace, vector},
    log,
    per_cpu::per_cpu,
};

/// No value of a port of 8 bits.
const NOTHING: u16 = 0x100;

// Written by their own CPU only, so Relaxed everywhere.
per_cpu! {
    static UNEXPECTED: AtomicU64 = AtomicU64::new(0);
    static SPURIOUS: AtomicU64 = AtomicU64::new(0);
    static NMIS: AtomicU64 = AtomicU64::new(0);
    /// A bit per vector that has been logged.
    static LOGGED: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];
    /// The value of port 0x61 at an NMI to be logged, or [`NOTHING`].
    static NMI_TO_LOG: AtomicU16 = AtomicU16::new(NOTHING);
}

/// Takes over the interrupts for which there is no other hook. Before interrupts are on.
pub(crate) fn init() {
    interrupts::OTHERS.set(Some(take));
    apic::set_handler(vector::LOG_NMI, log_nmi);
}

/// Unexpected interrupts that a device has sent this CPU.
pub fn stray(cpu: CpuIndex) -> u64 {
    UNEXPECTED.count_of(cpu)
}

/// Signals of the local APIC that were gone when this CPU acknowledged them.
pub fn spurious(cpu: CpuIndex) -> u64 {
    SPURIOUS.count_of(cpu)
}

/// Unexpected NMIs, and those for which there was [no handler](crate::ipi::set_nmi_handler).
pub fn unhandled_nmis(cpu: CpuIndex) -> u64 {
    NMIS.count_of(cpu)
}

/// Takes an interrupt whose vector has no handler. As a handler. `false`: it is an exception.
fn take(vector: u8) -> bool {
    let is_in_service = vector >= 16 && apic::is_in_service(vector);
    if vector < 32 && !is_in_service {
        return false;
    }
    if is_in_service {
        apic::end_of_interrupt();
    }
    let (count, what) = match is_in_service || vector != vector::SPURIOUS {
        true => (&UNEXPECTED, "an unexpected interrupt"),
        false => (&SPURIOUS, "a spurious interrupt"),
    };
    count.here().fetch_add(1, Ordering::Relaxed);
    let (word, bit) = (usize::from(vector / 64), 1 << (vector % 64));
    if LOGGED.here()[word].fetch_or(bit, Ordering::Relaxed) & bit == 0 {
        log!("{what}, vector {vector:#x} (further ones are counted, not logged)");
    }
    true
}

/// Takes an NMI that no CPU has sent. Returns unless the board reports a hardware error.
pub(crate) fn check_nmi_reason(frame: &Frame) {
    let reason = nmi_reason();
    if is_hardware_error(reason) {
        emergency::report(
            format_args!(
                "non-maskable interrupt at {:#x}: the board reports a hardware error (port 0x61: {reason:#04x})",
                frame.rip
            ),
            |line| backtrace::from(frame.rip, frame.rbp, line),
        );
    }
}

/// Counts an NMI for which there is no handler. In an NMI. It is logged by an interrupt that this
/// CPU sends itself, for the code below may hold the log's lock, or its holder wait for this CPU.
pub(crate) fn count_nmi() {
    if NMIS.here().fetch_add(1, Ordering::Relaxed) > 0 {
        return;
    }
    NMI_TO_LOG.here().store(nmi_reason().into(), Ordering::Relaxed);
    // Early in the boot there is no APIC to send it: `firmware::silence` logs it.
    if let Some(me) = apic::try_id() {
        apic::send(Target::One(me), Ipi::Vector(vector::LOG_NMI));
    }
}

/// Logs an NMI that [`count_nmi`] has counted. Not in an NMI.
pub(crate) fn log_nmi() {
    if let Ok(reason) = u8::try_from(NMI_TO_LOG.here().swap(NOTHING, Ordering::Relaxed)) {
        log!("an unexpected NMI (port 0x61: {reason:#04x}; further ones are counted, not logged)");
    }
}

/// The reason that the board gives: port 0x61 (IBM PC/AT; Intel ICH9 data sheet, 13.7.1 NMI_SC).
fn nmi_reason() -> u8 {
    // SAFETY: reading the port changes nothing.
    unsafe { Port::new(0x61).read() }
}

/// Whether an NMI is for a hardware error, if port 0x61 reads so. That ends the kernel.
pub fn is_hardware_error(reason: u8) -> bool {
    /// A device on PCI or the memory controller has found an error that it cannot report otherwise.
    const SERR: u8 = 1 << 7;
    /// A device on the ISA bus has.
    const IOCHK: u8 = 1 << 6;
    /// The value of a port that is not there (QEMU's microvm).
    const NO_PORT: u8 = 0xff;
    reason != NO_PORT && reason & (SERR | IOCHK) != 0
}
