//! The clock: all sources of its rate agree, it never goes backwards, and the timers keep its time.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;

use kernel::clock::{self, Rates};
use kernel::platform::Halt;
use kernel::testing::Test;
use kernel::{apic, cpu, smp, timer};
use protocol::options::ClockSource;
use test_kernels::{Barrier, EachCpu, leaked, tests};

pub(crate) fn tests() -> &'static [Test] {
    tests! {
        once {
            sources_agree,
            timers_of_all_cpus_count_alike,
            time_never_goes_backwards,
            ticks_do_not_come_early,
            a_busy_wait_lasts,
        }
    }
}

const SOURCES: [ClockSource; 4] =
    [ClockSource::Cpuid, ClockSource::Pit, ClockSource::Hpet, ClockSource::PmTimer];

fn sources_there() -> impl Iterator<Item = (ClockSource, Rates)> {
    let rates = |source| Some((source, clock::rates_by(source)?));
    SOURCES.into_iter().filter_map(rates)
}

/// To 5 %: a wrong divider or the neighbour's register is further off.
fn assert_close(one: u64, other: u64) {
    assert!(one.abs_diff(other) <= one.min(other) / 20, "{one} Hz and {other} Hz");
}

/// Unless they, or the clock that they are compared with, say themselves that they may be wrong.
fn assert_right(rates: &Rates) {
    if !rates.is_doubtful && !clock::is_doubtful() {
        assert_close(rates.tsc, clock::hz());
        assert_close(rates.apic_timer, apic::timer_hz());
    }
}

/// The host checks that its machine's are there, and what they say of the APIC's timer.
fn sources_agree() {
    assert_eq!(clock::rates_by(ClockSource::Auto), None);
    let there: Vec<_> = sources_there().collect();
    for (source, rates) in &there {
        let name = source.name();
        let Rates { tsc, apic_timer, .. } = rates;
        kernel::log!("there is {name}: counter {tsc} Hz, APIC timer {apic_timer} Hz");
        assert_right(rates);
    }
    if there.is_empty() {
        assert_eq!(clock::hz(), 1_000_000_000, "the assumed rate");
    }
}

/// The rate is measured on the BSP alone.
fn timers_of_all_cpus_count_alike() {
    for one in cpu::online() {
        smp::run_on_each(&|me| {
            if me == one
                && let Some((_, rates)) = sources_there().next()
            {
                assert_right(&rates);
            }
        });
    }
}

/// A CPU that sees a time read by another CPU reads no earlier one after that.
fn time_never_goes_backwards() {
    let latest = AtomicU64::new(0);
    let all = Barrier::for_all();
    smp::run_on_each(&|me| {
        all.wait();
        for _ in 0..5_000 {
            let seen = latest.load(Ordering::Acquire);
            let now = clock::nanos();
            assert!(now >= seen, "{me}: {now} ns after {seen} ns");
            latest.fetch_max(now, Ordering::Release);
        }
    });
    assert!(latest.into_inner() > 0, "the clock stands still");
}

/// The host may delay or lose ticks, but their number is never ahead of the time.
fn ticks_do_not_come_early() {
    const TICKS: u32 = 20;
    let ticks: &EachCpu<AtomicU32> = leaked(EachCpu::new(|| AtomicU32::new(0)));
    test_kernels::set_on_tick(leaked(|| {
        ticks[cpu::current()].fetch_add(1, Ordering::Relaxed);
    }));
    let all = test_kernels::period() * TICKS;
    smp::run_on_each(&|me| {
        let start = clock::nanos();
        test_kernels::start_ticking();
        Halt.until(&mut || ticks[me].load(Ordering::Relaxed) >= TICKS);
        timer::stop();
        let took = Duration::from_nanos(clock::nanos() - start);
        // 5 % for what the measurement of the rates may be off.
        assert!(took >= all * 19 / 20, "ticks of {all:?} were there after {took:?}");
    });
}

fn a_busy_wait_lasts() {
    smp::run_on_each(&|_| {
        let start = clock::nanos();
        clock::spin_for(100_000);
        assert!(clock::nanos() - start >= 100_000);
    });
}
