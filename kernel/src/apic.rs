//! The local APIC: who this CPU is, and interrupts to others.
//!
//! Two ways to its registers (Intel SDM 3A, chapter 11): xAPIC, a page of memory, IDs of 8 bits; and
//! x2APIC, model-specific registers, IDs of 32 bits. All CPUs are in the same mode; [`bringup::ApicFacts`] chooses it.
//! Register numbers below are offsets into the xAPIC page; the x2APIC number is
//! 0x800 + offset / 16.

pub(crate) mod own_sources;

use core::{
    ptr,
    sync::atomic::{AtomicU8, AtomicU64, Ordering},
};

use bringup::{ApicErrors, ApicFacts, CpuMap, Lint, LocalApic};
pub(crate) use bringup::{Ipi, Target};
use protocol::{exit::ExitCode, options::ApicMode};
use raw_cpuid::CpuId;
use x86_64::{
    PhysAddr, VirtAddr,
    registers::model_specific::{ApicBase, ApicBaseFlags},
    structures::paging::PageTableFlags,
};

use crate::{
    cpu::ApicId,
    emergency::exit,
    hook::Hook,
    interrupts::{self, Frame, vector},
    log,
    memory::mapping,
};

/// How often the timer interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Once,
    Periodic,
}

/// Where the xAPIC's page is mapped: in level-4 entry 508, as all registers of devices (`memory::registers`).
const MMIO: u64 = 0xffff_fe00_0000_0000;

const TASK_PRIORITY: u32 = 0x80;
const END_OF_INTERRUPT: u32 = 0xb0;
const SPURIOUS: u32 = 0xf0;
const IN_SERVICE: u32 = 0x100;
const REQUESTED: u32 = 0x200;
const LVT_TIMER: u32 = 0x320;
const LVT_LINT0: u32 = 0x350;
const LVT_LINT1: u32 = 0x360;
const LVT_ERROR: u32 = 0x370;
const TIMER_INITIAL: u32 = 0x380;
const TIMER_CURRENT: u32 = 0x390;
const TIMER_DIVIDE: u32 = 0x3e0;

const LVT_MASKED: u32 = 1 << 16;
/// Delivery mode, in the local vector table and in the command register: the field, and its value for NMIs.
const DELIVERY: u32 = 0b111 << 8;
const NMI_DELIVERY: u32 = 0b100 << 8;
const LVT_PERIODIC: u32 = 1 << 17;

/// How to get at the registers: one of the constants. Written once by the BSP, before other CPUs
/// run, so Relaxed everywhere.
static MODE: AtomicU64 = AtomicU64::new(UNKNOWN);
const UNKNOWN: u64 = 0;
const X_APIC: u64 = 1;
const X2_APIC: u64 = 2;

/// What the timer's input clock is divided by: 32 bits then last for a minute at 1 GHz.
pub(crate) const TIMER_DIVIDER: u64 = 16;
/// The same, as the register has it (Intel SDM 3A, figure 11-10).
const DIVIDE_BY_16: u32 = 0b0011;

/// Rate of the timer, divided, in Hz. Written once by the BSP, before other CPUs run, so Relaxed.
static TIMER_HZ: AtomicU64 = AtomicU64::new(0);

/// This CPU's APIC ID, from its APIC. (CPUID tells only the ID that it had at reset.)
///
/// Any CPU, any context, once the APIC is set up.
#[must_use]
pub fn id() -> ApicId {
    local().id()
}

/// As [`id`]; `None` early in the boot.
pub(crate) fn try_id() -> Option<ApicId> {
    (MODE.load(Ordering::Relaxed) != UNKNOWN).then(id)
}

/// Whether the registers are in x2APIC mode.
#[must_use]
pub fn is_x2() -> bool {
    MODE.load(Ordering::Relaxed) == X2_APIC
}

/// The way to the registers, the same for all CPUs.
pub(crate) fn local() -> LocalApic {
    let page = if is_x2() {
        ptr::null_mut()
    } else {
        MMIO as *mut u8
    };
    // SAFETY: the mode is the CPU's; in xAPIC mode `init` has mapped the page.
    unsafe { LocalApic::at(page) }
}

