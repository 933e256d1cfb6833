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
pub const PLAIN: &str = "PlainRundown";
/// The plain one as a program without a kernel uses it.
pub const PLAIN_HOSTED: &str = "PlainRundown, HostPlatform";
/// The reference count that everybody has.
pub const ARC: &str = "std Arc, clone + drop";
/// The fastest of the well-known epochs.
pub const CROSSBEAM: &str = "crossbeam-epoch, pin";
/// What Windows does.
pub const WINDOWS: &str = "Windows' shape: own slot, load + lock cmpxchg";
/// The limit for counters in slots: locked instructions on a slot of the thread's own.
pub const LOCKED: &str = "own slot, lock xadd twice";
/// The limit for plain counters: no lock prefix.
pub const UNLOCKED: &str = "own word, test flag, inc gs:, dec gs:";
/// What any close of a slot per CPU must do at least.
pub const SWEEP: &str = "limit: one pass, lock xadd";
/// The per-CPU variant, its value on a line of its own.
pub const PER_CPU_ISOLATED: &str = "per-CPU, Isolated";
/// The per-CPU variant, its value beside the state word.
pub const PER_CPU_COMPACT: &str = "per-CPU, Compact";
/// The cache-aware variant, its value beside the state word.
pub const TWO_SLOTS_COMPACT: &str = "cache-aware, 2 slots, Compact";
