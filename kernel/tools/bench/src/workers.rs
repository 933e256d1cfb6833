//! Threads pinned to a CPU each.

use std::panic::{self, AssertUnwindSafe};
use std::{io, process, thread};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::pinned;

/// One thread on each CPU that this process may use, whenever there is something to run.
pub struct Workers {
    cpus: Vec<usize>,
}

impl Workers {
    pub fn new() -> io::Result<Self> {
        let allowed = sched_getaffinity(None)?;
        Ok(Self { cpus: (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu)).collect() })
    }

    pub fn count(&self) -> usize {
        self.cpus.len()
    }

    /// How many threads to measure with: 1, 2, 4..., and all there are.
    pub fn steps(&self) -> Vec<usize> {
        let powers = (0..).map(|power| 1 << power).take_while(|&step| step < self.count());
        powers.chain([self.count()]).collect()
    }

    /// Runs `job` on the first `threads` workers at once, and returns what each made of it. A job
    /// that panics ends the process: the other threads may wait for it for ever.
    pub fn run<T: Send>(&self, threads: usize, job: impl Fn() -> T + Sync) -> Vec<T> {
        let work = &|index, cpu| {
            let result = panic::catch_unwind(AssertUnwindSafe(|| {
                let mut only = CpuSet::new();
                only.set(cpu);
                sched_setaffinity(None, &only).expect("an allowed CPU");
                pinned::stand_for(index);
                job()
            }));
            result.unwrap_or_else(|_| process::exit(101))
        };
        thread::scope(|scope| {
            let cpus = self.cpus[..threads].iter().enumerate();
            let spawn = |(index, &cpu)| scope.spawn(move || work(index, cpu));
            let threads: Vec<_> = cpus.map(spawn).collect();
            threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_worker_stays_on_its_own_cpu() {
        let workers = Workers::new().expect("CPUs");
        let places = workers.run(workers.count(), || {
            let allowed = sched_getaffinity(None).expect("readable").count();
            (pinned::cpu(), allowed, rustix::thread::sched_getcpu())
        });
        let expected = workers.cpus.iter().enumerate();
        assert!(places.into_iter().eq(expected.map(|(index, &cpu)| (index, 1, cpu))));
    }

    #[test]
    fn steps_double_and_end_with_all() {
        let steps = |count| Workers { cpus: vec![0; count] }.steps();
        assert_eq!([steps(1), steps(2), steps(6)].concat(), [1, 1, 2, 1, 2, 4, 6]);
    }
}
