//! Protections released on another CPU than the one that took them (S4).
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use kernel::cpu::CpuIndex;
use kernel::platform::{Halt, KernelPlatform};
use kernel::{Machine, cpu, ipi, smp};
use protocol::exit::ExitCode;
use rundown::{Guard, Protected, Rundown, Variant, Wait, WaitOutcome, Waiting};
use spin::Mutex;
use test_kernels::{Barrier, PerCpu, Tracked, next};

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    kernel::testing::run(
        machine,
        test_kernels::for_every_variant![
            one_cpu_takes_and_another_releases,
            all_are_released_next_door_after_the_close,
            guards_wander_while_the_owner_tears_down,
        ],
    )
}

/// One CPU's count goes up, another's goes negative by as much: only the sum is what is out.
fn one_cpu_takes_and_another_releases<V: Variant>(new: fn() -> Rundown<V>) {
    const GUARDS: usize = 100;
    let taker = cpu::current();
    let releaser = next(taker);
    let object = Protected::new(new(), Tracked::new(1));
    let mut guards: Vec<_> = (0..GUARDS).map_while(|_| object.try_acquire()).collect();
    assert_eq!(guards.len(), GUARDS, "refused although open");
    let kept = guards.pop();
    let parcel = Mutex::new(guards);
    smp::run_on_each(&|me| {
        if me == releaser {
            let guards = core::mem::take(&mut *parcel.lock());
            for guard in guards {
                assert_eq!(guard.touch(), 1);
            }
        }
    });
    object.close();
    assert!(!object.is_drained(), "drained with one protection out");
    drop(kept);
    assert!(object.is_drained(), "not drained after the last release");
    assert!(object.run_down(&Halt).is_ok());
}

/// Every CPU takes guards and leaves them on its shelf; then the object closes; then every CPU
/// clears its neighbour's shelf. The wait must outlast them all.
fn all_are_released_next_door_after_the_close<V: Variant>(new: fn() -> Rundown<V>) {
    const GUARDS: usize = 10;
    let object = Protected::new(new(), Tracked::new(2));
    let shelves = PerCpu::new(|| Mutex::new(Vec::new()));
    let out = AtomicUsize::new(0);
    let shelved = Barrier::for_all();
    let owner = cpu::current();
    smp::run_on_each(&|me| {
        for _ in 0..GUARDS {
            let guard = object.try_acquire().expect("refused although open");
            shelves[me].lock().push(guard);
            out.fetch_add(1, Ordering::Relaxed);
        }
        shelved.wait();
        if me == owner {
            object.close();
        }
        shelved.wait();
        let guards = core::mem::take(&mut *shelves[next(me)].lock());
        assert_eq!(guards.len(), GUARDS);
        for guard in guards {
            assert_eq!(guard.touch(), 2);
            assert!(!object.is_drained(), "drained while a guard is in hand");
            out.fetch_sub(1, Ordering::Relaxed);
            drop(guard);
        }
        if me == owner {
            assert!(object.run_down(&Halt).is_ok());
            assert_eq!(out.load(Ordering::Relaxed), 0, "the wait ended early");
        }
    });
}

/// Where a CPU finds guards that others took.
struct LetterBox<'a, V: Variant>(Mutex<Option<Guard<'a, Tracked, V>>>);

impl<'a, V: Variant> LetterBox<'a, V> {
    /// Puts a guard in and returns the one that was in, if any.
    fn post(&self, guard: Guard<'a, Tracked, V>) -> Option<Guard<'a, Tracked, V>> {
        self.0.lock().replace(guard)
    }

    /// Releases what is in; says whether there was anything.
    fn empty(&self) -> bool {
        let guard = self.0.lock().take();
        guard.is_some_and(|guard| {
            guard.touch();
            true
        })
    }

    /// Whether there is a guard in, or just being put in. Never blocks.
    fn has_mail(&self) -> bool {
        self.0.try_lock().is_none_or(|guard| guard.is_some())
    }
}

/// Halts for a drain, but opens the mail that comes in the meantime: what is waited for may be in it.
struct HaltAndServe<H, O> {
    has_mail: H,
    open_mail: O,
}

impl<H: Fn() -> bool, O: Fn()> Wait for HaltAndServe<H, O> {
    fn wait_until(&self, waiting: Waiting, ready: &mut dyn FnMut() -> bool) {
        let mut drained = false;
        while !drained {
            Halt.wait_until(waiting, &mut || {
                drained = ready();
                drained || (self.has_mail)()
            });
            (self.open_mail)();
        }
    }
}

/// The owner tears the object down again and again; the others hand every guard to the next CPU.
fn guards_wander_while_the_owner_tears_down<V: Variant>(new: fn() -> Rundown<V>) {
    const TEARDOWNS: u64 = 20;
    let object = Protected::new(new(), Tracked::new(0));
    let boxes = PerCpu::new(|| LetterBox(Mutex::new(None)));
    let published = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    let for_others = PerCpu::new(|| AtomicUsize::new(0));
    let owner = cpu::current();

    // Releases what others have handed to this CPU.
    let open_mail = |me: CpuIndex| {
        if boxes[me].empty() {
            for_others[me].fetch_add(1, Ordering::Relaxed);
        }
    };
    // Takes a guard and hands it to the next CPU; says whether it was granted.
    let step = |me: CpuIndex| {
        let guard = object.try_acquire();
        let granted = guard.is_some();
        if let Some(guard) = guard {
            guard.touch();
            drop(boxes[next(me)].post(guard));
        }
        open_mail(me);
        granted
    };
    // The neighbour may put in its last guard after this CPU's last look, so whoever is refused wakes
    // the next before it halts.
    let wake_next = |me: CpuIndex| {
        if next(me) != me {
            ipi::wake(next(me));
        }
    };

    smp::run_on_each(&|me| {
        if me == owner {
            for generation in 1..=TEARDOWNS {
                step(me);
                object.close();
                wake_next(me);
                let policy = HaltAndServe {
                    has_mail: || boxes[me].has_mail(),
                    open_mail: || open_mail(me),
                };
                assert_eq!(object.wait(&policy), WaitOutcome::Drained);
                let old = object.run_down(&Halt).expect("run down by nobody else");
                assert_eq!(old.touch(), generation - 1);
                drop(old);
                object
                    .publish(Tracked::new(generation))
                    .expect("it is run down");
                published.store(generation, Ordering::Release);
                KernelPlatform::wake_all();
            }
            over.store(true, Ordering::Release);
            KernelPlatform::wake_all();
        } else {
            while !over.load(Ordering::Acquire) {
                let seen = published.load(Ordering::Acquire);
                if !step(me) {
                    wake_next(me);
                    let newer = || published.load(Ordering::Acquire) != seen;
                    while !newer() {
                        Halt.until(&mut || newer() || boxes[me].has_mail());
                        open_mail(me);
                    }
                }
            }
        }
    });
    for cpu in cpu::online() {
        open_mail(cpu);
    }
    if cpu::count() > 1 {
        let total: usize = for_others
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum();
        assert!(total > 0, "no guard was released by another CPU");
    }
    let last = object.run_down(&Halt).expect("run down by nobody else");
    assert_eq!(last.touch(), TEARDOWNS);
}
