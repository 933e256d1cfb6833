//! Objects that are born closed, in statics, on the heap and in place, and opened later (S9).
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicUsize, Ordering};

use kernel::platform::{Halt, KernelPlatform};
use kernel::{Machine, cpu, smp};
use protocol::exit::ExitCode;
use rundown::{
    CacheAware, CacheAwareRundown, CloseOutcome, PerCpu, PerCpuRundown, Plain, PlainRundown,
    Protected, Rundown, Slot, State, Variant, WaitOutcome,
};
use test_kernels::{Barrier, Tracked, cache_aware_closed, per_cpu_closed, plain_closed};

kernel::main!(run);

/// Fewer slots than CPUs, on a large machine.
type EightSlots = CacheAware<KernelPlatform, [Slot; 8]>;

static PLAIN: PlainRundown<KernelPlatform> = PlainRundown::new().born_closed();
static CACHE_AWARE: Rundown<EightSlots> = Rundown::<EightSlots>::new().born_closed();
static PER_CPU: PerCpuRundown<KernelPlatform> = PerCpuRundown::lazy();
static VACANT_PLAIN: Protected<Tracked, Plain<KernelPlatform>> =
    Protected::vacant(PlainRundown::new());
static VACANT_CACHE_AWARE: Protected<Tracked, EightSlots> =
    Protected::vacant(CacheAwareRundown::new());
static VACANT_PER_CPU: Protected<Tracked, PerCpu<KernelPlatform>> =
    Protected::vacant(PerCpuRundown::lazy());

fn run(machine: &'static Machine) -> ExitCode {
    kernel::testing::run(
        machine,
        &[
            ("a_static::plain", |_| refuses_then_opens(&PLAIN)),
            ("a_static::cache_aware", |_| {
                refuses_then_opens(&CACHE_AWARE)
            }),
            ("a_static::per_cpu", |_| refuses_then_opens(&PER_CPU)),
            (
                "on_the_heap::plain",
                |_| refuses_then_opens(&plain_closed()),
            ),
            ("on_the_heap::cache_aware", |_| {
                refuses_then_opens(&cache_aware_closed());
            }),
            ("on_the_heap::per_cpu", |_| {
                refuses_then_opens(&per_cpu_closed());
            }),
            ("made_in_place_and_closed", made_in_place_and_closed),
            ("one_cpu_opens::plain", |_| one_cpu_opens(plain_closed)),
            ("one_cpu_opens::cache_aware", |_| {
                one_cpu_opens(cache_aware_closed);
            }),
            ("one_cpu_opens::per_cpu", |_| one_cpu_opens(per_cpu_closed)),
            ("a_vacant_static_is_published::plain", |_| {
                published_by_the_last_cpu(&VACANT_PLAIN);
            }),
            ("a_vacant_static_is_published::cache_aware", |_| {
                published_by_the_last_cpu(&VACANT_CACHE_AWARE);
            }),
            ("a_vacant_static_is_published::per_cpu", |_| {
                published_by_the_last_cpu(&VACANT_PER_CPU);
            }),
        ],
    )
}

/// The whole life of an object that nobody has opened yet.
fn refuses_then_opens<V: Variant + ?Sized>(rundown: &Rundown<V>) {
    assert_eq!(rundown.state(), State::RunDown);
    smp::run_on_each(&|_| {
        assert!(rundown.try_acquire().is_none(), "granted before it opened");
        assert_eq!(rundown.close(), CloseOutcome::AlreadyClosed);
        assert_eq!(rundown.wait(&Halt), WaitOutcome::Drained);
        assert_eq!(rundown.cancel().map_err(|e| e.found), Err(State::RunDown));
        assert!(rundown.complete().is_ok(), "it is run down");
    });
    assert!(rundown.open().is_ok());
    assert_eq!(rundown.open().map_err(|e| e.found), Err(State::Open));
    smp::run_on_each(&|_| {
        assert!(rundown.try_acquire().is_some(), "refused although open");
    });
    let guard = rundown.try_acquire();
    rundown.close();
    assert_eq!(rundown.open().map_err(|e| e.found), Err(State::Draining));
    drop(guard);
    // Drained, but nobody has marked it run down: that is for `reinit`.
    assert_eq!(rundown.open().map_err(|e| e.found), Err(State::Drained));
    assert!(rundown.complete().is_ok());
    assert!(rundown.open().is_ok());
    assert_eq!(rundown.wait(&Halt), WaitOutcome::Drained);
}

/// In memory of the caller's, the number of slots known only now.
fn made_in_place_and_closed(_: &'static Machine) {
    type Placed = CacheAwareRundown<KernelPlatform, [Slot]>;
    let layout = Placed::layout(cpu::listed()).expect("it fits into memory");
    let mut memory = vec![MaybeUninit::uninit(); layout.size() + layout.align()];
    let offset = memory.as_ptr().align_offset(layout.align());
    let placed = Placed::place(&mut memory[offset..], cpu::listed()).expect("enough, and aligned");
    assert_eq!(placed.wait(&Halt), WaitOutcome::Drained);
    assert!(placed.complete().is_ok());
    refuses_then_opens(placed);
}

/// All CPUs try to open it at once: one succeeds, all are granted protection then.
fn one_cpu_opens<V: Variant>(new: fn() -> Rundown<V>) {
    for _ in 0..20 {
        let rundown = new();
        let opened = AtomicUsize::new(0);
        let start = Barrier::for_all();
        let tried = Barrier::for_all();
        smp::run_on_each(&|_| {
            start.wait();
            match rundown.open() {
                Ok(_) => {
                    opened.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    let found = error.found;
                    assert!(matches!(found, State::Open | State::Claimed), "{found}");
                }
            }
            tried.wait();
            assert!(rundown.try_acquire().is_some(), "refused although open");
        });
        assert_eq!(opened.into_inner(), 1);
    }
}

/// The other CPUs look for the value until the last one has published it; the BSP takes it out.
fn published_by_the_last_cpu<V: Variant>(object: &'static Protected<Tracked, V>) {
    let last = cpu::count() - 1;
    assert!(object.run_down(&Halt).is_err(), "there is no value yet");
    let seen = AtomicUsize::new(0);
    smp::run_on_each(&|me| {
        assert!(me.get() < last || object.try_acquire().is_none());
        if me.get() == last {
            assert!(object.publish(Tracked::new(11)).is_ok());
            assert!(object.publish(Tracked::new(12)).is_err(), "one is there");
            KernelPlatform::wake_all();
        }
        Halt.until(&mut || object.state() == State::Open);
        let guard = object.try_acquire().expect("refused although published");
        assert_eq!(guard.touch(), 11);
        seen.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(seen.into_inner(), cpu::count());
    let value = object.run_down(&Halt).expect("nobody else runs it down");
    assert_eq!(value.touch(), 11);
}
