//! The contenders that others are compared with.

/// The kernel's form of the per-CPU kind.
pub const PER_CPU: &str = "PerCpuRundown, kernel's form (gs:)";
/// Linux' form of it.
pub const PER_CPU_LINUX: &str = "PerCpuRundown, HostPlatform (rseq)";
/// The cache-aware kind, with its slots inside.
pub const CACHE_AWARE: &str = "CacheAwareRundown";
/// The cache-aware kind as a program without a kernel uses it.
pub const CACHE_AWARE_HOSTED: &str = "CacheAwareRundown, boxed, HostPlatform";
/// The plain kind.
pub const PLAIN: &str = "RundownRef";
/// What Windows does.
pub const WINDOWS: &str = "Windows' shape: own slot, load + lock cmpxchg";
/// The limit for counters in slots: locked instructions on a slot of the thread's own.
pub const LOCKED: &str = "own slot, lock xadd twice";
/// The limit for plain counters: no lock prefix.
pub const UNLOCKED: &str = "own word, test flag, inc gs:, dec gs:";
/// What any close of a slot per CPU must do at least.
pub const SWEEP: &str = "limit: one pass, lock xadd";
