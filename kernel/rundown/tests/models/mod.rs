//! The parts that the loom models share: a platform, a wait policy that sleeps, and the variants.
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "each model file is a crate of its own and uses a part of this"
)]

pub(crate) mod cpus;

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc as Plainly;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread::{self, JoinHandle};
use rundown::{
    CacheAware, CloseThenError, Completion, ObjectId, PerCpu, PerCpuPlatform, Plain as PlainOf,
    Platform, Rundown, Slot, Variant, Wait, Waiting,
};

use self::cpus::Flaw;

/// A platform of loom threads. The models' platforms differ in `T`.
pub(crate) struct LoomPlatform<T = Bell>(PhantomData<T>);

pub(crate) trait Traits: 'static {
    /// The fault of its per-CPU counters.
    const FLAW: Flaw = Flaw::Nothing;

    fn wake(_: ObjectId) {}
}

/// Wakes the threads that [`Sleep`].
pub(crate) struct Bell;

loom::thread_local! {
    static HINT: Cell<usize> = Cell::new(0);
}

loom::lazy_static! {
    static ref BELL: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());
}

impl Traits for Bell {
    fn wake(_: ObjectId) {
        *BELL.0.lock().unwrap() += 1;
        BELL.1.notify_all();
    }
}

impl<T: Traits> Platform for LoomPlatform<T> {
    fn cpu_hint() -> usize {
        HINT.with(Cell::get)
    }

    fn wake_waiters(object: ObjectId) {
        T::wake(object);
    }
}

/// Sets the calling thread's CPU hint, and so the CPU that it runs on: [`cpu`].
pub(crate) fn on_cpu(index: usize) {
    HINT.with(|hint| hint.set(index));
}

/// The CPU that the calling thread runs on. A hint may be wrong (S11), and then it is some CPU.
pub(crate) fn cpu() -> usize {
    HINT.with(Cell::get) % cpus::CPUS
}

/// Runs a model with at most `bound` preemptions, or without a bound.
pub(crate) fn check(bound: Option<usize>, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = bound;
    builder.check(model);
}

/// A thread that uses `shared` beside the model's own.
pub(crate) fn spawn<S: 'static, T: 'static>(
    shared: &Arc<S>,
    run: impl FnOnce(&S) -> T + 'static,
) -> JoinHandle<T> {
    let shared = Arc::clone(shared);
    thread::spawn(move || run(&shared))
}

/// Gives up one of those that the model has acquired.
pub(crate) fn release<R: Make>(rundown: &Rundown<R>) {
    // SAFETY: the model has acquired it, and gives it up once.
    unsafe { rundown.release() };
}

/// The same on CPU 1, as the other thread of many models does it.
pub(crate) fn release_there<R: Make>(rundown: &Rundown<R>) {
    on_cpu(1);
    release(rundown);
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

/// A completion that counts its runs. Not loom's atomic, so as not to order anything.
pub(crate) struct Counting {
    completion: Completion,
    runs: Box<AtomicUsize>,
}

impl Counting {
    /// The model keeps it to its end.
    pub(crate) fn new() -> Plainly<Self> {
        unsafe fn run(runs: *mut ()) {
            // SAFETY: the model keeps it.
            unsafe { &*runs.cast::<AtomicUsize>() }.fetch_add(1, Relaxed);
        }
        let runs = Box::new(AtomicUsize::new(0));
        let context = std::ptr::from_ref(&*runs).cast_mut().cast();
        // SAFETY: any thread may count.
        let completion = unsafe { Completion::new(run, context) };
        Plainly::new(Self { completion, runs })
    }

    pub(crate) fn leave_with<R: Make>(&self, object: &Rundown<R>) -> Result<(), CloseThenError> {
        // SAFETY: the model keeps it.
        unsafe { object.close_then_unchecked(&raw const self.completion) }
    }

    pub(crate) fn runs(&self) -> usize {
        self.runs.load(Relaxed)
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

pub(crate) type Plain<T = Bell> = PlainOf<LoomPlatform<T>>;
pub(crate) type Slots<const N: usize, T = Bell> = CacheAware<LoomPlatform<T>, [Slot; N]>;
pub(crate) type Counters<T = Bell> = PerCpu<LoomPlatform<T>>;

/// Runs each generic model over the variants, exhaustively unless it says `bound: n` (at most n
/// preemptions); per-CPU, whose add takes more of loom's steps, also if it says `per_cpu: n`.
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
                    let bounds: &[usize] = &[$($bound)*];
                    $crate::models::check(bounds.last().copied(), super::$model::<$type>);
                }
            )*
        }
    };
}
pub(crate) use models;
