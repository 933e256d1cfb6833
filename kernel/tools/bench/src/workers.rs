//! Threads pinned to a CPU each, which stay for the whole run.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, mpsc};
use std::{io, process, thread};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::pinned;

type Job = Box<dyn FnOnce() + Send>;

/// One thread on each CPU that this process may use.
#[derive(Debug)]
pub struct Workers {
    /// Each ends when its sender is dropped.
    queues: Vec<mpsc::Sender<Job>>,
}

impl Workers {
    /// Starts and pins them.
    ///
    /// # Errors
    /// The operating system's, if it will not start or pin a thread.
    pub fn start() -> io::Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let cpus = (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu));
        let queues = cpus
            .enumerate()
            .map(|(index, cpu)| worker(index, cpu))
            .collect::<io::Result<_>>()?;
        Ok(Self { queues })
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.queues.len()
    }

    /// How many threads to measure with: 1, 2, 4..., and all there are.
    #[must_use]
    pub fn steps(&self) -> Vec<usize> {
        let mut steps: Vec<usize> = (0..)
            .map(|power| 1 << power)
            .take_while(|&threads| threads < self.count())
            .collect();
        steps.push(self.count());
        steps
    }

    /// Runs `job` on the first `threads` workers at once, and returns what each made of it.
    ///
    /// A job that panics ends the process.
    ///
    /// # Panics
    /// If there are fewer workers.
    pub fn run<T: Send + 'static>(
        &self,
        threads: usize,
        job: impl Fn() -> T + Send + Sync + 'static,
    ) -> Vec<T> {
        let job = Arc::new(job);
        let results: Vec<_> = self.queues[..threads]
            .iter()
            .map(|queue| {
                let job = Arc::clone(&job);
                let (result, receiver) = mpsc::sync_channel(1);
                queue
                    .send(Box::new(move || {
                        let answer = job();
                        // What the job owns is gone when the last one has answered.
                        drop(job);
                        // The receiver is there until all have answered.
                        let _ = result.send(answer);
                    }))
                    .expect("a worker lives");
                receiver
            })
            .collect();
        results
            .into_iter()
            .map(|result| result.recv().expect("a worker answers"))
            .collect()
    }
}

/// Starts the worker with this index on this CPU.
fn worker(index: usize, cpu: usize) -> io::Result<mpsc::Sender<Job>> {
    let (queue, jobs) = mpsc::channel::<Job>();
    let (pinned, is_pinned) = mpsc::sync_channel(1);
    thread::Builder::new()
        .name(format!("CPU {cpu}"))
        .spawn(move || {
            let mut only = CpuSet::new();
            only.set(cpu);
            let result = sched_setaffinity(None, &only)
                .map_err(io::Error::from)
                .and_then(|()| pinned::stand_for(index));
            let failed = result.is_err();
            // `start` waits for it.
            let _ = pinned.send(result);
            if failed {
                return;
            }
            for job in jobs {
                if panic::catch_unwind(AssertUnwindSafe(job)).is_err() {
                    // The other threads of this measurement wait for this one.
                    process::exit(101);
                }
            }
        })?;
    is_pinned.recv().expect("it answers before it ends")?;
    Ok(queue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_worker_stays_on_its_own_cpu() {
        let workers = Workers::start().expect("threads");
        let places = workers.run(workers.count(), || {
            let allowed = sched_getaffinity(None).expect("readable");
            (
                pinned::cpu(),
                allowed.count(),
                rustix::thread::sched_getcpu(),
            )
        });
        let mut cpus = Vec::new();
        for (expected, (index, allowed, on)) in places.into_iter().enumerate() {
            assert_eq!((index, allowed), (expected, 1));
            cpus.push(on);
        }
        cpus.dedup();
        assert_eq!(cpus.len(), workers.count());
    }

    #[test]
    fn steps_double_and_end_with_all() {
        let steps = |count| {
            let queues = (0..count).map(|_| mpsc::channel().0).collect();
            Workers { queues }.steps()
        };
        assert_eq!(steps(1), [1]);
        assert_eq!(steps(2), [1, 2]);
        assert_eq!(steps(6), [1, 2, 4, 6]);
    }
}
