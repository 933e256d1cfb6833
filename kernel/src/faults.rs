//! Faults on purpose while CPUs start, by the option `fault`: each in the place that a hook names.
//!
//! `unsafe` in this module: exceptions, on purpose.

use core::{
    arch::asm,
    hint::black_box,
    sync::atomic::{AtomicBool, Ordering},
};

use bringup::{Arrival, InjectedFault};
use protocol::{
    exit::ExitCode,
    options::{FaultInjection, FaultKind},
};
use spin::Once;

use crate::{
    cpu::{self, ApicId, CpuIndex},
    emergency, log, time,
};

static FAULT: Once<FaultInjection> = Once::new();

/// CPUs that are delayed beyond the timeout may come.
static MAY_BE_LATE: AtomicBool = AtomicBool::new(true);

/// Sets the fault, and the timeout in milliseconds. A fault that no CPU can have ends the kernel.
pub(crate) fn arm(fault: Option<FaultInjection>, timeout: u32) {
    let Some(fault) = fault else {
        return;
    };
    let mut others = cpu::map().iter().filter(|(cpu, _)| *cpu != CpuIndex::BSP);
    if !others.any(|(_, id)| fault.is_for(id.get())) {
        log!("fault={fault}: no CPU that is started by another has this APIC ID");
        emergency::exit(ExitCode::Unfit);
    }
    FAULT.call_once(|| fault);
    MAY_BE_LATE.store(!fault.outlasts(timeout), Ordering::Relaxed);
}

/// After the start: the fault that is to be injected again.
pub(crate) fn start_is_over() -> Option<InjectedFault> {
    // Relaxed: nothing else is published by it.
    let waits = !MAY_BE_LATE.swap(true, Ordering::Relaxed);
    let fault = FAULT.get().filter(|_| waits)?;
    injected(fault.kind, || late_until(*fault))
}

/// The fault of this CPU.
fn of(id: ApicId) -> Option<FaultInjection> {
    FAULT.get().copied().filter(|fault| fault.is_for(id.get()))
}

fn is(kind: FaultKind) -> bool {
    FAULT.get().is_some_and(|fault| fault.kind == kind)
}

/// Whether the fault is in the trampoline, for one CPU, which is then started after all others.
pub(crate) fn chosen() -> bool {
    let fault = FAULT.get();
    fault.is_some_and(|fault| fault.apic_id.is_some() && injected(fault.kind, || 0).is_some())
}

/// Whether this is the CPU that is [chosen].
pub(crate) fn is_last(id: ApicId) -> bool {
    chosen() && of(id).is_some()
}

/// The crate's name of a fault in the trampoline.
fn injected(kind: FaultKind, late_until: impl FnOnce() -> u64) -> Option<InjectedFault> {
    Some(match kind {
        FaultKind::Real => InjectedFault::Real,
        FaultKind::Protected => InjectedFault::Protected,
        FaultKind::Write => InjectedFault::Write,
        FaultKind::Execute => InjectedFault::Execute,
        FaultKind::Entry => InjectedFault::Entry,
        FaultKind::Late => InjectedFault::Late { until: late_until() },
        _ => return None,
    })
}

/// Counted from the first INIT, however often the CPU is started.
fn late_until(fault: FaultInjection) -> u64 {
    static UNTIL: Once<u64> = Once::new();
    let until = *UNTIL.call_once(|| time::ticks_in(u64::from(fault.millis) * 1_000_000));
    match MAY_BE_LATE.load(Ordering::Relaxed) {
        true => until,
        false => u64::MAX,
    }
}

pub(crate) fn has_memory() -> bool {
    !is(FaultKind::Memory)
}

pub(crate) fn in_the_trampoline(id: ApicId) -> Option<InjectedFault> {
    let fault = of(id)?;
    injected(fault.kind, || late_until(fault))
}

pub(crate) fn on_the_bsp() {
    if is(FaultKind::Bsp) {
        panic!("on purpose, on the BSP, while others start");
    }
}

/// Before there is anything but the crate's table of exceptions.
pub(crate) fn in_the_first_line(arrival: &Arrival) {
    if of(arrival.apic_id()).is_some_and(|fault| fault.kind == FaultKind::Rust) {
        // SAFETY: an exception, whose stub does not come back.
        unsafe { asm!("ud2", options(noreturn)) }
    }
}

/// As soon as exceptions are reported as everywhere else.
pub(crate) fn in_rust(arrival: &Arrival) {
    // The BSP has not panicked yet, and is about to.
    while is(FaultKind::Bsp) && !emergency::is_reported_elsewhere() {
        core::hint::spin_loop();
    }
    let Some(fault) = of(arrival.apic_id()) else {
        return;
    };
    match fault.kind {
        // SAFETY: an exception, whose handler does not come back.
        FaultKind::Once if arrival.attempt() == 1 => unsafe { asm!("ud2", options(noreturn)) },
        // However often it is started.
        FaultKind::Slow => {
            static UNTIL: Once<u64> = Once::new();
            let until = *UNTIL.call_once(|| time::nanos() + u64::from(fault.millis) * 1_000_000);
            time::spin_for(until.saturating_sub(time::nanos()));
            while !MAY_BE_LATE.load(Ordering::Relaxed) {
                core::hint::spin_loop();
            }
        }
        FaultKind::Panic => panic!("on purpose, while the CPU starts"),
        FaultKind::Stack => {
            black_box(descend(0));
        }
        _ => {}
    }
}

#[expect(unconditional_recursion, reason = "that is the purpose")]
fn descend(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    // Not a tail call: the frame is used after it.
    descend(depth + 1) + black_box(frame)[0]
}

/// The ticks that are taken off this CPU's counter.
pub(crate) fn clock_lag(id: ApicId) -> u64 {
    let lags = of(id).is_some_and(|fault| fault.kind == FaultKind::Tsc);
    if lags { time::hz() } else { 0 }
}
