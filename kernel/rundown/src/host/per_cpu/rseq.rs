//! Where each thread's `struct rseq` is, and whether glibc or this module registers it.
//!
//! The kernel writes into this piece of thread-local memory on which CPU the thread runs, and reads
//! there which sequence it is in (Linux, `include/uapi/linux/rseq.h`). A thread has one, shared by
//! all libraries of the process. Since version 2.35 glibc registers it, at the same distance from
//! the thread pointer in every thread (glibc manual, "Restartable Sequences"). Where it does not
//! (an older version, another libc, or the tunable `glibc.pthread.rseq` is 0), this module has one
//! of its own, which a thread registers when it first counts: in *static* thread-local memory, at
//! one distance as well, so that a signal handler may reach it.
//!
//! `unsafe` in this module: linker symbols, thread-local memory by assembly, system calls.

use core::arch::{asm, global_asm};
use core::ffi::{c_int, c_long, c_void};
use core::ptr;
use core::sync::atomic::{AtomicIsize, AtomicU32, Ordering};
use std::{fs, io};

use super::super::key::{TlsKey, keeping_errno};
use crate::state::Unavailable;

/// Stands before the code that the kernel may send a thread to (`RSEQ_SIG` in glibc's `bits/rseq.h`
/// for x86: an agreement among all users).
pub(super) const SIGNATURE: u32 = 0x5305_3053;

/// Where `struct rseq` has its `cpu_id`. (`uapi/linux/rseq.h`; so are the following.)
pub(super) const CPU_ID: usize = 4;
/// Where it has the address of the `struct rseq_cs` that describes the sequence.
pub(super) const SEQUENCE: usize = 8;
/// The size of the first version; the kernel takes no less.
const SIZE: u32 = 32;
/// `cpu_id`: the thread is not registered. Negative, as the next.
const UNINITIALIZED: u32 = u32::MAX;
/// `cpu_id`: the thread cannot be registered.
const FAILED: u32 = u32::MAX - 1;
/// The flag of the system call that ends a registration.
const UNREGISTER: c_int = 1;

/// The data that every sequence reads. Written before there is a counter, always the same: a thread
/// that has a counter got it from one that had seen this, so all loads are Relaxed.
#[repr(align(128))] // Nothing near it is written.
pub(super) struct RseqData {
    /// From the thread pointer to the thread's `struct rseq`; 0 until it is known, since the C
    /// library's own data begins at 0.
    offset: AtomicIsize,
    /// How many CPUs have rows of their own: no CPU has this number, or a higher one.
    cpus: AtomicU32,
}

static DATA: RseqData = RseqData { offset: AtomicIsize::new(0), cpus: AtomicU32::new(0) };

/// From the thread pointer to the thread's `struct rseq`.
#[inline]
pub(super) fn offset() -> isize {
    // Relaxed: pairs with nothing, see `RseqData`.
    DATA.offset.load(Ordering::Relaxed)
}

/// The running CPU, below [`cpus`], if the thread's `rseq` is registered. A hint: it may be another
/// one on return. Any context, also before [`prepare`].
#[inline]
pub(in super::super) fn cpu_hint() -> Option<usize> {
    let offset = match offset() {
        0 => locate(),
        offset => offset,
    };
    // `UNINITIALIZED` and `FAILED` are negative.
    usize::try_from(cpu_id(offset).cast_signed()).ok()
}

/// Finds the thread's `struct rseq`, the first time: glibc's or this module's own. Its distance is
/// the same for all threads, so more than one may find it at a time.
#[cold]
fn locate() -> isize {
    let offset = glibc_offset().unwrap_or_else(own_offset);
    // Relaxed: pairs with nothing, it is nothing but a number.
    DATA.offset.store(offset, Ordering::Relaxed);
    offset
}

/// How many CPUs there can be.
#[inline]
pub(super) fn cpus() -> usize {
    // Relaxed: pairs with nothing, see `RseqData`.
    DATA.cpus.load(Ordering::Relaxed) as usize
}

