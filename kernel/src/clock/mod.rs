//! How long a second is, in ticks of the counter that keeps the time (`time`): by CPUID, or
//! measured at boot against the first of several timers. Reasons: `docs/bring-up.md`, section 5.

pub(crate) mod pit;
pub(crate) mod watchdog;

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bringup::ClockOffset;
use bringup::rate::{
    APIC_TIMER_HZ, Counter, Measured, Stated, TSC_HZ, first_sound, tables::PmTimer,
};
use protocol::{event::Event, exit::ExitCode, options::ClockSource};
use spin::mutex::SpinMutex;
use x86_64::instructions::port::Port;

pub use crate::time::{hz, nanos, spin_for};
use crate::{
    acpi, apic,
    cpu::CpuIndex,
    emergency::exit,
    firmware::hpet,
    ipi, log,
    log::emit,
    time::{self, ticks},
};

/// Rates in Hz, by one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// The time-stamp counter's.
    pub tsc: u64,
    /// The local APIC's timer's, before its divider.
    pub apic_timer: u64,
    /// See [`Measured`].
    pub is_doubtful: bool,
}

/// The rates of this CPU's counters by this source; a measurement takes about 5 ms. `None` if the
/// source is not there, or [`ClockSource::Auto`]. Changes nothing about the clock.
///
/// One caller at a time, others wait. Thread context; this CPU's [timer](crate::timer) is unused.
pub fn rates_by(source: ClockSource) -> Option<Rates> {
    static ONE_AT_A_TIME: SpinMutex<()> = SpinMutex::new(());
    let _turn = ONE_AT_A_TIME.lock();
    match source {
        ClockSource::Auto => None,
        ClockSource::Cpuid => complete(Stated::read()?),
        ClockSource::Pit => pit::start().then(|| measure(Counter::PIT, &pit::count))?,
        ClockSource::Hpet => {
            let hpet = hpet::HPET.get()?.running();
            measure(hpet.counter, &|| hpet.read())
        }
        ClockSource::PmTimer => {
            let timer = PmTimer::from_fadt(acpi::table(b"FACP")?)?;
            // SAFETY: the firmware says that it is there; reading an I/O port touches no memory.
            let read = || unsafe { Port::<u32>::new(timer.port).read() };
            measure(Counter::pm_timer(timer.is_32_bit), &|| read().into())
        }
    }
}

/// Sources in the order in which they are asked, and how each is in words.
const SOURCES: [(ClockSource, &str); 4] = [
    (ClockSource::Cpuid, "as CPUID has it"),
    (ClockSource::Pit, "measured against the 8254"),
    (ClockSource::Hpet, "measured against the HPET"),
    (ClockSource::PmTimer, "measured against ACPI's power management timer"),
];

/// Sets the clock and the rate of the APIC's timer, and logs by what. Once, on the BSP, after
/// [`apic::init`]. A source that is wanted, but not there, ends the kernel. If no source gives the
/// rate, 1 GHz is assumed: a kernel whose seconds have the wrong length is better than none.
pub(crate) fn init(wanted: ClockSource) {
    let is_wanted = |source| wanted == ClockSource::Auto || wanted == source;
    let wanted_ones = SOURCES.iter().filter(|(source, _)| is_wanted(*source));
    let answers = wanted_ones.filter_map(|(source, how)| Some((source, how, rates_by(*source)?)));
    let found = first_sound(answers, |(_, how, rates)| {
        if rates.is_doubtful {
            let rate = mhz(rates.tsc);
            log!(
                "clock: {rate}, {how}, is doubtful: no window was without a long pause, so the counter may have come round"
            );
        }
        rates.is_doubtful
    });
    let (name, rates) = match found {
        Some((source, how, rates)) => {
            log!("clock: {}, {how}", mhz(rates.tsc));
            (source.name(), rates)
        }
        None if wanted == ClockSource::Auto => (protocol::event::ASSUMED, assumed()),
        None => {
            let name = wanted.name();
            log!("clock={name}: this machine has no such source, or it stands still");
            exit(ExitCode::Unfit)
        }
    };
    if !APIC_TIMER_HZ.contains(&rates.apic_timer) {
        let rate = rates.apic_timer;
        log!(
            "clock: the APIC's timer counts at {rate} Hz, which cannot be: expect no tick in time"
        );
    }
    // Relaxed: written once, before other CPUs run.
    IS_DOUBTFUL.store(rates.is_doubtful, Ordering::Relaxed);
    apic::set_timer_hz(rates.apic_timer);
    time::start(rates.tsc);
    emit(&Event::Clock { source: name.into(), hz: rates.tsc });
}

static IS_DOUBTFUL: AtomicBool = AtomicBool::new(false);

/// Whether the clock's rate is [a guess only](Rates::is_doubtful): no source gave a better one. Any
/// CPU, any context.
pub fn is_doubtful() -> bool {
    IS_DOUBTFUL.load(Ordering::Relaxed)
}

/// The rates if no source gives them. The APIC's timer is measured against the clock as it is
/// assumed to be, so that both are wrong alike.
fn assumed() -> Rates {
    const GHZ: u64 = 1_000_000_000;
    log!(
        "clock: RATE UNKNOWN of the time-stamp counter: all times are off by the factor by which it differs from {}",
        mhz(GHZ)
    );
    let stated = Stated { tsc_hz: GHZ, apic_timer_hz: None };
    complete(stated).unwrap_or(Rates { tsc: GHZ, apic_timer: GHZ, is_doubtful: true })
}

/// Rates of which CPUID states at least the first.
fn complete(stated: Stated) -> Option<Rates> {
    let apic_timer = match stated.apic_timer_hz {
        Some(hz) => hz,
        None => measure(Counter::tsc(stated.tsc_hz)?, &ticks)?.apic_timer,
    };
    Some(Rates {
        // As it was stated: measured against itself it may differ in the last digits.
        tsc: stated.tsc_hz,
        apic_timer,
        is_doubtful: false,
    })
}

/// Measures both counters. `None` if the reference stands still, or the result cannot be.
fn measure(counter: Counter, reference: &dyn Fn() -> u64) -> Option<Rates> {
    apic::start_counting();
    let measured = bringup::rate::measure(counter, [reference, &ticks, &apic::counted]);
    apic::stop_timer();
    let Measured { rates, is_doubtful } = measured?;
    let [tsc, apic_timer] = rates;
    TSC_HZ.contains(&tsc).then_some(Rates { tsc, apic_timer, is_doubtful })
}

/// How far the counter of a CPU that is online is from this CPU's. The CPU is
/// [called](crate::ipi::call), and answers between two counts of this one's. `lag` ticks are taken
/// off, as a fault on purpose.
pub(crate) fn offset(cpu: CpuIndex, lag: u64) -> ClockOffset {
    /// The first has to wake the CPU.
    const QUESTIONS: usize = 2;
    (0..QUESTIONS).fold(ClockOffset::UNKNOWN, |known, _| {
        let there = AtomicU64::new(0);
        let before = ticks();
        // Relaxed: `call` orders.
        ipi::call(cpu, &|| there.store(ticks(), Ordering::Relaxed));
        let after = ticks();
        let there = there.load(Ordering::Relaxed);
        known.narrowed(before, there.wrapping_sub(lag), after)
    })
}

/// A rate in MHz, to the kHz.
fn mhz(hz: u64) -> impl core::fmt::Display {
    core::fmt::from_fn(move |f| write!(f, "{}.{:03} MHz", hz / 1_000_000, hz / 1_000 % 1_000))
}