/// Finds the BSP's APIC, in whichever mode it is, and switches it on. Ends the kernel on a CPU without one.
pub(crate) fn init(asked: ApicMode) {
    let features = CpuId::new()
        .get_feature_info()
        .expect("CPUID leaf 1 exists with long mode");
    if !features.has_apic() {
        log!("this CPU has no local APIC (QEMU: -cpu max)");
        exit(ExitCode::Unfit);
    }
    let wants_x2 = matches!(asked, ApicMode::X2apic | ApicMode::Preset);
    if wants_x2 && !features.has_x2apic() {
        log!(
            "apic: x2APIC is asked for, and this CPU does not have it (TCG has it from QEMU 9.0 on, KVM always)"
        );
        exit(ExitCode::Unfit);
    }
    if asked == ApicMode::Preset {
        switch_on(ApicBaseFlags::LAPIC_ENABLE);
        switch_on(ApicBaseFlags::X2APIC_ENABLE);
    }
    set_handler(vector::APIC_ERROR, report_errors);
    let map = |physical| {
        let uncached = PageTableFlags::NO_CACHE | PageTableFlags::WRITE_THROUGH;
        let flags = uncached | PageTableFlags::GLOBAL;
        mapping::map(VirtAddr::new(MMIO), PhysAddr::new(physical), flags);
        MMIO as *mut u8
    };
    // SAFETY: in ring 0, the CPU has an APIC, and the mapping stays, in the one set of tables that there is.
    adopt(unsafe { LocalApic::find(map) });
}

/// Takes this way to the registers from now on, and sets them up.
fn adopt(apic: LocalApic) {
    let mode = if apic.is_x2() { X2_APIC } else { X_APIC };
    MODE.store(mode, Ordering::Relaxed);
    enable();
}

/// Sets a flag in the APIC's base register.
fn switch_on(flag: ApicBaseFlags) {
    let (base, flags) = ApicBase::read();
    // SAFETY: the caller switches on what CPUID has; the page stays where it is.
    unsafe { ApicBase::write(base, flags | flag) };
}

