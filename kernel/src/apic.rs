//! The local APIC's settings, on top of [`bringup::LocalApic`], by which its registers are reached.
//!
//! Register numbers below are offsets into the xAPIC page (Intel SDM 3A, table 11-1).

use core::{
    ptr,
    sync::atomic::{AtomicPtr, AtomicU8, AtomicU64, Ordering},
};

use bringup::{ApicErrors, CpuMap, LintUse, LocalApic};
pub use bringup::{Ipi, Target};
use protocol::{exit::ExitCode, options::ApicMode};
use raw_cpuid::CpuId;
use x86_64::{
    PhysAddr,
    registers::model_specific::{ApicBase, ApicBaseFlags},
};

use crate::{
    cpu::ApicId,
    emergency::exit,
    hook::Hook,
    interrupts::{self, Frame, vector},
    log,
    memory::Registers,
};

const VERSION: u32 = 0x30;
const TASK_PRIORITY: u32 = 0x80;
const END_OF_INTERRUPT: u32 = 0xb0;
const SPURIOUS: u32 = 0xf0;
const IN_SERVICE: u32 = 0x100;
const LVT_CORRECTED: u32 = 0x2f0;
const LVT_TIMER: u32 = 0x320;
const LVT_TEMPERATURE: u32 = 0x330;
const LVT_PERFORMANCE: u32 = 0x340;
const LVT_LINT0: u32 = 0x350;
const LVT_LINT1: u32 = 0x360;
const LVT_ERROR: u32 = 0x370;
const TIMER_INITIAL: u32 = 0x380;
const TIMER_CURRENT: u32 = 0x390;
const TIMER_DIVIDE: u32 = 0x3e0;

const LVT_MASKED: u32 = 1 << 16;
const DELIVERY: u32 = 0b111 << 8;
const LVT_PERIODIC: u32 = 1 << 17;

/// The page of registers, null in x2APIC mode. Written before other CPUs run, so Relaxed.
static PAGE: AtomicPtr<u8> = AtomicPtr::new(UNKNOWN);
const UNKNOWN: *mut u8 = ptr::without_provenance_mut(1);

/// The divisor of the timer's input clock: 32 bits then last for a minute at 1 GHz.
const TIMER_DIVIDER: u64 = 16;
/// The same, as the register has it (Intel SDM 3A, figure 11-10).
const DIVIDE_BY_16: u32 = 0b0011;

/// The timer's rate before the divider, in Hz. Written once, before other CPUs run, so Relaxed.
static TIMER_HZ: AtomicU64 = AtomicU64::new(0);

/// This CPU's APIC ID, from its APIC. Any CPU, any context, once the APIC is set up.
pub fn id() -> ApicId {
    local().id()
}

/// As [`id`]; `None` early in the boot.
pub(crate) fn try_id() -> Option<ApicId> {
    is_known().then(id)
}

fn is_known() -> bool {
    PAGE.load(Ordering::Relaxed) != UNKNOWN
}

/// The way to the registers, the same for all CPUs.
pub fn local() -> LocalApic {
    // SAFETY: the mode is the CPU's; in xAPIC mode `init` has mapped the page.
    unsafe { LocalApic::at(PAGE.load(Ordering::Relaxed)) }
}

/// Finds the BSP's APIC, in its mode, and switches it on. Ends the kernel on a CPU without one.
pub(crate) fn init(asked: ApicMode) {
    let features = CpuId::new().get_feature_info().expect("CPUID leaf 1 exists with long mode");
    if !features.has_apic() {
        log!("this CPU has no local APIC (QEMU: -cpu max)");
        exit(ExitCode::Unfit);
    }
    if asked == ApicMode::Preset {
        if !features.has_x2apic() {
            log!("apic: x2APIC is asked for, and this CPU does not have it");
            exit(ExitCode::Unfit);
        }
        // One after the other (Intel SDM 3A, figure 11-26).
        for flag in [ApicBaseFlags::LAPIC_ENABLE, ApicBaseFlags::X2APIC_ENABLE] {
            let (base, flags) = ApicBase::read();
            // SAFETY: the CPU has it; the page stays where it is.
            unsafe { ApicBase::write(base, flags | flag) };
        }
    }
    set_handler(vector::APIC_ERROR, report_errors);
    // SAFETY: the APIC's registers.
    let map = |page| unsafe { Registers::map(PhysAddr::new(page)) }.as_ptr();
    // SAFETY: ring 0, the CPU has an APIC, and the mapping stays, in the one set of tables.
    adopt(unsafe { LocalApic::find(map) });
}

