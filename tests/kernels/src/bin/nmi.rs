//! Protection taken and released in NMI handlers, on top of threads and handlers that do the same, while
//! the object is torn down (S5).
//!
//! An NMI comes anywhere: between the two steps of an acquire, in the midst of a release, of a wake-up,
//! in a handler, with interrupts off.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use kernel::cpu::CpuIndex;
use kernel::platform::{Halt, KernelPlatform};
use kernel::{Machine, barrier, clock, cpu, interrupts, ipi, smp, timer};
use protocol::exit::ExitCode;
use rundown::{
    CloseOutcome, CloseThenError, Completion, Guard, IllegalContext, Protected, RunDownError,
    Rundown, Spin, State, Variant, Wait, WaitOutcome, Waiting,
};
use test_kernels::{PerCpu, Tracked};

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    kernel::testing::run(
        machine,
        test_kernels::for_every_variant![
            a_thread_and_its_nmis_share_an_object,
            the_last_release_is_in_an_nmi,
            the_last_release_runs_the_completion_in_an_nmi,
            nmis_everywhere_while_the_owner_tears_down;
            ("closed_in_an_nmi::plain", |_| closed_in_an_nmi(test_kernels::plain)),
            ("closed_in_an_nmi::cache_aware", |_| closed_in_an_nmi(test_kernels::cache_aware)),
            ("not_closed_in_an_nmi::per_cpu", |_| not_closed_in_an_nmi()),
        ],
    )
}

/// What the NMI handler does: a reference to a leaked closure, since a handler can only be a `fn()`.
static WORK: AtomicPtr<&'static (dyn Fn() + Sync)> = AtomicPtr::new(ptr::null_mut());

/// Has every NMI do `work`, which may neither lock nor allocate.
fn on_nmi(work: &'static (dyn Fn() + Sync)) {
    WORK.store(Box::leak(Box::new(work)), Ordering::Release);
    ipi::set_nmi_handler(Some(|| {
        // SAFETY: leaked above, before the handler was set.
        let work = unsafe { &*WORK.load(Ordering::Acquire) };
        work();
    }));
}

fn leaked<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// Each CPU takes and releases in a loop and interrupts itself by NMI all the time; the handler does the
/// same. Nothing may get lost: afterwards nothing is held.
fn a_thread_and_its_nmis_share_an_object<V: Variant + 'static>(new: fn() -> Rundown<V>) {
    const ROUNDS: u64 = 200;
    let rundown: &'static Rundown<V> = leaked(new());
    let in_nmi: &PerCpu<AtomicU64> = leaked(PerCpu::new(|| AtomicU64::new(0)));
    on_nmi(leaked(move || {
        assert!(interrupts::in_handler());
        let guard = rundown.try_acquire().expect("refused although open");
        in_nmi[cpu::current()].fetch_add(1, Ordering::Relaxed);
        drop(guard);
    }));
    smp::run_on_each(&|me| {
        for round in 1..=ROUNDS {
            ipi::nmi(me);
            while in_nmi[me].load(Ordering::Relaxed) < round {
                let guard = rundown.try_acquire();
                assert!(guard.is_some(), "refused although open");
            }
        }
        let taken = in_nmi[me].load(Ordering::Relaxed);
        assert_eq!(taken, ROUNDS, "an NMI that nobody sent");
    });
    ipi::set_nmi_handler(None);
    assert_eq!(rundown.racy_held(), 0, "a count was lost");
    assert_eq!(rundown.try_wait(), Ok(()));
}

/// The owner sleeps; an NMI on the next CPU, or on its own, releases the last guard and wakes it.
fn the_last_release_is_in_an_nmi<V: Variant + 'static>(new: fn() -> Rundown<V>) {
    const ROUNDS: usize = 10;
    for round in 0..ROUNDS {
        let object: &'static Protected<Tracked, V> =
            leaked(Protected::new(new(), Tracked::new(round as u64)));
        let guard = object.try_acquire().expect("refused although open");
        let guard: *mut Guard<'_, Tracked, V> = Box::into_raw(Box::new(guard));
        let pocket = leaked(AtomicPtr::new(guard));
        on_nmi(leaked(|| {
            let guard = pocket.swap(ptr::null_mut(), Ordering::Acquire);
            // Null, if the NMI of the close's barrier comes together with this one: see `ipi::nmi`.
            if !guard.is_null() {
                // SAFETY: from the box above, and read only once. The box itself is left behind: an
                // NMI handler must not free.
                drop(unsafe { guard.read() });
            }
        }));
        let victim = if round % 2 == 0 {
            cpu::current()
        } else {
            test_kernels::next(cpu::current())
        };
        assert_eq!(object.close(), CloseOutcome::Closed);
        // From the timer of this CPU: it fires while the owner sleeps, or is about to.
        test_kernels::set_on_tick(leaked(move || {
            timer::stop();
            ipi::nmi(victim);
        }));
        test_kernels::start_ticking();
        let value = object.run_down(&Halt).expect("nobody else runs it down");
        assert_eq!(value.touch(), round as u64);
        ipi::set_nmi_handler(None);
    }
}

