//! Faults on purpose, of CPUs on their way through the crate. Feature `faults`, for tests.
//!
//! A kernel injects them in [`Kernel::stopped`], when everything is ready for the SIPI. They last
//! until the next [`Starter::start`], and all CPUs that this one starts have them.
//!
//! `unsafe` in this module: the trampoline is changed.

use core::{
    arch::global_asm,
    ptr, slice,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{entry::SHARED, kernel::Kernel, start::Starter, trampoline};

/// Where CPUs fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InjectedFault {
    /// An invalid opcode in real mode: exception 6.
    Real,
    /// The same in protected mode.
    Protected,
    /// In long mode, a write to the trampoline's code: exception 14.
    Write,
    /// In long mode, a jump into the trampoline's data: exception 14.
    Execute,
    /// Without a stack: the list in which a CPU looks for itself is out of reach, exception 14.
    Entry,
    /// No fault: in long mode the CPU waits until its time-stamp counter has come so far. May be
    /// injected again, at any time, for an earlier end.
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
        const PAGE: u64 = 4096;
        /// The only ones: in real mode, and (`mov cr3, eax`) in protected mode.
        const RDTSC: &[u8] = &[0x0f, 0x31];
        const MOV_CR3: &[u8] = &[0x0f, 0x22, 0xd8];
        let low = self.low.load(Ordering::Relaxed);
        assert!(low != 0, "prepared first");
        let page = self.kernel.virt(low);
        let fields = trampoline::fields_of(page);
        let enter = |address: u64| {
            // SAFETY: the first page, filled by `install` and not read yet; or it has this value.
            unsafe { (*fields).entry = address };
        };
        // Replaces the one instruction with this opcode by UD2, unless an earlier call has done so.
        let undefine = |opcode: &[u8]| {
            // SAFETY: as above.
            let code = unsafe { slice::from_raw_parts_mut(page, trampoline::FIELDS) };
            if let Some(place) = code.windows(opcode.len()).position(|bytes| bytes == opcode) {
                code[place..place + 2].copy_from_slice(&[0x0f, 0x0b]);
            }
        };
        match fault {
            InjectedFault::Real => undefine(RDTSC),
            InjectedFault::Protected => undefine(MOV_CR3),
            InjectedFault::Write => enter(bringup_write_code as *const () as u64),
            InjectedFault::Execute => enter(low + PAGE),
            InjectedFault::Entry => {
                SHARED.ids.store(ptr::without_provenance_mut(8), Ordering::Relaxed)
            }
            InjectedFault::Late { until } => {
                LATE_UNTIL.store(until, Ordering::Relaxed);
                enter(bringup_late as *const () as u64);
            }
        }
    }
}

static LATE_UNTIL: AtomicU64 = AtomicU64::new(0);

// Instead of `bringup_entry`; its registers RBX, ESI and EDI stay as they are.
global_asm!(
    ".section .text.bringup_faults, \"ax\"",
    ".global bringup_write_code, bringup_late",
    "bringup_write_code:",
    "mov rax, [rbx]",
    // If it can be written to, that does no harm, and shows, too.
    "mov [rbx], rax",
    "ud2",
    "bringup_late:",
    "2:",
    "pause",
    "mov rcx, [rip + {until}]",
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