/// Decides about the mode, now that the CPUs are known, and switches over. On the BSP, before others run.
pub(crate) fn fit(asked: ApicMode, map: &CpuMap, dmar: Option<&[u8]>) {
    let apic = local();
    let found = apic.facts(map, dmar);
    let facts = match asked {
        ApicMode::Auto | ApicMode::Preset => found,
        ApicMode::Xapic => ApicFacts {
            is_virtual: false,
            ..found
        },
        ApicMode::X2apic => ApicFacts {
            is_virtual: true,
            opts_out: false,
            ..found
        },
    };
    // First the APIC, then the mode that is known: with the page that is no longer there an NMI in between reads
    // nothing; by registers that are not there yet it would fault.
    // SAFETY: the BSP; `has_x2` is as found.
    let (apic, choice) = unsafe { apic.fit(facts) };
    adopt(apic);
    match asked {
        ApicMode::X2apic => log!("apic: x2APIC, as asked"),
        _ => log!("apic: {choice}"),
    }
    if let Some((_, id)) = map.iter().find(|(_, id)| !can_address(*id)) {
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

/// Has this CPU interrupted when its APIC finds an error; what it has found before is forgotten.
pub(super) fn listen_for_errors() {
    let _ = local().take_errors();
    write(LVT_ERROR, vector::APIC_ERROR.into());
}

/// Whether an interrupt can be sent to the CPU with this ID.
pub(crate) fn can_address(id: ApicId) -> bool {
    local().can_address(id)
}

/// Has this CPU's APIC deliver nothing by itself any more.
pub(crate) fn silence() {
    stop_timer();
    write(LVT_ERROR, LVT_MASKED);
    set_pin(Lint::Lint0, Pin::Masked);
    set_pin(Lint::Lint1, Pin::Masked);
}

/// Sets this CPU's APIC up: software enable, timer masked, errors reported, nothing held back.
pub(crate) fn enable() {
    write(TASK_PRIORITY, 0);
    write(TIMER_DIVIDE, DIVIDE_BY_16);
    write(LVT_TIMER, LVT_MASKED | u32::from(vector::TIMER));
    // Bit 8: software enable. Before the pins, which are the caller's: as long as it is clear, which it is after
    // INIT, no entry of the vector table can be unmasked (Intel SDM 3A, 11.4.7.2).
    write(SPURIOUS, 1 << 8 | u32::from(vector::SPURIOUS));
    listen_for_errors();
}

/// What one of the two pins is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pin {
    Masked,
    /// NMIs from the board. They are edge-triggered, whatever the firmware says (Intel SDM 3A, 11.5.1).
    Nmi {
        active_low: bool,
    },
}

/// Says what one of this CPU's pins is for.
pub(crate) fn set_pin(lint: Lint, pin: Pin) {
    const ACTIVE_LOW: u32 = 1 << 13;
    let value = match pin {
        Pin::Masked => LVT_MASKED,
        Pin::Nmi { active_low: true } => NMI_DELIVERY | ACTIVE_LOW,
        Pin::Nmi { active_low: false } => NMI_DELIVERY,
    };
    write(register_of(lint), value);
}

/// Whether NMIs come to this CPU by one of its pins.
pub(crate) fn takes_nmis(lint: Lint) -> bool {
    read(register_of(lint)) & (LVT_MASKED | DELIVERY) == NMI_DELIVERY
}

fn register_of(lint: Lint) -> u32 {
    match lint {
        Lint::Lint0 => LVT_LINT0,
        Lint::Lint1 => LVT_LINT1,
    }
}

/// Ends all interrupts that this CPU's APIC has in service, whoever has begun them: as long as there is
/// one, none of its priority or below comes through. Firmware, or the kernel that has started this
/// one, may have left in the midst of a handler. (On a CPU that INIT has reset there is none.)
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

/// Tells the APIC that the handler of an ordinary interrupt has taken it.
pub(crate) fn end_of_interrupt() {
    write(END_OF_INTERRUPT, 0);
}

/// Whether this CPU has taken an interrupt with this vector from its APIC and not ended it yet.
/// Early in the boot no APIC is known, and so none in service.
pub(crate) fn is_in_service(vector: u8) -> bool {
    MODE.load(Ordering::Relaxed) != UNKNOWN && is_set(IN_SERVICE, vector)
}

/// Whether an interrupt with this vector has come to this CPU's APIC that the CPU has not taken yet.
pub(crate) fn is_requested(vector: u8) -> bool {
    is_set(REQUESTED, vector)
}

/// A vector's bit in one of the registers of 256 bits: eight of 32 (Intel SDM 3A, 11.8.4).
fn is_set(first: u32, vector: u8) -> bool {
    let vector = u32::from(vector);
    read(first + vector / 32 * 0x10) >> (vector % 32) & 1 == 1
}

/// Sends an interrupt. Any CPU, any context: see [`LocalApic::send`].
pub(crate) fn send(target: Target, ipi: Ipi) {
    // SAFETY: the kernel's callers send what their target expects.
    unsafe { local().send(target, ipi) }
}

/// Lets this CPU's timer count, without interrupts, until [`stop_timer`]: for [`counted`].
pub(crate) fn start_counting() {
    write(LVT_TIMER, LVT_MASKED | u32::from(vector::TIMER));
    write(TIMER_INITIAL, u32::MAX);
}

/// What this CPU's timer has counted since [`start_counting`]. Stands after a minute at 1 GHz.
pub(crate) fn counted() -> u64 {
    u64::from(u32::MAX - read(TIMER_CURRENT))
}

/// Says how fast all CPUs' timers count, in Hz before the divider. Until then they cannot be started.
pub(crate) fn set_timer_hz(hz: u64) {
    TIMER_HZ.store((hz / TIMER_DIVIDER).max(1), Ordering::Relaxed);
}

/// How fast the timers are taken to count, in Hz before the divider.
#[must_use]
pub fn timer_hz() -> u64 {
    TIMER_HZ.load(Ordering::Relaxed) * TIMER_DIVIDER
}

/// Starts this CPU's timer: an interrupt after `nanos`, or each `nanos`. Replaces what was set
/// before.
pub(crate) fn start_timer(nanos: u64, mode: Mode) {
    let count = u128::from(nanos) * u128::from(TIMER_HZ.load(Ordering::Relaxed)) / 1_000_000_000;
    let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
    let mode = match mode {
        Mode::Once => 0,
        Mode::Periodic => LVT_PERIODIC,
    };
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
