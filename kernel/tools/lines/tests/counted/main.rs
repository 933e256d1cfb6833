//! What each design touches, counted on simulated machines, is what the formulas say. Exactly.

mod machine;

use lines::{
    Cost, Counters, Guarded, Kind, LINE, Machine, PER_LINE, Pairs, Step, Subject, WindowsShape,
};
use rundown_traced::{
    CacheAware, CacheAwareRundown, PerCpu, PerCpuRundown, Plain, PlainRundown, Slot,
};

use crate::machine::{Simulated, Simulator};

/// Numbers of CPUs: small ones, those around a full line of counters and a full word of a bit mask, and
/// the largest that the model is meant for.
const CPUS: [usize; 14] = [1, 2, 3, 7, 8, 9, 17, 63, 64, 65, 255, 256, 1024, 4096];

/// A machine with room for an object's lines, each slot two of them, and the barrier's.
fn machine(cpus: usize, objects: usize) -> Simulated {
    Simulated::new(cpus, 4 * (cpus + 8) * objects.max(2))
}

fn plain() -> Guarded<Plain<Simulator>> {
    Guarded::new(PlainRundown::new())
}

fn cache_aware(cpus: usize) -> Guarded<CacheAware<Simulator>> {
    Guarded::new(CacheAwareRundown::boxed(cpus))
}

fn per_cpu() -> Guarded<PerCpu<Simulator>> {
    Guarded::new(PerCpuRundown::new().expect("there are counters"))
}

/// Compares what was counted with the formula.
fn check(kind: Kind, cpus: usize, counted: &[(Step, Cost)]) {
    for &(step, cost) in counted {
        let formula = kind.cost(step, cpus as u64);
        assert_eq!(Some(cost), formula, "{kind:?}, {step:?}, {cpus} CPUs");
    }
}

/// Runs the scripts of pairs and of a life on machines of all sizes.
macro_rules! counts_are_as_the_formula_says {
    ($($test:ident: $kind:expr, $make:expr, [$($script:ident),+];)+) => {$(
        #[test]
        fn $test() {
            for cpus in CPUS {
                let machine = machine(cpus, 1);
                let make: fn(usize) -> _ = $make;
                $(check($kind, cpus, &lines::$script(&machine, &make(cpus)));)+
            }
        }
    )+};
}

counts_are_as_the_formula_says! {
    plain_kind: Kind::Plain, |_| plain(), [pairs, life];
    cache_aware_kind: Kind::CacheAware, cache_aware, [pairs, life];
    per_cpu_kind: Kind::PerCpu, |_| per_cpu(), [pairs, life];
    windows_shape: Kind::Windows, WindowsShape::<Simulator>::new, [pairs, life];
    shared_counter: Kind::Shared, |_| Counters::<Simulator>::new(1), [pairs];
    false_sharing: Kind::Unpadded, Counters::<Simulator>::new, [pairs];
}

/// On a cache line.
#[repr(align(64))]
struct Aligned<T>(T);

#[test]
fn objects_that_are_closed_together() {
    for cpus in [1, 2, 8, 64, 255, 4096] {
        // Around a full line of counters.
        for objects in [1, 8, 9] {
            let expected = |kind: Kind| kind.batch(objects as u64, cpus as u64);
            let message = format!("{objects} objects, {cpus} CPUs");
            let each = 0..objects;

            let machine = machine(cpus, objects);
            let slots: Vec<_> = each
                .clone()
                .map(|_| CacheAwareRundown::<Simulator>::boxed(cpus))
                .collect();
            let counted = lines::batch(&machine, &slots);
            assert_eq!(Some(counted), expected(Kind::CacheAware), "{message}");

            let counters: Vec<_> = each
                .map(|_| PerCpuRundown::<Simulator>::new().expect("there are counters"))
                .collect();
            let counted = lines::batch(&machine, &counters);
            assert_eq!(Some(counted), expected(Kind::PerCpu), "{message}");

            let words = Aligned([const { PlainRundown::<Simulator>::new() }; 9]);
            let counted = lines::batch(&machine, &words.0[..objects]);
            assert_eq!(Some(counted), expected(Kind::Plain), "{message}");
        }
    }
}

/// What the per-CPU kind's dense packing costs: the sweep of one object leaves the lines of its
/// neighbours' counters shared, so each other CPU has to take its line back, once.
#[test]
fn a_close_disturbs_its_neighbours_once() {
    for cpus in CPUS {
        let machine = machine(cpus, 2);
        let (closed, neighbour) = (per_cpu(), per_cpu());
        let use_neighbour = || {
            let before = machine.counted();
            for cpu in 0..cpus {
                machine.on(cpu, &|| {
                    assert!(neighbour.acquire());
                    neighbour.release();
                });
            }
            machine.counted() - before
        };
        use_neighbour();
        assert_eq!(use_neighbour(), Cost::NONE);
        machine.on(0, &|| closed.close());
        assert_eq!(use_neighbour(), Cost::new(0, cpus as u64 - 1));
        assert_eq!(use_neighbour(), Cost::NONE);
    }
}

/// Whoever acquires on one CPU and releases on another leaves counters that are not zero, and the
/// re-init has to write those, and those only.
#[test]
fn a_reinit_writes_the_counters_that_are_not_zero() {
    for moved in [0, 1, 5] {
        let machine = machine(64, 1);
        let object = per_cpu();
        for cpu in 1..=moved {
            machine.on(cpu, &|| assert!(object.acquire()));
            machine.on(cpu + 30, &|| object.release());
        }
        machine.on(0, &|| object.close());
        let before = machine.counted();
        machine.on(0, &|| object.reinit());
        assert_eq!(machine.counted() - before, Cost::new(0, 2 * moved as u64));
    }
}

#[test]
fn memory_is_as_the_formula_says() {
    fn size<T>() -> u64 {
        size_of::<T>() as u64
    }
    assert_eq!(
        Kind::Plain.memory().object,
        size::<PlainRundown<Simulator>>()
    );
    let cache_aware = Kind::CacheAware.memory();
    assert_eq!(cache_aware.object, size::<CacheAwareRundown<Simulator>>());
    assert_eq!(cache_aware.per_cpu, size::<Slot>());
    let per_cpu = Kind::PerCpu.memory();
    assert_eq!(per_cpu.object, size::<PerCpuRundown<Simulator>>());
    assert_eq!(per_cpu.per_cpu, (LINE / PER_LINE) as u64);
}
