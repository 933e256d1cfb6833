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
use rundown::{CloseOutcome, Guard, Protected, Rundown, Wait, WaitOutcome, Waiting};
use test_kernels::{PerCpu, Tracked};

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    kernel::testing::run(
        machine,
        test_kernels::for_every_kind![
            a_thread_and_its_nmis_share_an_object,
            the_last_release_is_in_an_nmi,
            nmis_everywhere_while_the_owner_tears_down;
            ("a_barrier_is_legal_everywhere_else", |_| a_barrier_is_legal_everywhere_else()),
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
fn a_thread_and_its_nmis_share_an_object<R: Rundown + 'static>(new: fn() -> R) {
    const ROUNDS: u64 = 200;
    let rundown: &'static R = leaked(new());
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
fn the_last_release_is_in_an_nmi<R: Rundown + 'static>(new: fn() -> R) {
    const ROUNDS: usize = 10;
    for round in 0..ROUNDS {
        let object: &'static Protected<Tracked, R> =
            leaked(Protected::new(new(), Tracked::new(round as u64)));
        let guard = object.try_acquire().expect("refused although open");
        let guard: *mut Guard<'_, Tracked, R> = Box::into_raw(Box::new(guard));
        let pocket = leaked(AtomicPtr::new(guard));
        on_nmi(leaked(|| {
            let guard = pocket.swap(ptr::null_mut(), Ordering::Acquire);
            assert!(!guard.is_null(), "one NMI was sent");
            // SAFETY: from the box above, and read only once. The box itself is left behind: an NMI
            // handler must not free.
            drop(unsafe { guard.read() });
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

/// Something that is torn down, and used under raw protection, which a CPU can put into its pocket in one
/// context and take out in another without a lock.
struct Device<R> {
    rundown: R,
    alive: AtomicBool,
    /// Protections that each CPU has in its pocket.
    pockets: PerCpu<AtomicUsize>,
    in_nmi: PerCpu<AtomicU64>,
}

impl<R: Rundown> Device<R> {
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
struct Emptying<'a, R> {
    device: &'a Device<R>,
    cpus: &'a [CpuIndex],
}

impl<R: Rundown> Wait for Emptying<'_, R> {
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
fn nmis_everywhere_while_the_owner_tears_down<R: Rundown + 'static>(new: fn() -> R) {
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
    for cpu in cpus {
        let taken = device.in_nmi[cpu].load(Ordering::Relaxed);
        assert!(taken > 0, "{cpu} has taken no NMI");
    }
}

/// In an NMI handler a barrier is not legal, and can be asked about; in a thread and in other handlers it is.
/// What closes an object of the per-CPU variant asks first.
fn a_barrier_is_legal_everywhere_else() {
    in_an_nmi(&|| assert!(!barrier::is_legal(), "in an NMI handler"));
    let in_a_call = || {
        assert!(interrupts::in_handler());
        assert!(barrier::is_legal(), "in an interrupt handler");
    };
    cpu::online().for_each(|cpu| ipi::call(cpu, &in_a_call));
    smp::run_on_each(&|_| assert!(barrier::is_legal(), "in a thread"));
    barrier::all();
}

/// Has every CPU do this in an NMI handler, each once, one after the other.
fn in_an_nmi(work: &(dyn Fn() + Sync)) {
    /// What is to be done; null when it is.
    static TO_DO: AtomicPtr<&(dyn Fn() + Sync)> = AtomicPtr::new(ptr::null_mut());
    ipi::set_nmi_handler(Some(|| {
        // Acquire: pairs with the store below.
        // SAFETY: null, or `work`, which is waited for.
        if let Some(work) = unsafe { TO_DO.load(Ordering::Acquire).as_ref() } {
            work();
        }
        // Release: pairs with the load in the loop below.
        TO_DO.store(ptr::null_mut(), Ordering::Release);
    }));
    for cpu in cpu::online() {
        // Release: pairs with the load above.
        TO_DO.store((&raw const work).cast_mut().cast(), Ordering::Release);
        ipi::nmi(cpu);
        // Acquire: pairs with the store above.
        while !TO_DO.load(Ordering::Acquire).is_null() {
            core::hint::spin_loop();
        }
    }
    ipi::set_nmi_handler(None);
}
