//! Interrupts a restartable sequence at an instruction of one's choice.
//!
//! A debugger's single steps do not lead through a sequence: each of them restarts it. So
//! `rseq_cs`, the pointer to the sequence in the thread's `struct rseq`, is hidden while the trap
//! flag leads up to the boundary, and put back for the interruption itself, which is a signal that
//! waits to be delivered there.

use std::arch::asm;
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::mem;
use std::ptr;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Interrupted {
    /// The boundary was inside the sequence (or at its start), and the kernel sent the thread back.
    Inside,
    /// The boundary was behind the last instruction.
    AtTheEnd,
    /// The kernel has cleared `rseq_cs` before the signal came. Try again.
    Lost,
    /// There is no such boundary.
    Never,
}

/// Linux, `include/uapi/linux/rseq.h`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Descriptor {
    version: u32,
    flags: u32,
    start: u64,
    length: u64,
    abort: u64,
}

#[derive(Clone, Copy)]
struct Plan {
    /// Of the thread's `struct rseq`: `rseq_cs`.
    note: *mut *const Descriptor,
    descriptor: *const Descriptor,
    sequence: Descriptor,
    /// Which boundary; 0 is before the first instruction.
    boundary: usize,
    /// At which one the thread is, once it is in the sequence.
    at: Option<usize>,
    then: *const dyn Fn(),
    ended: Interrupted,
}

thread_local! {
    static LEARNT: Cell<*const Descriptor> = const { Cell::new(ptr::null()) };
    static PLAN: Cell<Option<Plan>> = const { Cell::new(None) };
}

/// The flag in RFLAGS that interrupts after each instruction (Intel SDM 3A, 2.3).
const TRAP: i64 = 1 << 8;

/// Records which sequence `call` enters. `false` if the thread's `struct rseq` is not glibc's.
pub(crate) fn learn(call: impl Fn()) -> bool {
    let Some(note) = note() else {
        return false;
    };
    // The kernel may have removed it since.
    for _ in 0..1000 {
        call();
        // SAFETY: the thread's own.
        let descriptor = unsafe { note.read_volatile() };
        if !descriptor.is_null() {
            LEARNT.set(descriptor);
            return true;
        }
    }
    panic!("no sequence was recorded");
}

/// Makes the call, interrupts it at this boundary of the recorded sequence, and does `then` there.
pub(crate) fn interrupt(boundary: usize, call: impl FnOnce(), then: impl Fn()) -> Interrupted {
    let descriptor = LEARNT.get();
    let then: &dyn Fn() = &then;
    // SAFETY: only lengthens its lifetime; the plan ends with this call.
    let then: *const (dyn Fn() + 'static) = unsafe { mem::transmute(then) };
    handle(libc::SIGTRAP, stepped);
    handle(libc::SIGUSR1, interrupted);
    PLAN.set(Some(Plan {
        note: note().expect("as when it was learnt"),
        descriptor,
        // SAFETY: the kernel has read it there.
        sequence: unsafe { *descriptor },
        boundary,
        at: None,
        then,
        ended: Interrupted::Never,
    }));
    // SAFETY: the handler knows what to do at each step.
    unsafe { asm!("pushfq", "or qword ptr [rsp], {}", "popfq", const TRAP) };
    call();
    // SAFETY: no more steps.
    unsafe { asm!("pushfq", "and qword ptr [rsp], {}", "popfq", const !TRAP) };
    PLAN.take().expect("set above").ended
}

/// After each instruction.
extern "C" fn stepped(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: as the kernel gives it to a handler.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let mut plan = PLAN.get().expect("only this plan traps");
    let sequence = plan.sequence;
    let registers = &mut context.uc_mcontext.gregs;
    let ip = registers[libc::REG_RIP as usize].cast_unsigned();
    plan.at = match plan.at {
        // The step after `rseq_cs` was set was at the sequence's start: the kernel has sent the
        // thread away and cleared it. From here on the thread goes through the sequence without.
        None if ip == sequence.abort => {
            registers[libc::REG_RIP as usize] = sequence.start.cast_signed();
            Some(0)
        }
        Some(at) => Some(at + 1),
        None => None,
    };
    if plan.at == Some(plan.boundary) {
        registers[libc::REG_EFL as usize] &= !TRAP;
        // SAFETY: it is blocked until this handler returns, and comes then, before anything else.
        unsafe { libc::raise(libc::SIGUSR1) };
        // SAFETY: the thread's own.
        unsafe { plan.note.write_volatile(plan.descriptor) };
    }
    PLAN.set(Some(plan));
}

/// At the boundary.
extern "C" fn interrupted(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: as the kernel gives it to a handler.
    let context = unsafe { &*context.cast::<libc::ucontext_t>() };
    let mut plan = PLAN.get().expect("only this plan raises it");
    let sequence = plan.sequence;
    let ip = context.uc_mcontext.gregs[libc::REG_RIP as usize].cast_unsigned();
    plan.ended = match ip {
        ip if ip == sequence.abort => Interrupted::Inside,
        ip if ip == sequence.start + sequence.length => Interrupted::AtTheEnd,
        _ => Interrupted::Lost,
    };
    PLAN.set(Some(plan));
    if plan.ended != Interrupted::Lost {
        // SAFETY: it lives while the plan does.
        unsafe { (*plan.then)() };
    }
}

/// Where glibc's `struct rseq` of this thread has its `rseq_cs`, if there is one.
fn note() -> Option<*mut *const Descriptor> {
    // Linux, `include/uapi/linux/rseq.h`.
    const NOTE: usize = 8;
    Some(glibc_area()?.wrapping_add(NOTE).cast())
}

/// glibc's `struct rseq` of this thread, if registered (glibc manual, "Restartable Sequences").
pub(crate) fn glibc_area() -> Option<*mut u8> {
    // SAFETY: a name.
    let offset = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__rseq_offset".as_ptr()) };
    // SAFETY: a name.
    let size = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__rseq_size".as_ptr()) };
    if offset.is_null() || size.is_null() {
        return None;
    }
    // SAFETY: glibc's `const unsigned int`.
    if unsafe { *size.cast::<u32>() } == 0 {
        return None;
    }
    let thread: *mut u8;
    // SAFETY: the thread pointer.
    unsafe { asm!("mov {}, fs:[0]", out(reg) thread) };
    // SAFETY: glibc's `const ptrdiff_t`.
    Some(thread.wrapping_offset(unsafe { *offset.cast::<isize>() }))
}

type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);

/// Has this handler called. Both signals wait while one is handled.
pub(crate) fn handle(signal: c_int, handler: Handler) {
    // SAFETY: all zero is an action.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
    for waiting in [libc::SIGTRAP, libc::SIGUSR1] {
        // SAFETY: a set of signals.
        unsafe { libc::sigaddset(&raw mut action.sa_mask, waiting) };
    }
    // SAFETY: the handlers of this test do nothing that is illegal there.
    let failed = unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
    assert_eq!(failed, 0, "{}", std::io::Error::last_os_error());
}
