//! Users and owners on all CPUs: the races that `rundown` runs on threads.

#[path = "../../../../kernel/rundown/tests/races/scenarios.rs"]
mod scenarios;

use kernel::platform::{Halt, KernelPlatform};
use kernel::testing::Test;
use kernel::{cpu, smp};
use test_kernels::{Barrier, tests};

pub(crate) use scenarios::only_the_last_release_drains;
use scenarios::{every_worker_is_an_owner, torn_down_again_and_again};

pub(crate) fn tests() -> &'static [Test] {
    tests! {
        each { only_the_last_release_drains, torn_down_again_and_again, every_worker_is_an_owner }
    }
}

/// All CPUs that run.
struct Crew(Barrier);

impl Crew {
    const WAIT: Halt = Halt;

    fn gather() -> Self {
        Self(Barrier::for_all())
    }

    fn workers(&self) -> usize {
        cpu::count()
    }

    fn rounds(&self, most: u32) -> u64 {
        test_kernels::rounds(most).into()
    }

    /// By their places among those that run.
    fn run(&self, work: &(dyn Fn(usize) + Sync)) {
        smp::run_on_each(&|me| work(cpu::online().take_while(|other| *other < me).count()));
    }

    fn wander(&self, _: usize) {}

    fn meet(&self) {
        self.0.wait();
    }

    fn until(&self, ready: &mut dyn FnMut() -> bool) {
        Halt.until(ready);
    }

    fn wake_all(&self) {
        KernelPlatform::wake_all();
    }
}
