//! A machine as careless firmware leaves it, interrupts that nobody has asked for, and a line of a
//! device that is routed as it should be.
//!
//! That something does not come any more is measured against the timer of this CPU: as many ticks
//! pass as would have brought dozens of it.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::arch::asm;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use kernel::cpu::CpuIndex;
use kernel::ioapic::Unroutable;
use kernel::platform::Halt;
use kernel::testing::{self, careless};
use kernel::{Machine, cpu, firmware, interrupts, ioapic, ipi, smp, timer};
use protocol::exit::ExitCode;
use spin::Once;
use test_kernels::{PerCpu, next};

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    TICKS.call_once(|| PerCpu::new(|| AtomicU64::new(0)));
    kernel::log!("lines that tick: {:?}", lines());
    kernel::testing::run(
        machine,
        &[
            ("nothing_comes_after_the_boot", |_| assert_silence()),
            ("nmis_come_to_every_cpu", nmis_come_to_every_cpu),
            ("strays_are_counted_and_ended", strays_are_counted_and_ended),
            (
                "spurious_interrupts_are_counted_and_not_ended",
                spurious_interrupts_are_counted_and_not_ended,
            ),
            ("the_8254_through_the_8259s", the_8254_through_the_8259s),
            ("the_8254_through_the_io_apic", the_8254_through_the_io_apic),
            (
                "the_hpet_in_place_of_the_8254",
                the_hpet_in_place_of_the_8254,
            ),
            (
                "sources_inside_the_cpu_are_masked",
                sources_inside_the_cpu_are_masked,
            ),
            (
                "leftovers_in_service_are_ended",
                leftovers_in_service_are_ended,
            ),
            ("a_line_moves_from_cpu_to_cpu", a_line_moves_from_cpu_to_cpu),
            (
                "the_last_interrupt_is_drained",
                the_last_interrupt_is_drained,
            ),
            ("a_line_outlives_its_cpu", a_line_outlives_its_cpu),
            (
                "the_board_tells_of_hardware_errors",
                the_board_tells_of_hardware_errors,
            ),
            ("lines_that_cannot_be_routed", lines_that_cannot_be_routed),
            (
                "nmis_that_nobody_asked_for_are_counted",
                nmis_that_nobody_asked_for_are_counted,
            ),
        ],
    )
}

/// By LINT1, as all of these machines have it: on those, too, whose pins INIT has masked.
fn nmis_come_to_every_cpu(_: &'static Machine) {
    smp::run_on_each(&|me| assert_eq!(testing::nmi_pins(), [false, true], "{me}"));
}

/// On QEMU: APIC errors, performance counters, temperature.
fn sources_inside_the_cpu_are_masked(_: &'static Machine) {
    smp::run_on_each(&|me| {
        assert_eq!(testing::unmasked_own_sources(), 0, "{me}");
        let all = testing::unmask_own_sources(NOBODYS);
        assert!(
            all >= 3 && testing::unmasked_own_sources() == all,
            "{me}: {all}"
        );
    });
    for cpu in cpu::online() {
        ipi::call(cpu, &firmware::silence);
        ipi::call(cpu, &|| assert_eq!(testing::unmasked_own_sources(), 0));
    }
}

/// A vector that is nobody's.
const NOBODYS: u8 = 0x70;
/// What the local APIC gives that has nothing to say.
const SPURIOUS: u8 = 0xff;

/// Vectors of exceptions that may come as interrupts, too: some exceptions have an error code,
/// interrupts none.
const EXCEPTIONS: Range<u8> = 16..32;

/// Interrupts to wait for, each a millisecond after the one before.
const SOME: u64 = 20;

fn strays_are_counted_and_ended(_: &'static Machine) {
    smp::run_on_each(&|me| {
        let strays = interrupts::stray(me);
        // One that comes as an interrupt is in service, whatever its vector.
        let others = [NOBODYS, NOBODYS, SPURIOUS, SPURIOUS, 0x20, 0x2f];
        for (sent, vector) in (1..).zip(EXCEPTIONS.chain(others)) {
            testing::send(me, vector);
            Halt.until(&mut || interrupts::stray(me) == strays + sent);
            assert!(!testing::is_in_service(vector), "not ended");
        }
        // Had they not been ended, this one, of a lower priority, would not come.
        let wakes = ipi::wakes_taken(me);
        ipi::wake(me);
        Halt.until(&mut || ipi::wakes_taken(me) > wakes);
    });
}