/// Finds glibc's registration, or makes the calling thread's own. Once.
pub(super) fn prepare() -> Result<(), Unavailable> {
    if locate() == own_offset() {
        register()?;
    }
    // Relaxed: pairs with nothing, see `RseqData`.
    DATA.cpus.store(possible_cpus(), Ordering::Relaxed);
    cpu_hint().map(drop).ok_or(Unavailable::Unsupported(
        "this thread has no rseq, although its libc says so; use CacheAwareRundown",
    ))
}

/// Registers the calling thread, if glibc does not and it has not failed before: `true` if it may
/// count. Also in a signal handler, also in one that comes in the middle of this.
#[cold]
pub(super) fn register_late() -> bool {
    if offset() != own_offset() || cpu_id(own_offset()) != UNINITIALIZED {
        return false;
    }
    let registered = keeping_errno(|| register().is_ok());
    if !registered {
        // Another library registered this thread, or a filter forbids it. It does not try again.
        set_cpu_id(FAILED);
    }
    registered
}

/// Registers the calling thread's own `struct rseq`.
fn register() -> Result<(), Unavailable> {
    let failure = match rseq(0) {
        Ok(()) if AT_EXIT.set() => return Ok(()),
        Ok(()) => {
            let _ = rseq(UNREGISTER);
            "the process has used up the thread-specific keys whose values can be set without allocating \
             memory (with glibc the first 32); use CacheAwareRundown"
        }
        // A signal handler was faster.
        Err(libc::EBUSY) => return Ok(()),
        Err(libc::ENOSYS) => {
            "the kernel has no rseq (Linux 4.18 brought it); use CacheAwareRundown"
        }
        Err(libc::EINVAL | libc::EPERM) => {
            "another library has registered this thread's rseq, or a filter of system calls (seccomp) \
             forbids it; use CacheAwareRundown"
        }
        Err(_) => "the kernel refuses rseq to this thread; use CacheAwareRundown",
    };
    Err(Unavailable::Unsupported(failure))
}

/// A thread's memory may be freed before the kernel ends the thread, and must not be while the
/// kernel writes there. So a thread-specific destructor ends the registration first.
static AT_EXIT: TlsKey = TlsKey::new(unregister);

extern "C" fn unregister(_: *mut c_void) {
    // Where it fails, the thread was not registered.
    let _ = rseq(UNREGISTER);
    // Later destructors count as a thread without.
    set_cpu_id(FAILED);
}

/// This thread's own `struct rseq`.
fn own_area() -> *mut u32 {
    let thread_pointer: usize;
    // SAFETY: the ABI has the thread pointer there (ELF Handling For Thread-Local Storage, 3.4.2).
    unsafe {
        asm!("mov {}, fs:[0]", out(reg) thread_pointer, options(nostack, readonly, preserves_flags));
    }
    ptr::with_exposed_provenance_mut(thread_pointer.wrapping_add_signed(own_offset()))
}

/// The system call, for this thread's own `struct rseq`; the error is an `errno`.
fn rseq(flags: c_int) -> Result<(), c_int> {
    // SAFETY: the area has this size and alignment, and is unregistered before its memory goes.
    let done: c_long = unsafe { libc::syscall(libc::SYS_rseq, own_area(), SIZE, flags, SIGNATURE) };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error().raw_os_error().unwrap_or(0)),
    }
}

/// The `cpu_id` in the `struct rseq` at this distance.
#[inline]
fn cpu_id(offset: isize) -> u32 {
    let cpu_id: u32;
    // SAFETY: the thread's `struct rseq` or, before `prepare`, its control block: both are mapped.
    unsafe {
        asm!(
            "mov {cpu_id:e}, dword ptr fs:[{rseq} + {field}]",
            cpu_id = out(reg) cpu_id,
            rseq = in(reg) offset,
            field = const CPU_ID,
            options(nostack, readonly, preserves_flags),
        );
    }
    cpu_id
}

/// For the module's own `struct rseq`, not registered.
fn set_cpu_id(cpu_id: u32) {
    let place = own_area().wrapping_byte_add(CPU_ID);
    // SAFETY: the thread's own, and the kernel does not use it.
    unsafe { place.write_volatile(cpu_id) }
}

/// The name of the module's own `struct rseq`, made of the crate's name and version, so that
/// two versions of this crate, or two builds of it, get along. (Weak: two static libraries
/// that contain the same one share it.)
macro_rules! own_area {
    () => {
        concat!(
            env!("CARGO_CRATE_NAME"),
            "_rseq_",
            env!("CARGO_PKG_VERSION_MAJOR"),
            "_",
            env!("CARGO_PKG_VERSION_MINOR"),
            "_",
            env!("CARGO_PKG_VERSION_PATCH")
        )
    };
}

