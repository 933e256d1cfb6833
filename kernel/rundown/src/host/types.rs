//! [`HostPlatform`] and [`Park`] as types; their functions are in the module around.

/// Threads instead of CPUs. Its [clock](crate::Clock) counts nanoseconds, its reports go to the standard error.
///
/// [`cpu_hint`](crate::Platform::cpu_hint) is the number of the CPU that runs the thread, where Linux keeps it in the
/// thread's memory (`rseq`: on x86-64 with glibc 2.35 or later, and on threads that use per-CPU counters). So a
/// cache-aware object has best as many slots as the machine has CPUs. Elsewhere it is the lowest
/// number that no other living thread has.
///
/// A wake-up takes a lock if something waits, so the last release must not happen in a signal handler: no release
/// there of a closed object.
///
/// # Per-CPU counters
/// On Linux on x86-64 it has them ([`PerCpuPlatform`](crate::PerCpuPlatform)), so threads may use the variant that is cheapest to use,
/// [`PerCpuRundown`](crate::PerCpuRundown). Not every kernel does, nor every sandbox; then there is the
/// next best:
///
/// ```
/// use rundown::{CacheAware, CacheAwareRundown, HostPlatform, PerCpu, PerCpuRundown, Protected};
///
/// # #[derive(Debug)]
/// struct Routes(Vec<u32>);
///
/// enum Table {
///     Fast(Protected<Routes, PerCpu<HostPlatform>>),
///     Portable(Protected<Routes, CacheAware<HostPlatform>>),
/// }
///
/// impl Table {
///     fn new(routes: Routes) -> Self {
///         match PerCpuRundown::new() {
///             Ok(rundown) => Self::Fast(Protected::new(rundown, routes)),
///             // `why` is worth a line in the log.
///             Err(_why) => Self::Portable(Protected::new(CacheAwareRundown::boxed(8), routes)),
///         }
///     }
///
///     fn first(&self) -> Option<u32> {
///         match self {
///             Self::Fast(table) => table.try_acquire()?.0.first().copied(),
///             Self::Portable(table) => table.try_acquire()?.0.first().copied(),
///         }
///     }
/// }
///
/// assert_eq!(Table::new(Routes(vec![7])).first(), Some(7));
/// ```
///
/// Acquire and release may be called in signal handlers, on any thread, one that has not
/// counted before included, and leave `errno` alone. (But on systems other than Linux, a thread's first acquire
/// of a cache-aware object registers a destructor, which may allocate memory.) To make and to close an object
/// may not: a barrier takes a lock.
///
/// # Child processes
/// After `fork`, the child's objects are as they were in the parent, with what was held by threads that
/// the child does not have. If the parent had other threads, the child must not close (POSIX leaves it the
/// functions that are legal in signal handlers).
///
/// A child that shares its parent's memory without being a thread (`vfork`, `clone` with `CLONE_VM` alone) must not
/// acquire or release per-CPU objects: they would miscount. It runs on its parent's thread pointer, so it finds
/// its parent's `rseq` with the number of a CPU in it, and takes it for its own. But Linux does not register
/// such a child: it neither keeps that number up to date nor restarts the child's sequences. So the child
/// writes another CPU's counter, by an instruction that is not locked, and a barrier does not stop it. The other
/// variants work there. (`posix_spawn` and [`Command`](std::process::Command) run nothing of the program's in such
/// a child.)
///
/// # Limits
/// There are at most 524,288 counters at a time. For the first of them, or for `HostPlatform::per_cpu`, the process
/// reserves 4 MiB of address space for each CPU that the machine can have. It is memory only where it is used, unless
/// `mlockall` has locked what is mapped in future. If it cannot be had, that is so for the life of the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostPlatform;

/// Blocks the thread until the object is drained. For [`HostPlatform`] only.
///
/// It [parks](std::thread::park) the thread, and allocates what wakes it. An `unpark` that was meant for other
/// code of the thread does no harm here, but is used up.
///
/// The list of waiters has a spin lock, held for a few instructions. Where threads have real-time priorities
/// (`SCHED_FIFO`), one that waits or makes the last release may spin for ever over a holder of a lower priority
/// on its CPU: give both the same priority, or poll.
#[derive(Clone, Copy, Debug, Default)]
pub struct Park;
