//! Faults on purpose: what comes of it when CPUs fail on their way through the crate. Feature `faults`, for tests.
//!
//! A kernel injects them in [`Kernel::stopped`], when everything is ready for the SIPI. They last until the next
//! [`Starter::start`], and all CPUs that this one starts have them: a test that wants one CPU to fail among others
//! starts it after them.
//!
//! `unsafe` in this module: the trampoline is changed.

use core::{
    arch::global_asm,
    ptr, slice,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{Kernel, Starter, entry::SHARED, trampoline};

/// Where CPUs fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InjectedFault {
    /// An invalid opcode in real mode: exception 6.
    Real,
    /// A setting in protected mode that no CPU has: exception 13.
    Protected,
    /// In long mode, a write to the trampoline's code: exception 14.
    Write,
    /// In long mode, a jump into the trampoline's data: exception 14.
    Execute,
    /// Without a stack: the list of CPUs is out of reach when the CPU looks for itself in it: exception 14.
    Entry,
    /// No fault: in long mode the CPU waits until its time-stamp counter has come so far.
    Late {
        /// In ticks.
        until: u64,
    },
}

impl<K: Kernel, const N: usize> Starter<K, N> {
    /// Has the CPUs fail that are being started. In [`Kernel::stopped`].
    ///
    /// # Panics
    /// Before [`Starter::prepare`].
    pub fn inject(&self, fault: InjectedFault) {
        const PAGE: usize = 4096;
        let low = self.low.load(Ordering::Relaxed);
        assert!(low != 0, "prepared first");
        let page = self.kernel.virt(low);
        let fields = trampoline::fields_of(page);
        let enter = |address: u64| {
            // SAFETY: the first page, which `install` has filled, and which no CPU reads yet.
            unsafe { (*fields).entry = address };
        };
        match fault {
            InjectedFault::Real => {
                // SAFETY: as above.
                let code = unsafe { slice::from_raw_parts_mut(page, PAGE) };
                // RDTSC is the first instruction with two bytes of opcode after LIDT; UD2 has two as well.
                let rdtsc = code.windows(2).position(|bytes| bytes == [0x0f, 0x31]);
                let place = rdtsc.expect("the trampoline keeps the time");
                code[place..place + 2].copy_from_slice(&[0x0f, 0x0b]);
            }
            InjectedFault::Protected => {
                const RESERVED: u32 = 1 << 31;
                // SAFETY: as above.
                unsafe { (*fields).cr4 |= RESERVED };
            }
            InjectedFault::Write => enter(bringup_write_code as *const () as u64),
            InjectedFault::Execute => enter(low + PAGE as u64),
            InjectedFault::Entry => SHARED
                .ids
                .store(ptr::without_provenance_mut(8), Ordering::Relaxed),
            InjectedFault::Late { until } => {
                LATE_UNTIL.store(until, Ordering::Relaxed);
                enter(bringup_late as *const () as u64);
            }
        }
    }
}

static LATE_UNTIL: AtomicU64 = AtomicU64::new(0);

// What the trampoline leads to instead of `bringup_entry`, and what that finds in registers stays there: RBX, ESI, EDI.
global_asm!(
    ".section .text.bringup_faults, \"ax\"",
    ".global bringup_write_code, bringup_late",
    "bringup_write_code:",
    "mov rax, [rbx]",
    // If it can be written to, that does no harm, and shows, too.
    "mov [rbx], rax",
    "ud2",
    "bringup_late:",
    "mov rcx, [rip + {until}]",
    "2:",
    "pause",
    "rdtsc",
    "shl rdx, 32",
    "or rax, rdx",
    "cmp rax, rcx",
    "jb 2b",
    "jmp {entry}",
    until = sym LATE_UNTIL,
    entry = sym crate::entry::bringup_entry,
);

unsafe extern "C" {
    fn bringup_write_code();
    fn bringup_late();
}
