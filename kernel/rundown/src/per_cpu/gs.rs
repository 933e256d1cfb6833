//! The sequence for kernels on x86-64 that find the running CPU's area by the GS segment, and what
//! their interrupt entry asks to restart it: see ["Your own kernel"](crate#your-own-kernel).
//!
//! # How a loader of modules uses it
//!
//! A module that is linked by itself has the sequences that its compiler inlined, and a section
//! `rundown_restart` of its own. Until the loader registers that, they are not restarted:
//! protection gets lost, and nothing reports it.
//!
//! The module's [`PerCpuPlatform`](super::PerCpuPlatform) calls the kernel's for all but
//! `add_if_open`. A copy of the kernel's platform would have statics of its own: a second map of
//! the same counters, and a barrier that no CPU answers. Both are built by the same compiler, with
//! the same version and features of this crate.
//!
//! 1. Load and relocate the module, its section `rundown_restart` included, into writable memory.
//! 2. Find the section's bounds: by the module's symbols, by the section's header in an object
//!    file, or by asking the module, whose code gets them from [`Bounds::of_this_image`]. (It runs
//!    unregistered: it must not use objects.)
//! 3. [`register`] them, with a [`RestartTable`] that lives as long as the module. Then call it.
//! 4. Give the module an object of rundown protection, and take protection *in the kernel's code*
//!    around each call into the module, its timers and interrupt handlers included. Threads of the
//!    module hold it for as long as they live.
//! 5. To unload, run that object down: now nothing is executed in the module, nor suspended there.
//! 6. [`unregister`] the table: that waits for handlers that read it, by calls to all CPUs and not
//!    by a barrier that NMIs may answer. Free the memory.
//!
//! Not for targets whose objects are not ELF (UEFI applications, Windows, Apple's), which have no
//! such section. A kernel that a UEFI loader starts is ELF as a rule.
//!
//! `unsafe` in this module: inline assembly, and the table between two of the linker's symbols.

use core::arch::asm;
use core::ptr;

use super::gate::PerCpuGate;
pub use super::restart::{Bounds, NotRegistered, RegisterError, RestartTable, Sequence};
use super::restart::{Images, find};
use crate::primitive::Ordering;

/// [`PerCpuPlatform::add_if_open`](super::PerCpuPlatform::add_if_open), for counters whose
/// [name](crate::CounterId) is their offset from the GS base.
///
/// Four instructions: test, jump, load, add. The processor neither moves the add before the test
/// nor what comes after before the add's load (x86-TSO: Intel SDM 3A, 10.2.2), and the compiler
/// does not move memory accesses across the assembly. So the test acquires and the add releases.
///
/// # Safety
/// As there; and the running CPU's GS base + the counter's name is the counter, aligned to 8 bytes.
#[inline(always)]
#[must_use]
pub unsafe fn add_if_open(gate: &PerCpuGate, n: i64) -> bool {
    // For one, the number is part of the instruction: recent processors (Intel Golden Cove) then
    // forward what the last add stored; from a register, a pair costs six times as much.
    match n {
        // SAFETY: the gate is borrowed; nothing else writes this CPU's counter, except in an
        // interrupt, which comes before or after the one instruction that does.
        1 => unsafe { sequence!(gate, const 1) },
        // SAFETY: as above.
        -1 => unsafe { sequence!(gate, const -1) },
        // SAFETY: as above.
        n => unsafe { sequence!(gate, in(reg) n) },
    }
    true
}