global_asm!(
    ".pushsection .tdata.rundown_rseq, \"awT\", @progbits",
    concat!(".weak ", own_area!()),
    concat!(".hidden ", own_area!()),
    concat!(".type ", own_area!(), ", @tls_object"),
    concat!(".size ", own_area!(), ", 32"),
    ".balign 32",
    concat!(own_area!(), ":"),
    // cpu_id_start, cpu_id; rseq_cs; flags; padding.
    ".long 0, {uninitialized}",
    ".quad 0",
    ".long 0, 0, 0, 0",
    ".popsection",
    uninitialized = const UNINITIALIZED,
);

/// From the thread pointer to the thread's own `struct rseq`.
fn own_offset() -> isize {
    let offset: isize;
    // SAFETY: loads what the linker or the loader computed ("initial exec").
    unsafe {
        asm!(
            concat!("mov {}, qword ptr [rip + ", own_area!(), "@GOTTPOFF]"),
            out(reg) offset,
            options(nostack, pure, readonly, preserves_flags),
        );
    }
    offset
}

/// From the thread pointer to glibc's `struct rseq`, if it has registered one.
fn glibc_offset() -> Option<isize> {
    let (offset, size): (*const isize, *const u32);
    // Weak: where no library defines them, their addresses are null. (`dlsym` would not do in a
    // program that is linked statically.)
    // SAFETY: loads two addresses that the linker or the loader computed.
    unsafe {
        asm!(
            ".weak __rseq_offset",
            ".weak __rseq_size",
            "mov {offset}, qword ptr [rip + __rseq_offset@GOTPCREL]",
            "mov {size}, qword ptr [rip + __rseq_size@GOTPCREL]",
            offset = out(reg) offset,
            size = out(reg) size,
            options(nostack, pure, readonly, preserves_flags),
        );
    }
    if offset.is_null() || size.is_null() {
        return None;
    }
    // SAFETY: glibc's `extern const unsigned int __rseq_size`.
    let size = unsafe { *size };
    // SAFETY: glibc's `extern const ptrdiff_t __rseq_offset`.
    (size != 0).then(|| unsafe { *offset })
}

/// One more than the highest number that Linux may ever give a CPU of this machine. Were it too
/// low, sequences would write behind the rows.
fn possible_cpus() -> u32 {
    // It says what the kernel's own tables per CPU are made for: `cpu_id` is below, always.
    let listed = fs::read_to_string("/sys/devices/system/cpu/possible");
    listed
        .ok()
        .and_then(|list| highest(&list))
        .map_or_else(cpus_in_a_mask, |highest| highest.saturating_add(1))
}

/// The capacity of the kernel's masks of CPUs: as many as are possible, or some more.
fn cpus_in_a_mask() -> u32 {
    // Linux has at most 8,192 CPUs on x86-64 (`NR_CPUS`, arch/x86/Kconfig).
    const MOST: u32 = 1 << 13;
    let mut mask = [0_u8; MOST as usize / 8];
    // SAFETY: a place for that many bytes. (The C library's function does not return their number.)
    let written =
        unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, mask.len(), mask.as_mut_ptr()) };
    u32::try_from(written).map_or(MOST, |bytes| bytes * 8)
}

/// The last number of a list such as `0-3,8-11`.
fn highest(list: &str) -> Option<u32> {
    list.trim().rsplit([',', '-']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus() {
        for (list, last) in [
            ("0\n", Some(0)),
            ("0-7\n", Some(7)),
            ("0-3,8-11\n", Some(11)),
            ("0,2\n", Some(2)),
            ("\n", None),
        ] {
            assert_eq!(highest(list), last, "{list:?}");
        }
    }

    #[test]
    fn a_mask_has_room_for_all_that_are_listed() {
        let listed = fs::read_to_string("/sys/devices/system/cpu/possible");
        if let Some(highest) = listed.ok().and_then(|list| highest(&list)) {
            assert!(highest < cpus_in_a_mask());
        }
    }
}
