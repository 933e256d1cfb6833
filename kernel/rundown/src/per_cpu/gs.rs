//! The sequence for kernels on x86-64 that find the running CPU's area by the GS segment, and what
//! their interrupt entry asks to restart it.
//!
//! To use it in a kernel:
//!
//! 1. Give every CPU an area of the same layout, and load its GS base before it uses objects.
//! 2. Call [`prepare`] once, before the first interrupt.
//! 3. On every entry by interrupt, exception or NMI, whatever its vector: if
//!    [`restart_point`] of the saved instruction pointer is `Some(start)`, save `start` in its
//!    place. Any time before the return from the interrupt will do, since it is the return that
//!    must not lead into the middle of a sequence.
//! 4. Make [`PerCpuPlatform::barrier`](super::PerCpuPlatform::barrier) of an interrupt to all other CPUs that each
//!    of them acknowledges.
//! 5. Link the section `rundown_restart` as data. Linkers define its bounds,
//!    `__start_rundown_restart` and `__stop_rundown_restart`, by themselves; a linker script that
//!    lists its sections may have to name it.
//!
//! Not for targets whose objects are not ELF (UEFI applications, Windows, Apple's), which have no
//! such section. A kernel that a UEFI loader starts is ELF as a rule.
//!
//! Whoever single-steps through a sequence by the trap flag never gets to its end, as in any
//! sequence that restarts.
//!
//! `unsafe` in this module: inline assembly, and the table between two of the linker's symbols.

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicBool, Ordering};
use core::{ptr, slice};

use super::gate::PerCpuGate;

/// [`PerCpuPlatform::add_if_open`](super::PerCpuPlatform::add_if_open), for counters whose
/// [name](crate::CounterId) is their offset from the GS base.
///
/// Four instructions: test, jump, load, add. The processor neither moves the add before the test nor
/// what comes after before the add's load (x86-TSO: Intel SDM 3A, 10.2.2), and the compiler does not
/// move memory accesses across the assembly. So the test acquires and the add releases.
///
/// # Safety
/// As there; and the running CPU's GS base + the counter's name is the counter, aligned to 8 bytes.
#[inline(always)]
#[must_use]
pub unsafe fn add_if_open(gate: &PerCpuGate, n: i64) -> bool {
    // One by one, the number is part of the instruction. On recent processors (Intel Golden Cove) an add
    // to memory then takes no time to get at what the last one stored; added from a register, a pair
    // costs six times as much.
    //
    // SAFETY (all three): the gate is borrowed; nothing else writes this CPU's counter, except in an
    // interrupt, which comes before or after the one instruction that does.
    match n {
        // SAFETY: see above.
        1 => unsafe { sequence!(gate, const 1) },
        // SAFETY: see above.
        -1 => unsafe { sequence!(gate, const -1) },
        // SAFETY: see above.
        n => unsafe { sequence!(gate, in(reg) n) },
    }
    true
}

/// The assembly of [`add_if_open`], which returns `false` if it finds the gate closed. What is added is
/// the third, as an operand.
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

/// Puts the table of sequences in order. Until then, [`restart_point`] panics.
///
/// # Safety
/// Called once, before any interrupt asks, and on one CPU.
pub unsafe fn prepare() {
    let first = &raw mut __start_rundown_restart;
    // SAFETY: the linker's section is all entries, it is writable, and this is the only reference to
    // it.
    let sequences = unsafe { slice::from_raw_parts_mut(first, count()) };
    sequences.sort_unstable_by_key(|sequence| sequence.start);
    // Release: pairs with the Acquire in `table`.
    PREPARED.store(true, Ordering::Release);
}

/// Whether code that was interrupted at this address was inside a sequence, and if so, where it must
/// go on: at the sequence's start. Any CPU, any context; a binary search.
///
/// # Panics
/// Before [`prepare`].
#[must_use]
pub fn restart_point(interrupted_at: u64) -> Option<u64> {
    restart(table(), interrupted_at)
}

/// From the first instruction to the one behind the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
struct Sequence {
    start: u64,
    end: u64,
}

unsafe extern "C" {
    static mut __start_rundown_restart: Sequence;
    static __stop_rundown_restart: Sequence;
}

// An entry that no code ever matches: without any, the section and its symbols would not exist.
global_asm!(
    ".pushsection rundown_restart, \"awR\", @progbits",
    ".balign 8",
    ".quad 0, 0",
    ".popsection",
);

static PREPARED: AtomicBool = AtomicBool::new(false);

fn count() -> usize {
    let bytes =
        (&raw const __stop_rundown_restart).addr() - (&raw const __start_rundown_restart).addr();
    bytes / size_of::<Sequence>()
}

fn table() -> &'static [Sequence] {
    // Acquire: pairs with the Release in `prepare`.
    assert!(PREPARED.load(Ordering::Acquire), "`prepare` comes first");
    let first = &raw const __start_rundown_restart;
    // SAFETY: the linker's section is all entries, and is not written any more.
    unsafe { slice::from_raw_parts(first, count()) }
}

/// The sequences do not overlap, and are sorted.
fn restart(sequences: &[Sequence], interrupted_at: u64) -> Option<u64> {
    // At its very start, a sequence has done nothing yet.
    let started = sequences.partition_point(|sequence| sequence.start < interrupted_at);
    let last = sequences[..started].last()?;
    (interrupted_at < last.end).then_some(last.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_means_after_the_start_and_before_the_end() {
        let sequences = [(0, 0), (100, 110), (110, 120), (200, 209)];
        let sequences = sequences.map(|(start, end)| Sequence { start, end });
        for at in 0..300 {
            let expected = match at {
                101..=109 => Some(100),
                111..=119 => Some(110),
                201..=208 => Some(200),
                _ => None,
            };
            assert_eq!(restart(&sequences, at), expected, "{at}");
        }
        assert_eq!(restart(&[], 7), None);
    }
}