/// Takes this way to the registers from now on, and sets them up.
fn adopt(apic: LocalApic) {
    PAGE.store(apic.page(), Ordering::Relaxed);
    enable();
}

/// Switches to the mode that the CPUs demand. On the BSP, before others run.
pub(crate) fn fit(asked: ApicMode, map: &CpuMap, dmar: Option<&[u8]>) {
    let apic = local();
    let mut facts = apic.facts(map, dmar);
    facts.is_virtual &= asked != ApicMode::Xapic;
    // The APIC before `PAGE`: an NMI in between reads nothing; by registers not there yet it would
    // fault.
    // SAFETY: the BSP; `has_x2` is as found.
    let (apic, choice) = unsafe { apic.fit(facts) };
    adopt(apic);
    log!("apic: {choice}");
    if let Some((_, id)) = map.iter().find(|(_, id)| !apic.can_address(*id)) {
        log!("apic: {id}, and all beyond it, cannot be addressed without x2APIC: left out");
    }
}

/// Logs what this CPU's APIC has found wrong: each kind of error once. As a handler.
fn report_errors() {
    static LOGGED: AtomicU8 = AtomicU8::new(0);
    let errors = local().take_errors().0;
    // Relaxed: of two CPUs, one has the bit first.
    let new = errors & !LOGGED.fetch_or(errors, Ordering::Relaxed);
    if new != 0 {
        let errors = ApicErrors(new);
        log!("apic: {errors} (more of the kind is not logged)");
    }
}

/// Has this CPU interrupted when its APIC finds an error from now on.
fn listen_for_errors() {
    let _ = local().take_errors();
    write(LVT_ERROR, vector::APIC_ERROR.into());
}

/// Has this CPU's APIC deliver nothing by itself any more.
pub(crate) fn silence() {
    stop_timer();
    write(LVT_ERROR, LVT_MASKED);
    set_pins([LintUse::Masked; 2]);
}

/// Sets this CPU's APIC up: software enable, timer masked, errors reported, nothing held back.
pub(crate) fn enable() {
    write(TASK_PRIORITY, 0);
    write(TIMER_DIVIDE, DIVIDE_BY_16);
    stop_timer();
    // Bit 8: software enable. Before the pins, which are the caller's: while it is clear, as after
    // INIT, no entry of the vector table can be unmasked (Intel SDM 3A, 11.4.7.2).
    write(SPURIOUS, 1 << 8 | u32::from(vector::SPURIOUS));
    listen_for_errors();
}

pub(crate) fn set_pins(uses: [LintUse; 2]) {
    const NMI: u32 = 0b100 << 8;
    const ACTIVE_LOW: u32 = 1 << 13;
    for (register, lint_use) in [LVT_LINT0, LVT_LINT1].into_iter().zip(uses) {
        match lint_use {
            LintUse::Masked => write(register, LVT_MASKED),
            LintUse::Nmi { active_low: true } => write(register, NMI | ACTIVE_LOW),
            LintUse::Nmi { active_low: false } => write(register, NMI),
            LintUse::AsFound => {}
        }
    }
}

