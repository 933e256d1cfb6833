//! Registers that ring 0 alone has.
//!
//! `unsafe` in this module: privileged instructions, each in a function that says what it touches.

use core::arch::asm;

/// IA32_APIC_BASE (Intel SDM 3A, 11.4.4).
pub(crate) const APIC_BASE: u32 = 0x1b;
/// In [`APIC_BASE`].
pub(crate) const APIC_ENABLED: u64 = 1 << 11;
pub(crate) const APIC_X2: u64 = 1 << 10;
/// IA32_MISC_ENABLE (Intel SDM 4, table 2-2).
pub(crate) const MISC_ENABLE: u32 = 0x1a0;
pub(crate) const EFER: u32 = 0xc000_0080;
pub(crate) const EFER_LMA: u64 = 1 << 10;
pub(crate) const EFER_NXE: u64 = 1 << 11;
pub(crate) const CR0_PG: u64 = 1 << 31;
pub(crate) const CR4_PAE: u64 = 1 << 5;
pub(crate) const CR4_LA57: u64 = 1 << 12;

/// Reads a model-specific register.
///
/// # Safety
/// Ring 0, and this CPU has the register.
pub(crate) unsafe fn read_msr(number: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the caller's promise.
    unsafe { asm!("rdmsr", in("ecx") number, out("eax") low, out("edx") high, options(nostack)) };
    u64::from(high) << 32 | u64::from(low)
}

/// Writes a model-specific register.
///
/// # Safety
/// As [`read_msr`]; and the value does what the caller wants.
pub(crate) unsafe fn write_msr(number: u32, value: u64) {
    let (low, high) = (value as u32, (value >> 32) as u32);
    // SAFETY: the caller's promise.
    unsafe { asm!("wrmsr", in("ecx") number, in("eax") low, in("edx") high, options(nostack)) };
}

/// Writes a register that changes memory types by the manual (Intel SDM 3A, 12.11.8): caches off
/// and empty, before and after, and the TLB, which caches types with translations, flushed.
///
/// # Safety
/// As [`write_msr`]; interrupts are off.
pub(crate) unsafe fn write_memory_types(number: u32, value: u64) {
    let (low, high) = (value as u32, (value >> 32) as u32);
    // SAFETY: the caller's promise; CR0 and CR4 are at the end what they were. A change of CR4.PGE
    // empties the TLB whichever way it goes (4.10.4.1).
    unsafe {
        asm!(
            "mov {cr0}, cr0",
            "mov {tmp}, {cr0}",
            "bts {tmp}, 30", // CD
            "btr {tmp}, 29", // NW
            "mov cr0, {tmp}",
            "wbinvd",
            "wrmsr",
            "wbinvd",
            "mov {tmp}, cr4",
            "btc {tmp}, 7", // PGE
            "mov cr4, {tmp}",
            "btc {tmp}, 7",
            "mov cr4, {tmp}",
            "mov cr0, {cr0}",
            cr0 = out(reg) _,
            tmp = out(reg) _,
            in("ecx") number,
            in("eax") low,
            in("edx") high,
            options(nostack),
        );
    }
}

/// CR0, CR3 and CR4 of this CPU.
///
/// # Safety
/// Ring 0.
pub(crate) unsafe fn control() -> [u64; 3] {
    let (cr0, cr3, cr4);
    // SAFETY: the caller's promise; reading has no effect.
    unsafe {
        asm!(
            "mov {}, cr0",
            "mov {}, cr3",
            "mov {}, cr4",
            out(reg) cr0,
            out(reg) cr3,
            out(reg) cr4,
            options(nomem, nostack, preserves_flags),
        );
    }
    [cr0, cr3, cr4]
}

/// Runs `f` with interrupts off on this CPU.
///
/// # Safety
/// Ring 0.
pub(crate) unsafe fn without_interrupts(f: impl FnOnce()) {
    const INTERRUPTS: u64 = 1 << 9;
    let flags: u64;
    // SAFETY: the caller's promise. Not `nomem`: nothing that `f` does moves out of it.
    unsafe { asm!("pushfq", "pop {}", "cli", out(reg) flags) };
    f();
    if flags & INTERRUPTS != 0 {
        // SAFETY: they were on before.
        unsafe { asm!("sti") };
    }
}

/// Halts this CPU, interrupts off, until it is started again.
///
/// # Safety
/// Ring 0, and nothing waits for this CPU.
pub unsafe fn park() -> ! {
    loop {
        // SAFETY: the caller's promise. An NMI wakes it, hence the loop.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}
