//! Inter-processor interrupts: out of `hlt`, and work done on a given CPU.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use kernel::interrupts::Frame;
use kernel::platform::Halt;
use kernel::testing::Test;
use kernel::{cpu, interrupts, ipi, smp};
use test_kernels::{Barrier, EachCpu, next, tests};
use x86_64::registers::debug::{DebugAddressRegister, Dr0, Dr7, Dr7Flags};

pub(crate) fn tests() -> &'static [Test] {
    tests! {
        once {
            halt_ends_with_the_first_yes,
            no_wake_up_is_lost_in_front_of_hlt,
            call_runs_in_interrupt_context_there,
            all_cpus_call_each_other_at_once,
        }
    }
}

/// A question may be one that is answered with yes only once, such as "have I been given work?".
fn halt_ends_with_the_first_yes() {
    smp::run_on_each(&|me| {
        for yes in 1..=5 {
            let mut asked = 0;
            Halt.until(&mut || {
                asked += 1;
                assert!(asked <= yes, "asked again after a yes");
                // The next question comes after the next interrupt.
                ipi::wake(me);
                asked == yes
            });
            assert_eq!(asked, yes);
        }
    });
}

/// An exception between `sti` and `hlt`, with a wake-up that arrives meanwhile. An NMI would hit
/// that gap once in thousands of rounds, a breakpoint hits it always. Single steps find its place;
/// QEMU takes none after `sti`.
fn no_wake_up_is_lost_in_front_of_hlt() {
    static READY: AtomicBool = AtomicBool::new(false);
    const TRAP: u64 = 1 << 8;
    fn on_debug(frame: &mut Frame, interrupted_at: u64) {
        const STI_HLT: [u8; 2] = [0xfb, 0xf4];
        // SAFETY: the code to continue when this handler returns, and the byte before or behind it.
        let code = |at: u64| unsafe { (at as *const [u8; 2]).read() };
        if code(interrupted_at) == STI_HLT {
            frame.rflags &= !TRAP;
            Dr0::write(interrupted_at + 1);
            break_at_dr0(true);
        } else if code(interrupted_at - 1) == STI_HLT {
            break_at_dr0(false);
            READY.store(true, Ordering::Relaxed);
            ipi::wake(cpu::current());
        }
    }
    fn break_at_dr0(enable: bool) {
        let mut control = Dr7::read();
        control.set_flags(Dr7Flags::LOCAL_BREAKPOINT_0_ENABLE, enable);
        Dr7::write(control);
    }
    // SAFETY: the handler changes the trap flag alone. No NMI is sent meanwhile.
    unsafe { interrupts::set_debug_handler(Some(on_debug)) };
    // SAFETY: from here on every instruction is followed by the handler; that is all.
    unsafe { asm!("pushfq", "or qword ptr [rsp], {}", "popfq", const TRAP) };
    // For ever, if the wake-up is lost.
    interrupts::halt_until(|| READY.load(Ordering::Relaxed));
    // SAFETY: no handler is no danger: its source is off, or `halt_until` had not returned.
    unsafe { interrupts::set_debug_handler(None) };
}

fn call_runs_in_interrupt_context_there() {
    for target in cpu::online() {
        let runs = AtomicU32::new(0);
        ipi::call(target, &|| {
            assert_eq!(cpu::current(), target);
            assert!(interrupts::in_handler(), "called in thread context");
            assert!(!interrupts::enabled(), "called with interrupts enabled");
            runs.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(runs.load(Ordering::Relaxed), 1, "{target}");
        assert!(!interrupts::in_handler(), "still in a handler");
        assert!(interrupts::enabled(), "interrupts stay disabled");
    }
}

/// With interrupts on, and off: then they serve each other while they wait.
fn all_cpus_call_each_other_at_once() {
    // A caller spins until the work is done, which few host CPUs make expensive: on large machines
    // each CPU calls its neighbours only.
    let targets = cpu::count().min(8);
    let rounds = (400 / cpu::count().pow(2)).clamp(2, 100);
    let calls = EachCpu::new(|| AtomicUsize::new(0));
    let start = Barrier::for_all();
    smp::run_on_each(&|me| {
        for round in 0..rounds {
            start.wait();
            let mut target = me;
            for _ in 0..targets {
                target = next(target);
                let call = || {
                    ipi::call(target, &|| {
                        assert_eq!(cpu::current(), target);
                        calls[target].fetch_add(1, Ordering::Relaxed);
                    });
                };
                if round % 2 == 0 { call() } else { interrupts::without(call) }
            }
        }
    });
    for target in cpu::online() {
        let calls = calls[target].load(Ordering::Relaxed);
        assert_eq!(calls, rounds * targets, "{target}");
    }
}
