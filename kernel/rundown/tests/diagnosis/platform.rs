//! A platform that is as the calling thread has set it, and what the tests look at.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rundown::diagnosis::{Holder, holders};
use rundown::{
    CacheAwareRundown, Clock, HostPlatform, Misuse, ObjectId, PerCpuRundown, PlainRundown,
    Platform, Slot, Variant,
};

use crate::host_counters::counters_of_the_host;

pub(crate) struct Watched;

pub(crate) type Plain = PlainRundown<Watched>;
pub(crate) type CacheAware = CacheAwareRundown<Watched, [Slot; 4]>;

thread_local! {
    static CPU: Cell<usize> = const { Cell::new(0) };
    static TICK: Cell<u64> = const { Cell::new(0) };
    static REPORTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static HANDLER: Cell<Option<fn()>> = const { Cell::new(None) };
}

impl Platform for Watched {
    fn cpu_hint() -> usize {
        interrupt();
        CPU.get()
    }

    fn wake_waiters(_: ObjectId) {
        interrupt();
    }

    fn misuse(what: &Misuse) {
        Self::report(format_args!("{what}"));
    }

    fn tick() -> u64 {
        interrupt();
        TICK.get()
    }

    fn report(text: fmt::Arguments<'_>) {
        interrupt();
        let text = text.to_string();
        REPORTS.with_borrow_mut(|reports| reports.push(text));
    }
}

impl Clock for Watched {
    fn now() -> u64 {
        TICK.get()
    }
}

counters_of_the_host!(Watched);

/// A variant.
pub(crate) trait Make: Variant<Platform = Watched> {}

impl<R: Variant<Platform = Watched>> Make for R {}

/// A per-CPU object, if the system has it.
pub(crate) fn per_cpu() -> Option<PerCpuRundown<Watched>> {
    let object = PerCpuRundown::new();
    if let Err(why) = &object {
        assert_eq!(HostPlatform::per_cpu().as_ref(), Err(why));
    }
    object.ok()
}

/// The thread pretends to be on this CPU, at this time.
pub(crate) fn on(cpu: usize, tick: u64) {
    CPU.set(cpu);
    TICK.set(tick);
}

/// From now on each call of the platform, by this thread, is interrupted by `handler`.
pub(crate) fn interrupt_by(handler: Option<fn()>) {
    HANDLER.set(handler);
}

/// Like an NMI, but not while one is handled.
fn interrupt() {
    if let Some(handler) = HANDLER.take() {
        handler();
        HANDLER.set(Some(handler));
    }
}

/// The lines this thread has printed since it last asked.
pub(crate) fn printed() -> Vec<String> {
    REPORTS.take()
}

/// The table is shared, and some tests fill it: one at a time.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    // A test that has failed is nothing to those that follow.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where each holder took it: lines of the test's file, sorted.
pub(crate) fn lines(object: ObjectId, file: &str) -> Vec<u32> {
    let line = |holder: Holder| {
        assert_eq!(holder.location.file(), file);
        holder.location.line()
    };
    let mut lines: Vec<u32> = holders(object).map(line).collect();
    lines.sort_unstable();
    lines
}

/// CPU, tick, count and rawness of each holder, sorted.
pub(crate) fn facts(object: ObjectId) -> Vec<(usize, u64, u32, bool)> {
    let fact = |holder: Holder| (holder.cpu, holder.tick, holder.count, holder.raw);
    let mut facts: Vec<_> = holders(object).map(fact).collect();
    facts.sort_unstable();
    facts
}

/// A test per test function and variant. The function gets an object that stays where it is.
macro_rules! on_every_variant {
    ($($test:ident),* $(,)?) => {
        on_every_variant!(@variant plain, Some($crate::platform::Plain::new()), $($test),*);
        on_every_variant!(@variant cache_aware, Some($crate::platform::CacheAware::new()), $($test),*);
        on_every_variant!(@variant per_cpu, $crate::platform::per_cpu(), $($test),*);
    };
    (@variant $variant:ident, $object:expr, $($test:ident),*) => {
        mod $variant {
            $(#[test]
            fn $test() {
                let _alone = $crate::platform::alone();
                if let Some(object) = $object {
                    super::$test(Box::new(object));
                }
            })*
        }
    };
}

pub(crate) use on_every_variant;
