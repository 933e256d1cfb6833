//! On which CPU a thread runs.

pub(crate) use system::{allowed, move_to};

#[cfg(target_os = "linux")]
mod system {
    use std::mem;
    use std::sync::OnceLock;

    fn empty() -> libc::cpu_set_t {
        // SAFETY: a set of bits, none of them set.
        unsafe { mem::zeroed() }
    }

    fn check(failed: i32) {
        assert_eq!(failed, 0, "{}", std::io::Error::last_os_error());
    }

    /// The number of a CPU on which the process may run; each has indices, as far as they go round.
    pub(crate) fn allowed(index: usize) -> usize {
        static ALLOWED: OnceLock<Vec<usize>> = OnceLock::new();
        let allowed = ALLOWED.get_or_init(|| {
            let (mut set, size) = (empty(), size_of::<libc::cpu_set_t>());
            // The main thread's: the others have moved, or their parents.
            let pid = std::process::id().cast_signed();
            // SAFETY: the set has the size given.
            check(unsafe { libc::sched_getaffinity(pid, size, &raw mut set) });
            // SAFETY: below the size of the set.
            let is_in = |&cpu: &usize| unsafe { libc::CPU_ISSET(cpu, &set) };
            (0..libc::CPU_SETSIZE as usize).filter(is_in).collect()
        });
        allowed[index % allowed.len()]
    }

    /// Moves the calling thread to this CPU, for good. Threads that it starts will run there, too,
    /// until they move.
    pub(crate) fn move_to(cpu: usize) {
        let mut set = empty();
        // SAFETY: the number is one that the system has given.
        unsafe { libc::CPU_SET(cpu, &mut set) };
        // SAFETY: the set has the size given; 0 is the calling thread.
        check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) });
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