/// The handler of a line, whose interrupt is in service meanwhile: an end of interrupt that is not due
/// would end that one.
fn spurious_interrupts_are_counted_and_not_ended(_: &'static Machine) {
    fn on_line() {
        let me = cpu::current();
        let vector = line_in_service().expect("this line's");
        let (strays, before) = (interrupts::stray(me), interrupts::spurious(me));
        // By instruction: neither the local APIC nor the 8259s know of these, as if they had changed
        // their minds. The 8259s do it at their lines 7.
        // SAFETY: the kernel returns from them as from any interrupt.
        unsafe { asm!("int 0xff", options(nostack)) };
        // SAFETY: as above.
        unsafe { asm!("int 0x27", options(nostack)) };
        // SAFETY: as above.
        unsafe { asm!("int 0x2f", options(nostack)) };
        assert_eq!(interrupts::spurious(me), before + 3);
        assert_eq!(interrupts::stray(me), strays, "taken for a device's");
        assert_eq!(line_in_service(), Some(vector), "ended by mistake");
        on_tick();
    }
    for cpu in cpu::online() {
        with_line(*lines().first().expect("one"), cpu, on_line, || {
            wait_for(&|| ticks(cpu), 1);
        });
        settle(cpu);
    }
}

/// As SeaBIOS leaves it; and not only the BSP listens to the 8259s, but all CPUs. Whoever asks too late
/// gets a spurious interrupt.
fn the_8254_through_the_8259s(_: &'static Machine) {
    careless::start_8254();
    smp::run_on_each(&|_| careless::open_8259());
    wait_for(&|| total(interrupts::stray), SOME);
    assert_silenced();
}

fn the_8254_through_the_io_apic(_: &'static Machine) {
    careless::start_8254();
    let cpus: Vec<CpuIndex> = cpu::online().collect();
    for &cpu in &cpus {
        careless::open_io_apic(NOBODYS, Some(cpu)).expect("a pin");
        wait_for(&|| interrupts::stray(cpu), SOME);
    }
    careless::open_io_apic(NOBODYS, None).expect("a pin");
    for &cpu in &cpus {
        wait_for(&|| interrupts::stray(cpu), SOME);
    }
    assert_silenced();
}

fn the_hpet_in_place_of_the_8254(_: &'static Machine) {
    careless::stop_8254();
    if !careless::start_hpet() {
        kernel::log!("this machine has no HPET");
        return;
    }
    careless::open_io_apic(NOBODYS, None).expect("a pin");
    for cpu in cpu::online() {
        wait_for(&|| interrupts::stray(cpu), SOME);
    }
    assert_silenced();
    // It is not only the I/O APIC that holds them back.
    careless::open_io_apic(NOBODYS, None).expect("a pin");
    assert_silence();
    firmware::silence();
}

/// As if the boot had come in the midst of a handler of the firmware's.
fn leftovers_in_service_are_ended(_: &'static Machine) {
    fn on_line() {
        assert!(line_in_service().is_some());
        firmware::silence();
        assert_eq!(line_in_service(), None, "still in service");
        on_tick();
    }
    let me = cpu::current();
    // There is but one, which may come at once: its handler masks the line.
    let before = ticks(me);
    with_line(*lines().first().expect("one"), me, on_line, || {
        with_timer(&mut || ticks(me) > before);
    });
    assert_silence();
}

fn a_line_moves_from_cpu_to_cpu(_: &'static Machine) {
    for &line in lines() {
        with_line(line, CpuIndex::BSP, on_tick, || {
            for cpu in cpu::online() {
                wait_for(&|| ticks(cpu), SOME);
                let next = next(cpu);
                assert_eq!(ioapic::move_away(cpu, next), Ok(1));
                settle(cpu);
                let before = ticks(cpu);
                wait_for(&|| ticks(next), SOME);
                if next != cpu {
                    assert_eq!(ticks(cpu), before, "{cpu} still gets it");
                    assert_eq!(ioapic::move_away(cpu, next), Ok(0), "nothing is left");
                }
            }
            ioapic::unroute(line);
            settle(CpuIndex::BSP);
            let before = total(ticks);
            assert_silence();
            assert_eq!(total(ticks), before, "unrouted, but it ticks");
        });
    }
}

/// A CPU that goes offline has one waiting: it must take it, for nobody else will.
fn the_last_interrupt_is_drained(_: &'static Machine) {
    let last = cpu::online().last().expect("the BSP is online");
    let next = next(last);
    for &line in lines() {
        with_line(line, last, on_tick, || {
            smp::run_on_each(&|me| {
                if me == last {
                    interrupts::without(|| leave(me, next));
                }
            });
            wait_for(&|| ticks(next), SOME);
        });
        settle(next);
    }
}

/// Its interrupts go to the BSP; and may come back when it does.
fn a_line_outlives_its_cpu(_: &'static Machine) {
    let last = cpu::online().last().expect("the BSP is online");
    if last == CpuIndex::BSP {
        // Which cannot leave.
        return;
    }
    for &line in lines() {
        with_line(line, last, on_tick, || {
            wait_for(&|| ticks(last), SOME);
            assert_eq!(smp::offline(last), Ok(()));
            let left = ioapic::move_away(last, CpuIndex::BSP);
            assert_eq!(left, Ok(0), "a line was left behind");
            let before = ticks(last);
            wait_for(&|| ticks(CpuIndex::BSP), SOME);
            assert_eq!(ticks(last), before);
            let gone = Err(Unroutable::NotOnline { cpu: last });
            assert_eq!(ioapic::route(3, last, on_tick), gone);
            let moved = ioapic::move_away(CpuIndex::BSP, last);
            assert_eq!(moved, gone.map(|()| 0), "to one that is not there");
            assert_eq!(smp::online(last), Ok(()));
            assert_eq!(ioapic::move_away(CpuIndex::BSP, last), Ok(1));
            wait_for(&|| ticks(last), SOME);
        });
        settle(last);
    }
}