/// Runs `work` in an NMI handler of this CPU, and returns when it is done.
fn in_nmi(work: &'static (dyn Fn() + Sync)) {
    let done = leaked(AtomicBool::new(false));
    on_nmi(leaked(move || {
        work();
        done.store(true, Ordering::Release);
    }));
    ipi::nmi(cpu::current());
    while !done.load(Ordering::Acquire) {
        core::hint::spin_loop();
    }
    ipi::set_nmi_handler(None);
}

/// How often [`COMPLETION`] has run.
static COMPLETED: AtomicUsize = AtomicUsize::new(0);
static COMPLETION: Completion = Completion::of(|| {
    COMPLETED.fetch_add(1, Ordering::Relaxed);
});

/// The owner has left a completion and does not wait; an NMI releases the last protection, and runs it (S13).
fn the_last_release_runs_the_completion_in_an_nmi<V: Variant + 'static>(new: fn() -> Rundown<V>) {
    let rundown: &'static Rundown<V> = leaked(new());
    let completed = || COMPLETED.load(Ordering::Relaxed);
    let before = completed();
    rundown.acquire().expect("refused although open");
    assert_eq!(rundown.close_then(&COMPLETION), Ok(()));
    assert_eq!(completed(), before, "run while one is held");
    in_nmi(leaked(move || {
        // SAFETY: the one taken above.
        unsafe { rundown.release() };
        assert_eq!(completed(), before + 1);
    }));
    assert_eq!(rundown.state(), State::Drained);
}

/// The variants whose close needs no barrier are closed in an NMI handler as anywhere else.
fn closed_in_an_nmi<V: Variant + 'static>(new: fn() -> Rundown<V>) {
    let rundown: &'static Rundown<V> = leaked(new());
    in_nmi(leaked(move || {
        assert_eq!(rundown.close(), CloseOutcome::Closed);
    }));
    assert!(rundown.try_acquire().is_none(), "granted although closed");
    assert_eq!(rundown.try_wait(), Ok(()));
}

/// A per-CPU object's close needs a barrier, which is illegal in an NMI handler: each call that closes first
/// returns an error there, on every CPU, and the object stays open.
fn not_closed_in_an_nmi() {
    let rundown = leaked(test_kernels::per_cpu());
    let object = leaked(Protected::new(test_kernels::per_cpu(), Tracked::new(3)));
    let refuses = leaked(|| {
        assert_eq!(rundown.close(), CloseOutcome::IllegalContext);
        assert_eq!(Rundown::close_all(&mut [&*rundown]), Err(IllegalContext));
        let unused = rundown.close_then(&COMPLETION);
        assert_eq!(unused, Err(CloseThenError::IllegalContext));
        let mut drain = rundown.drain();
        assert_eq!(drain.poll(), Some(WaitOutcome::IllegalContext));
        assert_eq!(drain.wait(&Spin), WaitOutcome::IllegalContext);
        let late = drain.wait_deadline(&Spin, 0);
        assert_eq!(late, Ok(WaitOutcome::IllegalContext));
        let open = rundown.try_wait().expect_err("it cannot be closed here");
        assert_eq!(open.state, State::Open);
        assert_eq!(rundown.wait(&Spin), WaitOutcome::IllegalContext);

        assert_eq!(object.close(), CloseOutcome::IllegalContext);
        assert_eq!(Rundown::close_all(&mut [&*object]), Err(IllegalContext));
        let run_down = [object.run_down(&Spin), object.try_run_down()];
        for value in run_down {
            assert_eq!(value.map(drop), Err(RunDownError::IllegalContext));
        }
    });
    let barriers = || barrier::statistics().calls;
    let (before, completed) = (barriers(), COMPLETED.load(Ordering::Relaxed));
    for cpu in cpu::online() {
        smp::run_on_each(&|me| {
            if me == cpu {
                in_nmi(refuses);
            }
        });
    }
    assert_eq!(barriers(), before, "a barrier in an NMI handler");
    assert_eq!(COMPLETED.load(Ordering::Relaxed), completed);
    smp::run_on_each(&|_| {
        assert!(rundown.try_acquire().is_some(), "it was closed");
        assert!(object.try_acquire().is_some(), "it was closed");
    });
    // In a thread all of it is legal.
    assert_eq!(rundown.close_then(&COMPLETION), Ok(()));
    assert_eq!(COMPLETED.load(Ordering::Relaxed), completed + 1);
    // What is closed needs no barrier.
    in_nmi(leaked(|| {
        assert_eq!(rundown.close(), CloseOutcome::AlreadyClosed);
        assert_eq!(Rundown::close_all(&mut [&*rundown]), Ok(0));
        assert_eq!(rundown.try_wait(), Ok(()));
    }));
    let value = object.run_down(&Halt).expect("nobody else runs it down");
    assert_eq!(value.touch(), 3);
}

