//! On which CPU a thread runs.

pub(crate) use system::{allowed, move_to};

#[cfg(target_os = "linux")]
mod system {
    use std::mem;
    use std::sync::OnceLock;

    /// The number of a CPU on which the process may run; each has indices, as far as they go round.
    pub(crate) fn allowed(index: usize) -> usize {
        static ALLOWED: OnceLock<Vec<usize>> = OnceLock::new();
        let allowed = ALLOWED.get_or_init(|| {
            // The main thread's: the others have moved, or their parents.
            let set = affinity_of_the_main_thread();
            (0..libc::CPU_SETSIZE as usize)
                // SAFETY: below the size of the set.
                .filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) })
                .collect()
        });
        allowed[index % allowed.len()]
    }

    fn affinity_of_the_main_thread() -> libc::cpu_set_t {
        // SAFETY: a set of bits, none of them set.
        let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
        let pid = std::process::id().cast_signed();
        // SAFETY: the set has the size given.
        let failed =
            unsafe { libc::sched_getaffinity(pid, size_of::<libc::cpu_set_t>(), &raw mut set) };
        assert_eq!(failed, 0, "{}", std::io::Error::last_os_error());
        set
    }

    /// Moves the calling thread to this CPU, for good. Threads that it starts will run there, too,
    /// until they move.
    pub(crate) fn move_to(cpu: usize) {
        // SAFETY: a set of bits, none of them set.
        let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
        // SAFETY: the number is one that the system has given.
        unsafe { libc::CPU_SET(cpu, &mut set) };
        // SAFETY: the set has the size given; 0 is the calling thread.
        let failed =
            unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
        assert_eq!(failed, 0, "{}", std::io::Error::last_os_error());
    }
}

/// Where threads have no counters, nothing asks.
#[cfg(not(target_os = "linux"))]
mod system {
    pub(crate) fn allowed(index: usize) -> usize {
        index
    }

    pub(crate) fn move_to(_: usize) {}
}
