//! What the loom models share: a platform, a wait policy that sleeps, and the variants.
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "each model file is a crate of its own and uses a part of this"
)]

pub(crate) mod cpus;

use std::cell::Cell;

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread::{self, JoinHandle};
use rundown::{
    CacheAware, ObjectId, PerCpu, PerCpuPlatform, Plain as PlainOf, Platform, Rundown, Slot,
    Variant, Wait, Waiting,
};

use self::cpus::{Flaw, per_cpu_platform};

/// A platform of loom threads.
pub(crate) struct Model;

loom::thread_local! {
    static HINT: Cell<usize> = Cell::new(0);
}

loom::lazy_static! {
    static ref BELL: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());
}

impl Platform for Model {
    fn cpu_hint() -> usize {
        HINT.with(Cell::get)
    }

    fn wake_waiters(_: ObjectId) {
        *BELL.0.lock().unwrap() += 1;
        BELL.1.notify_all();
    }
}

per_cpu_platform!(Model, Flaw::Nothing);

/// Sets the calling thread's CPU hint, and so the CPU that it runs on: [`cpu`].
pub(crate) fn on_cpu(index: usize) {
    HINT.with(|hint| hint.set(index));
}

/// The CPU that the calling thread runs on. A hint may be wrong (S11), and then it is some CPU.
pub(crate) fn cpu() -> usize {
    HINT.with(Cell::get) % cpus::CPUS
}

/// A thread that uses `shared` beside the model's own.
pub(crate) fn spawn<S: 'static, T: 'static>(
    shared: &Arc<S>,
    run: impl FnOnce(&S) -> T + 'static,
) -> JoinHandle<T> {
    let shared = Arc::clone(shared);
    thread::spawn(move || run(&shared))
}

/// Sleeps until the platform wakes it. If nothing does, loom reports the deadlock.
pub(crate) struct Sleep;

impl Wait for Sleep {
    fn wait_until(&self, _: Waiting, ready: &mut dyn FnMut() -> bool) {
        loop {
            let heard = *BELL.0.lock().unwrap();
            if ready() {
                return;
            }
            let mut rings = BELL.0.lock().unwrap();
            while *rings == heard {
                rings = BELL.1.wait(rings).unwrap();
            }
        }
    }
}

/// A variant in a model.
pub(crate) trait Make: Variant + Sized + 'static {
    /// An open object.
    fn new() -> Rundown<Self>;

    /// A run-down one.
    fn closed() -> Rundown<Self>;
}

impl<P: Platform> Make for PlainOf<P> {
    fn new() -> Rundown<Self> {
        Rundown::<Self>::new()
    }

    fn closed() -> Rundown<Self> {
        Rundown::<Self>::new().born_closed()
    }
}

impl<P: Platform, const N: usize> Make for CacheAware<P, [Slot; N]> {
    fn new() -> Rundown<Self> {
        Rundown::<Self>::new()
    }

    fn closed() -> Rundown<Self> {
        Rundown::<Self>::new().born_closed()
    }
}

impl<P: PerCpuPlatform> Make for PerCpu<P> {
    fn new() -> Rundown<Self> {
        Rundown::<Self>::new().expect("a counter is free")
    }

    fn closed() -> Rundown<Self> {
        <Self as Make>::new().born_closed()
    }
}

pub(crate) type Plain = PlainOf<Model>;
pub(crate) type Slots<const N: usize> = CacheAware<Model, [Slot; N]>;
pub(crate) type Counters = PerCpu<Model>;

/// Runs each generic model over the variants, exhaustively unless it says `bound: n` (at most n
/// preemptions); in the per-CPU variant, whose add takes more of loom's steps, also if it says
/// `per_cpu: n`.
macro_rules! models {
    ($($(#[doc = $doc:literal])* $model:ident
        $(bound: $bound:literal)? $(per_cpu: $per_cpu:literal)?),* $(,)?) => {
        models!(@variant plain, $crate::models::Plain, $($model $(bound: $bound)?),*);
        models!(@variant slots_1, $crate::models::Slots<1>, $($model $(bound: $bound)?),*);
        models!(@variant slots_2, $crate::models::Slots<2>, $($model $(bound: $bound)?),*);
        models!(@variant per_cpu, $crate::models::Counters,
            $($model $(bound: $bound)? $(bound: $per_cpu)?),*);
    };
    (@variant $variant:ident, $type:ty, $($model:ident $(bound: $bound:literal)*),* $(,)?) => {
        mod $variant {
            $(
                #[test]
                fn $model() {
                    let mut builder = loom::model::Builder::new();
                    builder.preemption_bound = None;
                    $(builder.preemption_bound = Some($bound);)*
                    builder.check(super::$model::<$type>);
                }
            )*
        }
    };
}
pub(crate) use models;
