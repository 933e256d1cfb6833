//! How long a second is, in ticks of the counter that tells the time (`time`).
//!
//! The counter's rate is told or measured at the boot, by the first of these that there is:
//!
//! | source | where |
//! |---|---|
//! | CPUID leaf 0x15 or 0x16 | `bringup::rate` |
//! | the hypervisor's CPUID leaf 0x4000_0010 | `bringup::rate` |
//! | measured against the 8254 timer | `pit` |
//! | measured against the HPET | `hpet` |
//! | measured against ACPI's power management timer | `pm_timer` |
//!
//! What is told costs no time and is exact, so it comes first. The 8254 comes before the others since it
//! needs no tables, and an error in those is no error of the clock; but it comes round after 55 ms, so
//! where the CPU was away for long in each of its windows, the others are asked, and the log says so. The rate of the local APIC's timer
//! comes from the same source, in the same measurement.

mod compare;
mod hpet;
mod pit;
mod pm_timer;

use core::slice;

use alloc::vec::Vec;
use bringup::rate::{APIC_TIMER_HZ, Counter, Measured, Stated, TSC_HZ, first_sound};
use protocol::{event::Event, exit::ExitCode, options::ClockSource};
use raw_cpuid::CpuId;
use spin::{mutex::SpinMutex, once::Once};

pub(crate) use self::compare::offset;
use self::{hpet::Hpet, pit::Pit, pm_timer::PmTimer};
pub use crate::time::{hz, nanos, spin_for};
use crate::{
    apic,
    emergency::exit,
    log,
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

/// What this source says of the rates now: of this CPU's counters, if it is one to measure against, which
/// takes about 5 ms. `None` if the source is not there, or [`ClockSource::Auto`]. Changes nothing about
/// the clock.
///
/// One caller at a time, others wait. Thread context, not while this CPU's [timer](crate::timer) is in use.
#[must_use]
pub fn rates_by(source: ClockSource) -> Option<Rates> {
    static ONE_AT_A_TIME: SpinMutex<()> = SpinMutex::new(());
    let _turn = ONE_AT_A_TIME.lock();
    match source {
        ClockSource::Auto => None,
        ClockSource::Cpuid => Stated::by_cpu().and_then(complete),
        ClockSource::Hypervisor => Stated::by_hypervisor().and_then(complete),
        ClockSource::Pit => {
            let pit = Pit::start()?;
            measure(Counter::PIT, &|| pit.read())
        }
        ClockSource::Hpet => {
            let hpet = references()?.hpet.as_ref()?.running();
            measure(hpet.counter, &|| hpet.read())
        }
        ClockSource::PmTimer => {
            let timer = references()?.pm_timer.as_ref()?;
            measure(timer.counter(), &|| timer.read())
        }
    }
}

/// Sources in the order in which they are asked.
const ORDER: [ClockSource; 5] = [
    ClockSource::Cpuid,
    ClockSource::Hypervisor,
    ClockSource::Pit,
    ClockSource::Hpet,
    ClockSource::PmTimer,
];

/// What the counter's rate is taken for if no source tells it.
const ASSUMED_HZ: u64 = 1_000_000_000;

/// Counters that the firmware's tables lead to.
struct References {
    hpet: Option<Hpet>,
    pm_timer: Option<PmTimer>,
}

static REFERENCES: Once<References> = Once::new();

fn references() -> Option<&'static References> {
    REFERENCES.get()
}

/// Sets the clock and the rate of the APIC's timer, and says by what. Once, on the BSP, after
/// [`apic::init`]; takes about 5 ms if the rates are to be measured.
///
/// A source that is wanted, but not there, ends the kernel. Where nothing tells the rate at all, it is taken
/// for 1 GHz, and the log says so: a kernel whose seconds have the wrong length is better than none.
pub(crate) fn init(wanted: ClockSource) {
    REFERENCES.call_once(|| References {
        hpet: Hpet::find(),
        pm_timer: PmTimer::find(),
    });
    let candidates = match &wanted {
        ClockSource::Auto => &ORDER[..],
        one => slice::from_ref(one),
    };
    let answers = candidates
        .iter()
        .filter_map(|&source| Some((source, rates_by(source)?)));
    let is_doubtful = |&(source, rates): &(ClockSource, Rates)| {
        if rates.is_doubtful {
            let (rate, how) = (mhz(rates.tsc), in_words(source));
            log!(
                "clock: {rate}, {how}, is doubtful: no window was without a long pause, so the counter may have come round"
            );
        }
        rates.is_doubtful
    };
    let (name, rates) = match first_sound(answers, is_doubtful) {
        Some((source, rates)) => {
            let how = in_words(source);
            log!("clock: {}, {how}{}", mhz(rates.tsc), or_variant());
            (source.name(), rates)
        }
        None if wanted == ClockSource::Auto => (protocol::event::ASSUMED, assumed()),
        None => unfit(wanted),
    };
    if !APIC_TIMER_HZ.contains(&rates.apic_timer) {
        let rate = rates.apic_timer;
        log!(
            "clock: the APIC's timer counts at {rate} Hz, which cannot be: expect no tick in time"
        );
    }
    apic::set_timer_hz(rates.apic_timer);
    time::start(rates.tsc);
    emit(&Event::Clock {
        source: name.into(),
        hz: rates.tsc,
    });
}