/// Masks the interrupt sources inside this CPU (performance counters, temperature, corrected
/// machine checks), except those that raise SMIs, and errors, which the kernel reports.
pub(crate) fn mask_own_sources() {
    const SMI: u32 = 0b010 << 8;
    // The number of the last entry says which there are (Intel SDM 3A, figures 11-7 and 11-8); a
    // register that is not there must not be touched in x2APIC mode.
    let last = read(VERSION) >> 16 & 0xff;
    let all = (3..).zip([LVT_ERROR, LVT_PERFORMANCE, LVT_TEMPERATURE, LVT_CORRECTED]);
    for (_, entry) in all.filter(|(number, _)| last >= *number) {
        let value = read(entry);
        if value & DELIVERY != SMI {
            write(entry, value | LVT_MASKED);
        }
    }
    listen_for_errors();
}

/// Ends all interrupts that this CPU's APIC has in service: firmware, or the kernel that started
/// this one, may have left amid a handler, and none of that priority or below would come through.
pub(crate) fn end_leftovers() {
    let any = || (0..8).any(|word| read(IN_SERVICE + word * 0x10) != 0);
    // At most one for each vector.
    for _ in 0..=u8::MAX {
        if !any() {
            return;
        }
        end_of_interrupt();
    }
}

/// Has `handler` called, as a handler, on interrupts with this vector, which are ended before that.
pub(crate) fn set_handler(vector: u8, handler: fn()) {
    static HANDLERS: [Hook; 256] = [const { Hook::none() }; 256];
    HANDLERS[usize::from(vector)].set(Some(handler));
    let end_and_call = |frame: &mut Frame, _| {
        end_of_interrupt();
        if let Some(handler) = HANDLERS[frame.vector as usize].get() {
            handler();
        }
    };
    interrupts::set_hook(vector, Some(end_and_call));
}

/// Signals the end of an ordinary interrupt to the APIC.
pub(crate) fn end_of_interrupt() {
    write(END_OF_INTERRUPT, 0);
}

/// Whether this CPU has taken an interrupt with this vector from its APIC and not ended it yet.
pub(crate) fn is_in_service(vector: u8) -> bool {
    // Eight registers of 32 bits (Intel SDM 3A, 11.8.4).
    let register = IN_SERVICE + u32::from(vector / 32) * 0x10;
    is_known() && read(register) >> (vector % 32) & 1 == 1
}

/// Sends an interrupt. Any CPU, any context: see [`LocalApic::send`].
pub(crate) fn send(target: Target, ipi: Ipi) {
    // SAFETY: the kernel's callers send what their target expects.
    unsafe { local().send(target, ipi) }
}

/// Lets this CPU's timer count, without interrupts, until [`stop_timer`]: for [`counted`].
pub(crate) fn start_counting() {
    stop_timer();
    write(TIMER_INITIAL, u32::MAX);
}

/// This CPU's timer count since [`start_counting`], before its divider. Stops after a minute at 1
/// GHz.
pub(crate) fn counted() -> u64 {
    u64::from(u32::MAX - read(TIMER_CURRENT)) * TIMER_DIVIDER
}

/// Sets the rate of all CPUs' timers, in Hz before the divider. Until then they cannot be started.
pub(crate) fn set_timer_hz(hz: u64) {
    TIMER_HZ.store(hz, Ordering::Relaxed);
}

/// How fast the timers count, in Hz before the divider.
pub fn timer_hz() -> u64 {
    TIMER_HZ.load(Ordering::Relaxed)
}

/// Starts this CPU's timer anew: an interrupt after `nanos`, or each `nanos`.
pub(crate) fn start_timer(nanos: u64, is_periodic: bool) {
    let count = u128::from(nanos) * u128::from(timer_hz() / TIMER_DIVIDER) / 1_000_000_000;
    let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
    let mode = if is_periodic { LVT_PERIODIC } else { 0 };
    write(LVT_TIMER, mode | u32::from(vector::TIMER));
    write(TIMER_INITIAL, count);
}

/// Stops this CPU's timer. One more tick may be on its way.
pub(crate) fn stop_timer() {
    write(LVT_TIMER, LVT_MASKED | u32::from(vector::TIMER));
    write(TIMER_INITIAL, 0);
}

fn read(register: u32) -> u32 {
    local().read(register)
}

fn write(register: u32, value: u32) {
    // SAFETY: the callers above write what the register is for.
    unsafe { local().write(register, value) }
}