fn leave(me: CpuIndex, next: CpuIndex) {
    let one_waits = || (0x30..=0x3f).any(testing::is_requested);
    while !one_waits() {
        core::hint::spin_loop();
    }
    let before = ticks(me);
    assert_eq!(ioapic::move_away(me, next), Ok(1));
    ioapic::drain();
    assert!(!interrupts::enabled());
    assert!(ticks(me) > before, "not taken");
    assert!(next == me || !one_waits(), "one still waits");
}

fn lines_that_cannot_be_routed(_: &'static Machine) {
    let me = cpu::current();
    for line in [2, 16, 255] {
        let refused = ioapic::route(line, me, on_tick);
        assert_eq!(refused, Err(Unroutable::NoSuchLine { line }));
    }
    assert_eq!(ioapic::route(3, me, on_tick), Ok(()));
    let refused = ioapic::route(3, me, on_tick);
    assert_eq!(refused, Err(Unroutable::InUse { line: 3 }));
    ioapic::unroute(3);
    assert_eq!(ioapic::route(3, me, on_tick), Ok(()));
    ioapic::unroute(3);
}

/// No machine here has such errors; but this is how one would say so.
fn the_board_tells_of_hardware_errors(_: &'static Machine) {
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
        let found = testing::is_hardware_error(port);
        assert_eq!(found, is_error, "port 0x61: {port:#04x}");
    }
}

/// Told by nobody, and told of a handler that is none. The log has one line for each CPU: the host
/// counts them.
fn nmis_that_nobody_asked_for_are_counted(_: &'static Machine) {
    smp::run_on_each(&|me| {
        for send in [testing::send_nmi, ipi::nmi] {
            for _ in 0..SOME {
                let before = interrupts::unhandled_nmis(me);
                send(me);
                while interrupts::unhandled_nmis(me) == before {
                    core::hint::spin_loop();
                }
            }
        }
        // The log is told by an interrupt that comes after those.
        let wakes = ipi::wakes_taken(me);
        ipi::wake(me);
        Halt.until(&mut || ipi::wakes_taken(me) > wakes);
    });
}

/// Lines that tick: that of the clock chip, and, where the firmware knows its way, the 8254's.
fn lines() -> &'static [u8] {
    match ioapic::gsi(0) {
        Ok(2) => &[0, 8],
        _ => &[8],
    }
}

/// Does `work` while a line ticks on a CPU.
fn with_line(line: u8, cpu: CpuIndex, handler: fn(), work: impl FnOnce()) {
    ioapic::route(line, cpu, handler).expect("free");
    match line {
        0 => careless::start_8254(),
        _ => careless::start_rtc(),
    }
    work();
    ioapic::unroute(line);
    careless::stop_8254();
    careless::stop_rtc();
}

/// Interrupts of the routed line that each CPU has taken.
static TICKS: Once<PerCpu<AtomicU64>> = Once::new();

fn ticks(cpu: CpuIndex) -> u64 {
    TICKS.get().expect("made at first")[cpu].load(Ordering::Relaxed)
}

/// The handler of all lines.
fn on_tick() {
    assert!(interrupts::in_handler());
    careless::take_rtc();
    let ticks = TICKS.get().expect("made at first");
    ticks[cpu::current()].fetch_add(1, Ordering::Relaxed);
}

/// Silences everything; nothing comes any more.
fn assert_silenced() {
    firmware::silence();
    assert_silence();
}

/// While the timer ticks, no CPU takes an interrupt that nobody has asked for.
fn assert_silence() {
    let unasked = || -> Vec<_> {
        let both = |cpu| (interrupts::stray(cpu), interrupts::spurious(cpu));
        cpu::online().map(both).collect()
    };
    // What has been sent before may still be on its way.
    cpu::online().for_each(settle);
    let before = unasked();
    sleep_for(3 * SOME);
    assert_eq!(unasked(), before, "interrupts that nobody has asked for");
}

/// Returns when this CPU has taken what devices have sent it.
fn settle(cpu: CpuIndex) {
    smp::run_on_each(&|me| {
        if me == cpu {
            while (0x20..=0xff).any(|vector| {
                vector & 0xf0 != 0x40 && vector & 0xf0 != 0x50 && testing::is_requested(vector)
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

/// Sleeps for so many ticks of the timer.
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

/// The vector of the line whose interrupt is in service on this CPU.
fn line_in_service() -> Option<u8> {
    (0x30..=0x3f).find(|vector| testing::is_in_service(*vector))
}
