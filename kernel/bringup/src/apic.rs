//! The local APIC: the ID of this CPU, and interrupts to others.
//!
//! There are two ways to its registers (Intel SDM 3A, chapter 11): xAPIC, a page of memory, with
//! IDs of 8 bits; and x2APIC, model-specific registers, with IDs of 32 bits. Register numbers here
//! are offsets into the xAPIC page; the x2APIC number is 0x800 + offset / 16.
//!
//! `unsafe` in this module: the registers.

mod mode;

use core::{
    fmt, ptr,
    sync::atomic::{Ordering, compiler_fence},
};

pub use self::mode::ApicFacts;
use crate::{
    id::ApicId,
    registers::{self, APIC_BASE, APIC_ENABLED, APIC_X2},
};

/// An interrupt for the local APIC to send: bits of its command register (SDM 3A, figure 11-12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipi {
    /// An ordinary interrupt.
    Vector(u8),
    /// A non-maskable interrupt.
    Nmi,
    /// Reset; the CPU then waits for a start-up.
    Init,
    /// Starts a CPU that waits for it, in real mode at this page of the first MiB.
    StartUp {
        /// Physical address divided by 4096.
        page: u8,
    },
}

/// The CPUs that an interrupt goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The CPU with this ID.
    One(ApicId),
    /// All but the one that sends.
    AllOthers,
}

const ID: u32 = 0x20;
const ERROR_STATUS: u32 = 0x280;
const COMMAND_LOW: u32 = 0x300;
const COMMAND_HIGH: u32 = 0x310;

/// The first ID that does not fit into xAPIC mode: 255 addresses all CPUs (Intel SDM 3A, 11.6.2.1).
const FIRST_TOO_LARGE: u32 = 255;

/// The way to the local APIC of whichever CPU uses it.
#[derive(Clone, Copy, Debug)]
pub struct LocalApic {
    /// Null: x2APIC mode.
    pub(crate) page: *mut u32,
}

// SAFETY: each CPU has an APIC of its own at the same address.
unsafe impl Send for LocalApic {}
// SAFETY: as above.
unsafe impl Sync for LocalApic {}

impl LocalApic {
    /// The mode that this CPU's APIC is in. If xAPIC, it is switched on, and `map` maps its page,
    /// whose physical address it gets, uncached and for good, at the same address on all CPUs.
    ///
    /// # Safety
    /// Ring 0, on a CPU with a local APIC (CPUID leaf 1, EDX bit 9); and `map` does as described.
    pub unsafe fn find(map: impl FnOnce(u64) -> *mut u8) -> Self {
        const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
        // SAFETY: a CPU with a local APIC has this register.
        let base = unsafe { registers::read_msr(APIC_BASE) };
        if base & APIC_X2 != 0 {
            let page = ptr::null_mut();
            return Self { page };
        }
        // SAFETY: only adds the flag that switches it on.
        unsafe { registers::write_msr(APIC_BASE, base | APIC_ENABLED) };
        let page = map(base & ADDRESS).cast();
        Self { page }
    }

    /// The way by xAPIC through this page, or, if it is null, by x2APIC.
    ///
    /// # Safety
    /// APICs of CPUs that use it are in that mode; the page is mapped there, uncached, for good.
    #[must_use]
    pub const unsafe fn at(page: *mut u8) -> Self {
        let page = page.cast();
        Self { page }
    }

    /// The page of registers; null in x2APIC mode: for [`at`](Self::at).
    #[must_use]
    pub fn page(self) -> *mut u8 {
        self.page.cast()
    }

    /// Whether it is by x2APIC.
    #[must_use]
    pub fn is_x2(self) -> bool {
        self.page.is_null()
    }

    /// This CPU's APIC ID, from its APIC. (CPUID only knows the ID that it had at reset.)
    #[must_use]
    pub fn id(self) -> ApicId {
        let id = self.read(ID);
        ApicId::new(if self.is_x2() { id } else { id >> 24 })
    }

    /// Whether an interrupt can be sent to the CPU with this ID.
    #[must_use]
    pub fn can_address(self, id: ApicId) -> bool {
        let too_large = if self.is_x2() { u32::MAX } else { FIRST_TOO_LARGE };
        id.get() < too_large
    }

    /// Sends an interrupt. Any CPU, any context, NMI included. The CPU that takes it sees what its
    /// sender wrote before. An ID that [cannot be addressed](Self::can_address) gets nothing: cut
    /// to 8 bits it would be another CPU's, or stand for all.
    ///
    /// # Safety
    /// Interrupting the CPUs that it reaches is sound: INIT ends whatever they do.
    pub unsafe fn send(self, target: Target, ipi: Ipi) {
        if let Some(command) = self.command(target, ipi) {
            // SAFETY: the caller's promise.
            unsafe { self.write_command(command) };
        }
    }

    /// The command for this interrupt, destination in the upper half; `None`: not addressable.
    pub(crate) fn command(self, target: Target, ipi: Ipi) -> Option<u64> {
        const ASSERT: u64 = 1 << 14;
        const ALL_OTHERS: u64 = 0b11 << 18;
        let place = if self.is_x2() { 32 } else { 56 };
        let target = match target {
            Target::One(id) if !self.can_address(id) => return None,
            Target::One(id) => u64::from(id.get()) << place,
            Target::AllOthers => ALL_OTHERS,
        };
        let ipi = match ipi {
            Ipi::Vector(vector) => u64::from(vector),
            Ipi::Nmi => 0b100 << 8,
            Ipi::Init => 0b101 << 8,
            Ipi::StartUp { page } => 0b110 << 8 | u64::from(page),
        };
        Some(ASSERT | target | ipi)
    }

