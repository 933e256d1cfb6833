//! What the owner of an object pays, while other CPUs use it.

use protocol::{
    bench::{Barrier, Contender, Teardown},
    histogram::Histogram,
};
use rundown::PerCpuPlatform;

use super::{
    contender::{Closable, Contenders, Hammered},
    crew,
};
use crate::{clock, platform::KernelPlatform};

/// How long, in nanoseconds, the object is left open between two teardowns, so that those who found it
/// closed are at it again.
const OPEN: u64 = 20_000;

/// Tears an object down, on CPU 0, as often as it can be in so many milliseconds, but once at least.
pub(super) fn teardowns(
    cpus: u32,
    variant: Contender,
    object: &dyn Closable,
    millis: u32,
) -> Teardown {
    let (mut close, mut drain) = (Histogram::new(), Histogram::new());
    repeat(cpus, object, millis, || {
        close.record(object.close());
        drain.record(object.drain());
        object.reopen();
    });
    Teardown {
        variant,
        cpus,
        times: close.count(),
        close: close.latency(),
        drain: drain.latency(),
        left: object.left(),
    }
}

/// The same for the barrier alone.
pub(super) fn barriers(cpus: u32, contenders: &Contenders, millis: u32) -> Barrier {
    let mut time = Histogram::new();
    repeat(cpus, contenders.hammered(Contender::PerCpu), millis, || {
        let start = clock::nanos();
        KernelPlatform::barrier();
        time.record(clock::nanos() - start);
    });
    Barrier {
        cpus,
        times: time.count(),
        time: time.latency(),
    }
}

/// Has CPU 0 do something again and again for so many milliseconds, once at least, while the others of
/// the first `cpus` CPUs use `contender`.
fn repeat(cpus: u32, contender: &dyn Hammered, millis: u32, mut each: impl FnMut() + Send) {
    crew::together(cpus, contender, |start| {
        let end = start + u64::from(millis) * 1_000_000;
        let mut times = 0;
        while times == 0 || clock::nanos() < end {
            clock::spin_for(OPEN);
            each();
            times += 1;
        }
        times
    });
}