/// Something that is torn down, and used under raw protection, which a CPU can put into its pocket in one
/// context and take out in another without a lock.
struct Device<V: Variant> {
    rundown: Rundown<V>,
    alive: AtomicBool,
    /// Protections that each CPU has in its pocket.
    pockets: PerCpu<AtomicUsize>,
    in_nmi: PerCpu<AtomicU64>,
}

impl<V: Variant> Device<V> {
    fn touch(&self) {
        assert!(
            self.alive.load(Ordering::Relaxed),
            "used after its teardown"
        );
    }

    /// Takes protection and lets it go, if granted.
    fn use_once(&self) {
        if let Some(guard) = self.rundown.try_acquire() {
            self.touch();
            drop(guard);
        }
    }

    /// Releases a protection from this CPU's pocket, or else takes one and puts it in.
    fn exchange(&self, me: CpuIndex) {
        if !self.release_one(me) && self.rundown.acquire().is_ok() {
            self.touch();
            self.pockets[me].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether there was one.
    fn release_one(&self, cpu: CpuIndex) -> bool {
        let less = |held: usize| held.checked_sub(1);
        let taken = self.pockets[cpu].fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        if taken.is_ok() {
            self.touch();
            // SAFETY: one that was in the pocket, and now is this caller's.
            unsafe { self.rundown.release() };
        }
        taken.is_ok()
    }

    fn empty_pocket(&self, cpu: CpuIndex) {
        while self.release_one(cpu) {}
    }
}

/// Halts until woken, and releases what is in the pockets of these CPUs.
struct Emptying<'a, V: Variant> {
    device: &'a Device<V>,
    cpus: &'a [CpuIndex],
}

impl<V: Variant> Wait for Emptying<'_, V> {
    fn wait_until(&self, waiting: Waiting, ready: &mut dyn FnMut() -> bool) {
        Halt.wait_until(waiting, &mut || {
            self.cpus
                .iter()
                .for_each(|&cpu| self.device.empty_pocket(cpu));
            ready()
        });
    }
}

/// Threads, timer handlers and NMIs of all CPUs use the device; what one of them leaves in its CPU's
/// pocket another one releases. Each tick sends an NMI to the next CPU. Meanwhile the BSP tears the
/// device down again and again.
fn nmis_everywhere_while_the_owner_tears_down<V: Variant + 'static>(new: fn() -> Rundown<V>) {
    const TEARDOWNS: u64 = 20;
    let device = leaked(Device {
        rundown: new(),
        alive: AtomicBool::new(true),
        pockets: PerCpu::new(|| AtomicUsize::new(0)),
        in_nmi: PerCpu::new(|| AtomicU64::new(0)),
    });
    on_nmi(leaked(|| {
        let me = cpu::current();
        device.in_nmi[me].fetch_add(1, Ordering::Relaxed);
        device.use_once();
        device.exchange(me);
    }));
    test_kernels::set_on_tick(leaked(|| {
        device.use_once();
        ipi::nmi(test_kernels::next(cpu::current()));
    }));
    let turn = AtomicU64::new(0);
    smp::run_on_each(&|me| {
        test_kernels::start_ticking();
        for teardown in 1..=TEARDOWNS {
            for _ in 0..100 {
                device.use_once();
                device.exchange(me);
            }
            if me.get() == 0 {
                cpu::online().for_each(ipi::nmi);
                let policy = Emptying {
                    device,
                    cpus: &[me],
                };
                assert_eq!(device.rundown.wait(&policy), WaitOutcome::Drained);
                device.alive.store(false, Ordering::Relaxed);
                clock::spin_for(20_000);
                device.alive.store(true, Ordering::Relaxed);
                assert!(device.rundown.reinit().is_ok());
                turn.store(teardown, Ordering::Release);
                KernelPlatform::wake_all();
            }
            Halt.until(&mut || {
                // What it has in its pocket would keep the owner waiting.
                device.empty_pocket(me);
                turn.load(Ordering::Acquire) >= teardown
            });
        }
        if me.get() > 0 {
            timer::stop();
        }
    });
    // An NMI may still be on its way, so the handler stays, and this CPU keeps looking.
    let cpus: Vec<CpuIndex> = cpu::online().collect();
    let policy = Emptying {
        device,
        cpus: &cpus,
    };
    assert_eq!(device.rundown.wait(&policy), WaitOutcome::Drained);
    timer::stop();
    // Each CPU takes its last one before it does this: the next test is not to find it.
    smp::run_on_each(&|_| {});
    ipi::set_nmi_handler(None);
    for cpu in cpus {
        let taken = device.in_nmi[cpu].load(Ordering::Relaxed);
        assert!(taken > 0, "{cpu} has taken no NMI");
    }
}
