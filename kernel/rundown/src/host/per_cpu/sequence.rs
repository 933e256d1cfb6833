//! The sequence: look at the gate, add to the running CPU's counter. The kernel restarts it.
//!
//! Before it delivers a signal, moves the thread to another CPU or lets another one run, and in a
//! barrier, the kernel looks whether the thread's instruction pointer lies inside the sequence that
//! the thread has named in its `struct rseq`. If so, the thread goes on at its *abort* address.
//!
//! `struct rseq` names the sequence after its end, until the kernel happens to look. So the library
//! that this code is part of must not be unloaded (`dlclose`) while threads run that have counted:
//! the kernel would find no descriptor, and end the process. (Thread-local destructors mostly
//! forbid unloading anyway; the linker's option `-z nodelete` always does.)
//!
//! `unsafe` in this module: inline assembly.

use core::arch::asm;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use super::counters::{ROW_SHIFT, add_unregistered};
use super::rseq;
use crate::per_cpu::PerCpuGate;

/// [`PerCpu::add_if_open`](crate::PerCpuPlatform::add_if_open). The processor neither moves the add
/// before the test nor what comes after before the add's load (x86-TSO: Intel SDM 3A, 10.2.2), and
/// the compiler moves nothing across the assembly: the test acquires and the add releases.
///
/// # Safety
/// As there; and the process is prepared.
#[inline(always)]
pub(super) unsafe fn add_if_open(gate: &PerCpuGate, n: i64) -> bool {
    // For one, the number is part of the instruction: recent processors (Intel Golden Cove) then
    // forward what the last add stored; from a register, a pair takes four times as long.
    match n {
        // SAFETY: as for this function.
        1 => unsafe { sequence!(gate, 1, const 1) },
        // SAFETY: as for this function.
        -1 => unsafe { sequence!(gate, -1, const -1) },
        // SAFETY: as for this function.
        n => unsafe { sequence!(gate, n, in(reg) n) },
    }
    true
}

/// The assembly of [`add_if_open`]; returns unless it adds. The number comes as value and operand.
///
/// `rseq` leads to this thread's `struct rseq`. A negative number there is no CPU's; the others are
/// below [`rseq::cpus`], as the kernel promises. (To compare them would be one load more, and a
/// pair would take 1.75 ns instead of 1.4.) The counters of CPUs are a row apart. Nothing else
/// writes this CPU's counter: another thread comes before or after the one instruction that does,
/// or the sequence restarts. Sequence and abort code change only `scratch` and flags.
macro_rules! sequence {
    ($gate:expr, $value:expr, $($n:tt)+) => {
        asm!(
            // Names the sequence.
            "2:",
            "lea {scratch}, [rip + 5f]",
            "mov qword ptr fs:[{rseq} + {sequence}], {scratch}",
            // The sequence.
            "3:",
            "test byte ptr [{gate}], {not_open}",
            "jnz {closed}",
            "mov {scratch:e}, dword ptr fs:[{rseq} + {cpu_id}]",
            "test {scratch:e}, {scratch:e}",
            "js {nowhere}",
            "shl {scratch}, {row_shift}",
            "add {scratch}, qword ptr [{gate} + {counter}]",
            // One base register and no index: with one, a pair takes four times as long, too.
            "add qword ptr [{scratch}], {n}",
            "4:",
            // Its descriptor, a `struct rseq_cs`: version, flags; start, length, abort address.
            ".pushsection .data.rel.ro.rundown_rseq, \"aw\", @progbits",
            ".balign 32",
            "5:",
            ".long 0, 0",
            ".quad 3b, 4b - 3b, 6f",
            ".popsection",
            // Where it goes on after an interruption.
            ".pushsection .text.unlikely.rundown_rseq, \"ax\", @progbits",
            // The signature as part of an undefined instruction, `ud1 edi, [rip + signature]`, so
            // that disassemblers stay in step.
            ".byte 0x0f, 0xb9, 0x3d",
            ".long {signature}",
            "6:",
            "mov {scratch}, qword ptr [rip + {restarts}@GOTPCREL]",
            "lock inc qword ptr [{scratch}]",
            "jmp 2b",
            ".popsection",
            gate = in(reg) ptr::from_ref::<PerCpuGate>($gate),
            n = $($n)+,
            rseq = in(reg) rseq::offset(),
            scratch = out(reg) _,
            sequence = const rseq::SEQUENCE,
            cpu_id = const rseq::CPU_ID,
            not_open = const PerCpuGate::NOT_OPEN,
            counter = const PerCpuGate::COUNTER_OFFSET,
            row_shift = const ROW_SHIFT,
            signature = const rseq::SIGNATURE,
            restarts = sym RESTARTS,
            closed = label { return false },
            nowhere = label { return nowhere($gate, $value) },
            options(nostack),
        )
    };
}
use sequence;

/// The thread is not registered yet, or cannot be.
#[cold]
#[inline(never)]
fn nowhere(gate: &PerCpuGate, n: i64) -> bool {
    if rseq::register_late() && rseq::cpu_hint().is_some() {
        // SAFETY: as for the call that led here.
        unsafe { add_if_open(gate, n) }
    } else {
        add_unregistered(gate, n)
    }
}

/// How many sequences have been interrupted and started again.
static RESTARTS: AtomicU64 = AtomicU64::new(0);

/// [`HostPlatform::restarts`](crate::HostPlatform::restarts).
pub(in super::super) fn restarts() -> u64 {
    // Relaxed: pairs with nothing, the answer is for people.
    RESTARTS.load(Ordering::Relaxed)
}
