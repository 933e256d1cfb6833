//! [`HostPlatform`] and [`Park`] as types; their functions are in the module around.

/// Threads instead of CPUs. The [clock](crate::Clock) is in nanoseconds; reports go to stderr.
///
/// [`cpu_hint`](crate::Platform::cpu_hint) is the number of the CPU that runs the thread, where
/// Linux keeps it in the thread's memory (`rseq`: on x86-64 with glibc 2.35 or later, and on
/// threads that use per-CPU counters): give a cache-aware object as many slots as the machine has
/// CPUs. Elsewhere it is the lowest number that no other living thread has.
///
/// # Per-CPU counters
/// On Linux on x86-64 it is a [`PerCpuPlatform`](crate::PerCpuPlatform), so threads may use
/// [`PerCpuRundown`](crate::PerCpuRundown), the cheapest variant. Not every kernel allows that, nor
/// every sandbox: if its `new` fails, use [`CacheAwareRundown`](crate::CacheAwareRundown).
///
/// At most 524,288 counters exist at a time. For the first of them, or for `HostPlatform::per_cpu`,
/// the process reserves 4 MiB of address space for each CPU that the machine can have. It becomes
/// memory when used (or all of it after `mlockall` with `MCL_FUTURE`). Failure is final.
///
/// # Signal handlers
/// Acquire and release are legal in them, on any thread, and leave `errno` alone; but no release of
/// a closed object, since the last one takes a lock if something waits. (On systems other than
/// Linux, a thread's first acquire of a cache-aware object registers a destructor, which may
/// allocate.) Making and closing an object is not legal: a barrier takes a lock.
///
/// # Child processes
/// After `fork`, the child's objects are as they were in the parent, with what was held by threads
/// that the child does not have. If the parent had other threads, the child must not close (POSIX
/// leaves it the functions that are legal in signal handlers).
///
/// A child that shares its parent's memory without being a thread (`vfork`, `clone` with `CLONE_VM`
/// alone) must not acquire or release per-CPU objects: they would miscount. It finds its parent's
/// `rseq`, with the number of a CPU in it, but Linux neither keeps that number up to date for the
/// child nor restarts its sequences, so it writes another CPU's counter by an instruction that is
/// not locked. The other variants work there. (`posix_spawn` and
/// [`Command`](std::process::Command) run nothing of the program's in such a child.)
#[derive(Clone, Copy, Debug, Default)]
pub struct HostPlatform;

/// Blocks the thread until the object is drained. For [`HostPlatform`] only.
///
/// It [parks](std::thread::park) the thread, and allocates what wakes it. An `unpark` that was
/// meant for other code of the thread does no harm here, but is used up.
///
/// The list of waiters has a spin lock, held for a few instructions. A thread of a higher real-time
/// priority (`SCHED_FIFO`) than its holder's may spin on it for ever: give both the same, or poll.
#[derive(Clone, Copy, Debug, Default)]
pub struct Park;