/// The rates if nothing tells them. The APIC's timer is measured against the clock as it is assumed to be,
/// so that both are wrong alike.
fn assumed() -> Rates {
    log!(
        "clock: NOTHING TELLS THE RATE of the time-stamp counter: no CPUID leaf, 8254, HPET or ACPI timer"
    );
    log!(
        "clock: taking it for {}, so all times are wrong by the factor that it differs",
        mhz(ASSUMED_HZ)
    );
    complete(Stated {
        tsc_hz: ASSUMED_HZ,
        apic_timer_hz: None,
        leaf: 0,
    })
    .unwrap_or(Rates {
        tsc: ASSUMED_HZ,
        apic_timer: ASSUMED_HZ,
        is_doubtful: true,
    })
}

/// Ends the kernel: the wanted source is not there.
fn unfit(wanted: ClockSource) -> ! {
    let others = ORDER.into_iter().filter(|&source| source != wanted);
    let there: Vec<&str> = others
        .filter(|&source| rates_by(source).is_some())
        .map(ClockSource::name)
        .collect();
    let there = match &there[..] {
        [] => "nothing else".into(),
        names => names.join(", "),
    };
    log!(
        "clock={}: this machine has no such source, or it stands still; it has: {there} (or leave it to clock=auto)",
        wanted.name()
    );
    exit(ExitCode::Unfit)
}

/// Rates of which CPUID tells at least the first.
fn complete(stated: Stated) -> Option<Rates> {
    let rates = match stated.apic_timer_hz {
        Some(apic_timer) => Some(Rates {
            tsc: stated.tsc_hz,
            apic_timer,
            is_doubtful: false,
        }),
        None => measure(Counter::tsc(stated.tsc_hz)?, &ticks),
    };
    // As it was stated: measured against itself it may differ in the last digits.
    rates.map(|rates| Rates {
        tsc: stated.tsc_hz,
        ..rates
    })
}

/// Measures both counters, against the time-stamp counter itself if its rate is known. `None` if the reference stands still, or the result cannot be.
fn measure(counter: Counter, reference: &dyn Fn() -> u64) -> Option<Rates> {
    apic::start_counting();
    let measured = bringup::rate::measure(counter, [reference, &ticks, &apic::counted]);
    apic::stop_timer();
    let Measured { rates, is_doubtful } = measured?;
    let [tsc, apic_timer] = rates;
    TSC_HZ.contains(&tsc).then_some(Rates {
        tsc,
        apic_timer: apic_timer.saturating_mul(apic::TIMER_DIVIDER),
        is_doubtful,
    })
}

fn in_words(source: ClockSource) -> &'static str {
    match source {
        ClockSource::Auto => "",
        ClockSource::Cpuid => match Stated::by_cpu().map(|stated| stated.leaf) {
            Some(0x16) => "told by CPUID (leaf 0x16)",
            _ => "told by CPUID (leaf 0x15)",
        },
        ClockSource::Hypervisor => "told by the hypervisor (CPUID leaf 0x40000010)",
        ClockSource::Pit => "measured against the 8254",
        ClockSource::Hpet => "measured against the HPET",
        ClockSource::PmTimer => "measured against ACPI's power management timer",
    }
}

/// CPUID leaf 0x8000_0007, EDX bit 8 (Intel SDM 3B, 18.17.1).
fn or_variant() -> &'static str {
    let info = CpuId::new().get_advanced_power_mgmt_info();
    if info.is_some_and(|info| info.has_invariant_tsc()) {
        ""
    } else {
        "; CPUID does not promise that it stays so (no invariant TSC)"
    }
}

/// A rate in MHz, to the kHz.
fn mhz(hz: u64) -> impl core::fmt::Display {
    core::fmt::from_fn(move |f| write!(f, "{}.{:03} MHz", hz / 1_000_000, hz / 1_000 % 1_000))
}