/// The assembly of [`add_if_open`], which returns `false` if it finds the gate closed.
macro_rules! sequence {
    ($gate:expr, $($n:tt)+) => {
        asm!(
            "2:",
            "test byte ptr [{gate}], {not_open}",
            "jnz {closed}",
            "mov {offset}, qword ptr [{gate} + {counter}]",
            "add qword ptr gs:[{offset}], {n}",
            "3:",
            // R: the linker must not drop the entry for want of references to it.
            ".pushsection rundown_restart, \"awR\", @progbits",
            ".balign 8",
            ".quad 2b, 3b",
            ".popsection",
            gate = in(reg) ptr::from_ref::<PerCpuGate>($gate),
            offset = out(reg) _,
            n = $($n)+,
            not_open = const PerCpuGate::NOT_OPEN,
            counter = const PerCpuGate::COUNTER_OFFSET,
            closed = label { return false },
            options(nostack),
        )
    };
}
use sequence;

/// Puts the kernel's own table of sequences in order. Until then, [`restart_point`] panics.
///
/// The table is the section `rundown_restart`. A linker script that places it must put it into
/// writable data, with `KEEP`, aligned to 8, between `__start_rundown_restart` and
/// `__stop_rundown_restart`: a linker defines these by itself only where no script places it.
///
/// # Safety
/// Called once, by code that is linked into the kernel. Nothing calls [`restart_point`] or
/// [`register`] until it has returned, no handler of an NMI either; later calls, on any CPU,
/// happen after it.
///
/// # Panics
/// If it was called before.
#[inline]
pub unsafe fn prepare() {
    // SAFETY: the linker's section is all entries, writable, and nothing else's. It stays.
    let done = unsafe { LOADED.register(&OWN, Bounds::of_this_image()) };
    done.expect("`prepare` is called once");
}

/// Where code interrupted at this address must go on, if it was in a sequence of the kernel's or of
/// a [registered](register) table: at its start. Any CPU, any context; a binary search a table.
///
/// # Panics
/// Before [`prepare`].
#[must_use]
pub fn restart_point(interrupted_at: u64) -> Option<u64> {
    let own = own();
    // Relaxed: pairs with nothing, as in `Images::restart_point`.
    if ptr::eq(LOADED.first.load(Ordering::Relaxed), &OWN) {
        // Nothing else is loaded.
        return find(own, interrupted_at);
    }
    LOADED.restart_point(interrupted_at)
}

/// [`Images::register`](super::restart::Images::register), beside the kernel's own table.
///
/// # Panics
/// Before [`prepare`].
///
/// # Safety
/// As there.
pub unsafe fn register(table: &RestartTable, bounds: Bounds) -> Result<(), RegisterError> {
    let _ = own();
    // SAFETY: by the caller.
    unsafe { LOADED.register(table, bounds) }
}

/// [`Images::unregister`](super::restart::Images::unregister), which says what `barrier` must do.
///
/// # Safety
/// As there.
pub unsafe fn unregister(table: &RestartTable, barrier: impl FnMut()) -> Result<(), NotRegistered> {
    // SAFETY: by the caller.
    unsafe { LOADED.unregister(table, barrier) }
}

impl Bounds {
    /// Those of the image that this code is linked into: each has its own copy of it.
    #[inline(always)]
    pub fn of_this_image() -> Self {
        unsafe extern "C" {
            static mut __start_rundown_restart: Sequence;
            static mut __stop_rundown_restart: Sequence;
        }
        // An entry that holds nothing: without any, the section and its symbols would not exist.
        // (By `global_asm!` it would be in every program that links this crate.)
        //
        // SAFETY: it is no instruction.
        unsafe {
            asm!(
                ".pushsection rundown_restart, \"awR\", @progbits",
                ".balign 8",
                ".quad 0, 0",
                ".popsection",
                options(nomem, nostack, preserves_flags),
            );
        }
        Self { start: &raw mut __start_rundown_restart, end: &raw mut __stop_rundown_restart }
    }
}

/// The kernel's own table, the last in the list for good: nothing need be counted to read it.
static OWN: RestartTable = RestartTable::new();

/// That, and those of images that were loaded.
static LOADED: Images = Images::new();

fn own() -> &'static [Sequence] {
    // SAFETY: `prepare` was the only one to write it, before.
    let own = unsafe { OWN.sequences() };
    own.expect("`prepare` comes first")
}
