//! The cost of closing: rounds of the barrier, counted.

use std::thread;

use rundown::{HostPlatform, PerCpuPlatform, Spin, WaitOutcome};

use crate::{Object, alone, object};

#[test]
fn a_thousand_objects_close_in_one_round() {
    alone(|| {
        if object().is_none() {
            return;
        }
        let objects: Vec<Object> = (0..1000).map(|_| object().expect("one of many")).collect();
        let guards: Vec<_> = objects.iter().map(Object::try_acquire).collect();
        let before = HostPlatform::barriers();
        Object::close_all(&mut objects.iter().collect::<Vec<_>>()).expect("a thread");
        assert_eq!(HostPlatform::barriers() - before, 1);
        assert!(objects.iter().all(|object| object.try_acquire().is_none()));
        drop(guards);
        for object in &objects {
            assert_eq!(object.wait(&Spin), WaitOutcome::Drained);
        }
        assert_eq!(HostPlatform::barriers() - before, 1, "all were closed");
    });
}

#[test]
fn each_of_many_callers_has_a_round() {
    const CALLS: u64 = 500;
    const THREADS: u64 = 8;
    alone(|| {
        if object().is_none() {
            return;
        }
        let before = HostPlatform::barriers();
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..CALLS {
                        let before = HostPlatform::barriers();
                        HostPlatform::barrier();
                        assert!(HostPlatform::barriers() > before, "no round since the call");
                    }
                });
            }
        });
        let rounds = HostPlatform::barriers() - before;
        assert!(rounds >= CALLS, "each call of a thread begins after its last");
        assert!(rounds <= THREADS * CALLS, "{rounds} rounds: one caller had two");
    });
}
