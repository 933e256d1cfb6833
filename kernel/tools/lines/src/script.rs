//! What is counted: short scripts in which one CPU acts after the other.

use alloc::vec::Vec;

use rundown_traced::{Rundown, Variant};

use crate::{Cost, Pairs, Step, Subject};

/// CPUs that do what they are told, and what it has cost.
pub trait Machine {
    /// How many there are. The first one, 0, is the owner of objects.
    fn cpus(&self) -> usize;

    /// Runs `work` on a CPU, and returns when it is done.
    fn on(&self, cpu: usize, work: &(dyn Fn() + Sync));

    /// What it has cost since the beginning, on all CPUs.
    fn counted(&self) -> Cost;
}

/// What [pairs](Step::PAIRS) of acquire and release cost.
///
/// # Panics
/// If one is refused.
pub fn pairs(machine: &impl Machine, subject: &impl Pairs) -> Vec<(Step, Cost)> {
    let each = |work: &(dyn Fn() + Sync)| {
        (0..machine.cpus()).for_each(|cpu| machine.on(cpu, work));
    };
    let last = machine.cpus() - 1;
    // The first time is not counted: where lines come from when nobody has them.
    each(&|| pair(subject));
    let steps: [(Step, &dyn Fn()); 3] = [
        (Step::PairsAgain, &|| {
            machine.on(last, &|| (0..10).for_each(|_| pair(subject)));
        }),
        (Step::PairsInTurn, &|| each(&|| pair(subject))),
        (Step::Interleaved, &|| {
            each(&|| acquire(subject));
            each(&|| subject.release());
        }),
    ];
    count(machine, &steps)
}

/// What the [steps of a life](Step::LIFE) cost: an open object that all CPUs have used is closed, opened
/// again, and so on.
///
/// # Panics
/// If the subject does not behave as rundown protection should.
pub fn life(machine: &impl Machine, subject: &impl Subject) -> Vec<(Step, Cost)> {
    let each = |work: &(dyn Fn() + Sync)| {
        (0..machine.cpus()).for_each(|cpu| machine.on(cpu, work));
    };
    let owner = |work: &(dyn Fn() + Sync)| machine.on(0, work);
    let drained = || assert!(subject.is_drained(), "something is held");
    // A first life is not counted: where lines come from when nobody has them.
    each(&|| pair(subject));
    owner(&|| subject.close());
    owner(&|| subject.reinit());
    let steps: [(Step, &dyn Fn()); 5] = [
        (Step::FirstPairs, &|| each(&|| pair(subject))),
        (Step::Close, &|| {
            owner(&|| {
                subject.close();
                drained();
            });
        }),
        (Step::Refusals, &|| {
            each(&|| assert!(!subject.acquire(), "it is closed"));
        }),
        (Step::Reinit, &|| owner(&|| subject.reinit())),
        (Step::FirstPairs, &|| each(&|| pair(subject))),
    ];
    let mut costs = count(machine, &steps);
    // The next life ends while everybody holds.
    each(&|| acquire(subject));
    owner(&|| subject.close());
    let steps: [(Step, &dyn Fn()); 2] = [
        (Step::LateReleases, &|| {
            each(&|| subject.release());
            owner(&drained);
        }),
        (Step::LateReinit, &|| owner(&|| subject.reinit())),
    ];
    costs.extend(count(machine, &steps));
    costs
}

/// What it costs to close `objects` together. Every CPU has used each of them.
///
/// # Panics
/// If an object does not behave as rundown protection should.
pub fn batch<V: Variant>(machine: &impl Machine, objects: &[Rundown<V>]) -> Cost {
    let all: Vec<&Rundown<V>> = objects.iter().collect();
    let use_all = || {
        (0..machine.cpus()).for_each(|cpu| {
            machine.on(cpu, &|| {
                for object in objects {
                    drop(object.try_acquire().expect("it is open"));
                }
            });
        });
    };
    let close_all = || {
        machine.on(0, &|| {
            Rundown::close_all(&mut all.clone()).expect("legal here");
        })
    };
    // Once uncounted, as above.
    use_all();
    close_all();
    machine.on(0, &|| {
        for object in objects {
            object.reinit().expect("it is drained");
        }
    });
    use_all();
    let before = machine.counted();
    close_all();
    assert!(objects.iter().all(Rundown::is_drained), "something is held");
    machine.counted() - before
}

fn pair(subject: &impl Pairs) {
    acquire(subject);
    subject.release();
}

fn acquire(subject: &impl Pairs) {
    assert!(subject.acquire(), "refused although open");
}

/// Takes the steps, and says what each has cost.
fn count(machine: &impl Machine, steps: &[(Step, &dyn Fn())]) -> Vec<(Step, Cost)> {
    let cost = |&(step, take): &(Step, &dyn Fn())| {
        let before = machine.counted();
        take();
        (step, machine.counted() - before)
    };
    steps.iter().map(cost).collect()
}
