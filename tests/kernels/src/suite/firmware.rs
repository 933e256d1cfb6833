//! A machine as careless firmware leaves it, and unexpected interrupts.
//!
//! That something does not come any more is measured against the timer of this CPU: as many ticks
//! pass as would have brought dozens of it.

mod careless;
pub(crate) mod early;

use alloc::vec::Vec;
use core::arch::asm;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use kernel::cpu::CpuIndex;
use kernel::platform::Halt;
use kernel::testing;
use kernel::testing::Test;
use kernel::{cpu, firmware, ipi, smp, timer, unexpected};
use spin::Mutex;
use test_kernels::{apic, tests};

pub(crate) fn tests() -> &'static [Test] {
    tests! {
        once {
            an_nmi_before_there_are_areas_is_counted,
            nothing_comes_after_the_boot,
            nmis_come_to_every_cpu,
            unexpected_interrupts_are_counted_and_ended,
            spurious_interrupts_are_counted_and_not_ended,
            the_8254_through_the_8259s,
            the_8254_through_the_io_apic,
            the_hpet_in_place_of_the_8254,
            sources_inside_the_cpu_are_masked,
            errors_of_the_apic_are_logged,
            leftovers_in_service_are_ended,
            hardware_errors_are_recognised,
            unexpected_nmis_are_counted,
        }
    }
}

fn an_nmi_before_there_are_areas_is_counted() {
    assert!(unexpected::unhandled_nmis(CpuIndex::BSP) > 0);
}

fn nothing_comes_after_the_boot() {
    assert_silence();
}

/// By LINT1, as all of these machines have it: on those, too, whose pins INIT has masked.
fn nmis_come_to_every_cpu() {
    smp::run_on_each(&|me| assert_eq!(apic::nmi_pins(), [false, true], "{me}"));
}

/// On QEMU: APIC errors, performance counters, temperature.
fn sources_inside_the_cpu_are_masked() {
    smp::run_on_each(&|me| {
        assert_eq!(apic::unmasked_own_sources(), 0, "{me}");
        let all = apic::unmask_own_sources(UNHANDLED);
        assert!(all >= 3 && apic::unmasked_own_sources() == all, "{me}: {all}");
    });
    for cpu in cpu::online() {
        ipi::call(cpu, &firmware::silence);
        ipi::call(cpu, &|| assert_eq!(apic::unmasked_own_sources(), 0));
    }
}

/// QEMU's APIC keeps an error, but does not interrupt for it.
fn errors_of_the_apic_are_logged() {
    smp::run_on_each(&|me| {
        careless::use_no_register();
        for _ in 0..2 {
            apic::send(me, testing::APIC_ERROR);
        }
        // A lower priority.
        let strays = unexpected::stray(me);
        apic::send(me, EXCEPTIONS.start);
        Halt.until(&mut || unexpected::stray(me) > strays);
    });
}

/// A vector without a handler.
const UNHANDLED: u8 = 0x70;
/// The local APIC's spurious interrupt.
const SPURIOUS: u8 = 0xff;

/// Exceptions' vectors may come as interrupts, too: some have an error code, interrupts none.
const EXCEPTIONS: Range<u8> = 16..32;

/// Interrupts to wait for, each a millisecond after the one before.
const SOME: u64 = 20;

fn unexpected_interrupts_are_counted_and_ended() {
    smp::run_on_each(&|me| {
        let strays = unexpected::stray(me);
        // One that comes as an interrupt is in service, whatever its vector.
        let others = [UNHANDLED, UNHANDLED, SPURIOUS, SPURIOUS, 0x20, 0x2f];
        for (sent, vector) in (1..).zip(EXCEPTIONS.chain(others)) {
            apic::send(me, vector);
            Halt.until(&mut || unexpected::stray(me) == strays + sent);
            assert!(!apic::is_in_service(vector), "not ended");
        }
        // Had they not been ended, this one, of a lower priority, would not come.
        let wakes = ipi::wakes_taken(me);
        ipi::wake(me);
        Halt.until(&mut || ipi::wakes_taken(me) > wakes);
    });
}

/// While another interrupt is in service, which an end of interrupt that is not due would end.
fn spurious_interrupts_are_counted_and_not_ended() {
    in_service(|me| {
        let (strays, before) = (unexpected::stray(me), unexpected::spurious(me));
        // By instruction: neither the local APIC nor the 8259s know of these, as if they had
        // changed their minds. (The 8259s do it at their lines 7, and no end sets it apart from one
        // of theirs.)
        // SAFETY: the kernel returns from them as from any interrupt.
        unsafe { asm!("int 0xff", options(nostack)) };
        // SAFETY: as above.
        unsafe { asm!("int 0x27", options(nostack)) };
        // SAFETY: as above.
        unsafe { asm!("int 0x2f", options(nostack)) };
        assert_eq!(unexpected::spurious(me), before + 1);
        assert_eq!(unexpected::stray(me), strays + 2);
        assert!(apic::is_in_service(HANDLED), "ended by mistake");
        apic::end_of_interrupt();
    });
}

/// As SeaBIOS leaves it; and not only the BSP listens to the 8259s, but all CPUs. One that asks too
/// late gets a spurious interrupt.
fn the_8254_through_the_8259s() {
    careless::start_8254();
    smp::run_on_each(&|_| careless::open_8259());
    wait_for(&|| total(unexpected::stray), SOME);
    assert_silenced();
}