    /// Sends a [command](Self::command).
    ///
    /// # Safety
    /// As [`send`](Self::send).
    pub(crate) unsafe fn write_command(self, command: u64) {
        if self.is_x2() {
            // This write does not wait for earlier stores, so they are made visible first (Intel
            // SDM 3A, 11.12.3).
            // SAFETY: fences only order; every CPU with long mode has them.
            unsafe { core::arch::asm!("mfence", "lfence", options(nostack, preserves_flags)) };
            // SAFETY: the command register; the caller's promise.
            unsafe { registers::write_msr(x2(COMMAND_LOW), command) };
            return;
        }
        // Uncached stores wait for all earlier ones; the compiler must not let them overtake.
        compiler_fence(Ordering::SeqCst);
        // Two registers: an interrupt in between would use the wrong destination, hence none. An
        // NMI in between may; so each sender leaves the upper register as it found it.
        let send = || {
            // An NMI may have come while an earlier command was on its way.
            self.wait_until_sent();
            let found = self.read(COMMAND_HIGH);
            // SAFETY: the destination, for the write that follows.
            unsafe { self.write(COMMAND_HIGH, (command >> 32) as u32) };
            // SAFETY: the caller's promise.
            unsafe { self.write(COMMAND_LOW, command as u32) };
            self.wait_until_sent();
            // SAFETY: sends nothing.
            unsafe { self.write(COMMAND_HIGH, found) };
        };
        // SAFETY: registers of the APIC are in reach, so this is ring 0.
        unsafe { registers::without_interrupts(send) };
    }

    /// Waits until the xAPIC has sent the command. Bounded: a broken one must not hang a CPU.
    fn wait_until_sent(self) {
        const PENDING: u32 = 1 << 12;
        for _ in 0..100_000 {
            if self.read(COMMAND_LOW) & PENDING == 0 {
                return;
            }
            core::hint::spin_loop();
        }
    }

    /// The errors of this CPU's APIC since they were last taken. Any context.
    #[must_use]
    pub fn take_errors(self) -> ApicErrors {
        // SAFETY: a write moves what has gathered to where it is read, and does no more.
        unsafe { self.write(ERROR_STATUS, 0) };
        ApicErrors(self.read(ERROR_STATUS) as u8)
    }

    /// Reads a register, named by its offset in the xAPIC page.
    ///
    /// # Panics
    /// If no register is there: offsets are multiples of 16 below 4096.
    #[must_use]
    pub fn read(self, register: u32) -> u32 {
        assert!(register < 4096 && register.is_multiple_of(16), "no register of the APIC");
        if self.is_x2() {
            // SAFETY: reading an APIC register has no effect on memory. 32 bits are defined.
            unsafe { registers::read_msr(x2(register)) as u32 }
        } else {
            let register = self.page.wrapping_byte_add(register as usize);
            // SAFETY: the maker of `self` has mapped the page.
            unsafe { register.read_volatile() }
        }
    }

    /// Writes a register.
    ///
    /// # Safety
    /// The value does what the caller wants: see the manual.
    pub unsafe fn write(self, register: u32, value: u32) {
        if self.is_x2() {
            // SAFETY: the caller's promise.
            unsafe { registers::write_msr(x2(register), value.into()) }
        } else {
            let register = self.page.wrapping_byte_add(register as usize);
            // SAFETY: the maker of `self` has mapped the page; the rest is the caller's promise.
            unsafe { register.write_volatile(value) }
        }
    }
}

/// The model-specific register for an offset in the xAPIC page.
const fn x2(register: u32) -> u32 {
    0x800 + (register >> 4)
}

/// Errors of a local APIC: bits of the error status register (Intel SDM 3A, 11.5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApicErrors(pub u8);

impl fmt::Display for ApicErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 8] = [
            "wrong checksum of a message sent",
            "wrong checksum of a message received",
            "no APIC accepted an interrupt sent",
            "an interrupt received was not accepted",
            "an interrupt was sent to whichever CPU, which this APIC cannot",
            "an interrupt was sent with a vector below 16",
            "an interrupt was received with a vector below 16",
            "access to a register that is not there",
        ];
        write!(f, "error status {:#04x}", self.0)?;
        let set = NAMES.iter().enumerate();
        let mut set = set.filter(|(bit, _)| self.0 >> bit & 1 == 1);
        set.try_for_each(|(_, name)| write!(f, "; {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_would_be_cut_or_address_all_cannot_be_addressed() {
        let mut page = 0;
        let modes = [(&raw mut page, 254), (ptr::null_mut(), u32::MAX - 1)];
        for (page, last) in modes {
            let apic = LocalApic { page };
            let to = |id| apic.command(Target::One(ApicId::new(id)), Ipi::Nmi);
            let place = if apic.is_x2() { 32 } else { 56 };
            for id in [0, last] {
                assert_eq!(to(id), Some(u64::from(id) << place | 0x4400));
            }
            assert_eq!((to(last + 1), to(u32::MAX)), (None, None));
        }
    }

    #[test]
    fn each_error_has_its_name() {
        // A failed send and an illegal vector.
        let text = std::format!("{}", ApicErrors(0x24));
        assert_eq!(
            text,
            "error status 0x24; no APIC accepted an interrupt sent; \
             an interrupt was sent with a vector below 16"
        );
    }
}
