//! QEMU's watchdog `ib700`, for runs with a seed: it counts in the guest's own time, which a busy
//! host does not change, and needs no interrupt of a guest that hangs.

use core::arch::x86_64::__cpuid;

use x86_64::instructions::port::Port;

/// Starts it, or starts it again. The machine is reset if that does not happen again within some
/// two billion instructions, or 30 s. Where there is none, nothing listens at this port.
pub(crate) fn restart(seed: u32) {
    // Bit 31 of ECX: a hypervisor (AMD APM 3, CPUID Fn0000_0001). A PC's port 0x443 is left alone.
    if __cpuid(1).ecx >> 31 == 0 {
        return;
    }
    // As in QEMU's hw/watchdog/wdt_ib700.c and Linux' ib700wdt.c: 15 is 0 s, a step down 2 s.
    const ENABLE: u16 = 0x443;
    // With this seed an instruction takes 2^(1 + seed % 7) ns.
    let steps = (2_u8 << (seed % 7)).min(15);
    // SAFETY: in QEMU, the port is the watchdog's, or no device's.
    unsafe { Port::new(ENABLE).write(15 - steps) };
}
