//! Test platforms with the host's per-CPU counters.

/// Implements `PerCpuPlatform` for a platform, by that of `HostPlatform`.
macro_rules! counters_of_the_host {
    ($platform:ty) => {
        // SAFETY: the host's, in all.
        unsafe impl rundown::PerCpuPlatform for $platform {
            fn allocate() -> Result<rundown::CounterId, rundown::Unavailable> {
                rundown::HostPlatform::allocate()
            }

            unsafe fn free(counter: rundown::CounterId) {
                // SAFETY: as for this function.
                unsafe { rundown::HostPlatform::free(counter) }
            }

            #[inline]
            unsafe fn add_if_open(gate: &rundown::PerCpuGate, n: i64) -> bool {
                // SAFETY: as for this function.
                unsafe { rundown::HostPlatform::add_if_open(gate, n) }
            }

            fn barrier() {
                rundown::HostPlatform::barrier();
            }

            fn cpus() -> usize {
                rundown::HostPlatform::cpus()
            }

            unsafe fn count(counter: rundown::CounterId, cpu: usize) -> i64 {
                // SAFETY: as for this function.
                unsafe { rundown::HostPlatform::count(counter, cpu) }
            }

            unsafe fn racy_own_count(counter: rundown::CounterId) -> i64 {
                // SAFETY: as for this function.
                unsafe { rundown::HostPlatform::racy_own_count(counter) }
            }

            unsafe fn clear(counter: rundown::CounterId, cpu: usize) {
                // SAFETY: as for this function.
                unsafe { rundown::HostPlatform::clear(counter, cpu) }
            }
        }
    };
}

pub(crate) use counters_of_the_host;