fn the_8254_through_the_io_apic() {
    careless::start_8254();
    let cpus: Vec<CpuIndex> = cpu::online().collect();
    for &cpu in &cpus {
        careless::open_io_apic(UNHANDLED, Some(cpu));
        wait_for(&|| unexpected::stray(cpu), SOME);
    }
    careless::open_io_apic(UNHANDLED, None);
    for &cpu in &cpus {
        wait_for(&|| unexpected::stray(cpu), SOME);
    }
    assert_silenced();
}

fn the_hpet_in_place_of_the_8254() {
    careless::stop_8254();
    if !careless::start_hpet() {
        kernel::log!("this machine has no HPET");
        return;
    }
    careless::open_io_apic(UNHANDLED, None);
    for cpu in cpu::online() {
        wait_for(&|| unexpected::stray(cpu), SOME);
    }
    assert_silenced();
    // It is not only the I/O APIC that holds them back.
    careless::open_io_apic(UNHANDLED, None);
    assert_silence();
    firmware::silence();
}

/// As if the boot had come in the middle of a handler of the firmware's.
fn leftovers_in_service_are_ended() {
    in_service(|_| {
        firmware::silence();
        assert!(!apic::is_in_service(HANDLED), "still in service");
    });
    assert_silence();
}

/// No machine here has such errors; this is how one would report them.
fn hardware_errors_are_recognised() {
    for (port, is_error) in [
        // SERR#, IOCHK#, both.
        (0x80, true),
        (0x40, true),
        (0xc0 | 0x2c, true),
        // The other bits are the speaker's and the 8254's.
        (0x00, false),
        (0x3f, false),
        // No such port.
        (0xff, false),
    ] {
        let found = unexpected::is_hardware_error(port);
        assert_eq!(found, is_error, "port 0x61: {port:#04x}");
    }
}

/// With no handler, and with one that does not claim them. The host counts one log line per CPU.
fn unexpected_nmis_are_counted() {
    smp::run_on_each(&|me| {
        for send in [apic::send_nmi, ipi::nmi] {
            for _ in 0..SOME {
                let before = unexpected::unhandled_nmis(me);
                send(me);
                while unexpected::unhandled_nmis(me) == before {
                    core::hint::spin_loop();
                }
            }
        }
        // They are logged by an interrupt that comes after those.
        let wakes = ipi::wakes_taken(me);
        ipi::wake(me);
        Halt.until(&mut || ipi::wakes_taken(me) > wakes);
    });
}

/// A vector that has a handler in [`in_service`].
const HANDLED: u8 = 0x71;

/// Has each CPU in turn take an interrupt whose handler this is.
fn in_service(handler: fn(CpuIndex)) {
    static HANDLER: Mutex<Option<fn(CpuIndex)>> = Mutex::new(None);
    static DONE: AtomicU64 = AtomicU64::new(0);
    *HANDLER.lock() = Some(handler);
    testing::set_handler(
        HANDLED,
        Some(|_, _| {
            assert!(apic::is_in_service(HANDLED));
            let handler = HANDLER.lock().expect("set first");
            handler(cpu::current());
            DONE.fetch_add(1, Ordering::Relaxed);
        }),
    );
    for cpu in cpu::online() {
        let before = DONE.load(Ordering::Relaxed);
        apic::send(cpu, HANDLED);
        while DONE.load(Ordering::Relaxed) == before {
            core::hint::spin_loop();
        }
    }
    testing::set_handler(HANDLED, None);
}

/// Silences everything; nothing comes any more.
fn assert_silenced() {
    firmware::silence();
    assert_silence();
}

/// While the timer ticks, no CPU takes an unexpected interrupt.
fn assert_silence() {
    let counts = || -> Vec<_> {
        let both = |cpu| (unexpected::stray(cpu), unexpected::spurious(cpu));
        cpu::online().map(both).collect()
    };
    // Interrupts that were sent before may still be on their way.
    cpu::online().for_each(settle);
    let before = counts();
    sleep_for(3 * SOME);
    assert_eq!(counts(), before, "unexpected interrupts");
}

/// Returns when this CPU has taken what devices have sent it.
fn settle(cpu: CpuIndex) {
    smp::run_on_each(&|me| {
        if me == cpu {
            while (0x20..=0xff).any(|vector| {
                vector & 0xf0 != 0x40 && vector & 0xf0 != 0x50 && apic::is_requested(vector)
            }) {
                core::hint::spin_loop();
            }
        }
    });
}

/// Sleeps until a count has grown so far.
fn wait_for(count: &dyn Fn() -> u64, by: u64) {
    let before = count();
    with_timer(&mut || count() >= before + by);
}

/// Sleeps for this many ticks of the timer.
fn sleep_for(ticks: u64) {
    let before = SLEPT.load(Ordering::Relaxed);
    with_timer(&mut || SLEPT.load(Ordering::Relaxed) >= before + ticks);
}

static SLEPT: AtomicU64 = AtomicU64::new(0);

/// Asks once each millisecond.
fn with_timer(ready: &mut dyn FnMut() -> bool) {
    timer::start(Duration::from_millis(1), || {
        SLEPT.fetch_add(1, Ordering::Relaxed);
    });
    Halt.until(ready);
    timer::stop();
}

fn total(count: fn(CpuIndex) -> u64) -> u64 {
    cpu::online().map(count).sum()
}
