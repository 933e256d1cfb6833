//! Interrupts between CPUs: wake, call, stop, and NMI.

use core::{
    mem, ptr,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence},
};

use crate::{
    apic::{self, Ipi, Target},
    cpu::{self, CpuIndex},
    emergency,
    hook::Hook,
    interrupts::{self, Frame, vector},
    per_cpu::per_cpu,
    time, unexpected,
};

per_cpu! {
    /// Wake interrupts taken.
    static WAKES: AtomicU64 = AtomicU64::new(0);
    /// Calls that other CPUs ask for.
    static CALLS: AtomicPtr<Call> = AtomicPtr::new(ptr::null_mut());
    /// An NMI is on its way that is to run the handler.
    static NMI_ASKED: AtomicBool = AtomicBool::new(false);
    /// In an NMI handler. Own CPU only.
    static IN_NMI: AtomicBool = AtomicBool::new(false);
    /// It has been sent the NMI that stops it.
    static STOP_SENT: AtomicBool = AtomicBool::new(false);
}

/// Called while a CPU waits with interrupts off. Any context.
pub(crate) static WHILE_WAITING: Hook = Hook::none();

/// Called on any NMI. Returns whether the NMI may have been sent for that.
pub(crate) static ON_NMI: Hook<fn() -> bool> = Hook::none();

/// Takes over the interrupts between CPUs, and NMIs. Before the BSP has a table of interrupts: NMIs
/// may come as soon as it has.
pub(crate) fn init() {
    emergency::STOP_OTHERS.set(Some(stop_others));
    emergency::OWN_APIC_ID.set(Some(|| apic::try_id().map(cpu::ApicId::get)));
    interrupts::set_hook(vector::NMI, Some(|frame, _| on_nmi(frame)));
    apic::set_handler(vector::CALL, serve_calls);
    apic::set_handler(vector::WAKE, || {
        let wakes = WAKES.here();
        wakes.store(wakes.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    });
}

/// Gets a CPU out of `hlt`. It takes an interrupt that does nothing else.
///
/// Any CPU, any context, NMI included. This CPU's earlier writes are visible to the other after.
pub fn wake(cpu: CpuIndex) {
    apic::send(Target::One(cpu::apic_id(cpu)), Ipi::Vector(vector::WAKE));
}

/// How many wake interrupts this CPU has taken.
pub fn wakes_taken(cpu: CpuIndex) -> u64 {
    WAKES.count_of(cpu)
}

/// Calls `function` in interrupt context on `cpu` (this one included) and returns when it has run.
///
/// Any CPU; thread or interrupt context, not NMI. Interrupts may be off: while it waits, this CPU
/// serves the calls that others make to it. The other CPU must have, or get, interrupts on. Panics
/// if `cpu` is not online, or leaves before it has run the function.
pub fn call(cpu: CpuIndex, function: &(dyn Fn() + Sync)) {
    assert!(try_call(cpu, function).is_ok(), "{cpu} is not online: the call does not run");
}

/// As [`call`], for a CPU that may be [taken out](crate::smp::offline) at any time. Error:
/// [`NotOnline`]: the function has not been run, and will not be.
pub fn try_call(cpu: CpuIndex, function: &(dyn Fn() + Sync)) -> Result<(), NotOnline> {
    let calls = CALLS.of(cpu).filter(|_| cpu::is_online(cpu));
    let calls = calls.ok_or(NotOnline)?;
    let call = Call {
        // SAFETY: only the lifetime changes. This function does not return before the other one has
        // run, or has been refused, and it is not run again.
        function: unsafe { mem::transmute::<&(dyn Fn() + Sync), &(dyn Fn() + Sync)>(function) },
        next: AtomicPtr::new(ptr::null_mut()),
        done: AtomicBool::new(false),
        refused: AtomicBool::new(false),
    };
    call.push(calls);
    apic::send(Target::One(cpu::apic_id(cpu)), Ipi::Vector(vector::CALL));
    // Pairs with the fence in `cpu::set_offline`: either this CPU sees below that the other one has
    // left, or that one sees the call.
    fence(Ordering::SeqCst);
    // Acquire: pairs with the store in `take_calls`; the function's writes are visible.
    while !call.done.load(Ordering::Acquire) {
        if !cpu::is_online(cpu) {
            take_calls(calls, false);
        }
        if !interrupts::enabled() {
            // Not in a handler, but what it calls is promised interrupt context.
            interrupts::as_handler(serve_calls);
            // The other CPU may have interrupts off, too, and wait for this one, say at a barrier.
            if let Some(serve) = WHILE_WAITING.get() {
                serve();
            }
        }
        core::hint::spin_loop();
    }
    if call.refused.load(Ordering::Relaxed) {
        return Err(NotOnline);
    }
    Ok(())
}

/// The CPU is not online, so the call does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotOnline;

/// A call on its caller's stack, linked into the list of the CPU that is to run it.
struct Call {
    function: &'static (dyn Fn() + Sync),
    next: AtomicPtr<Call>,
    done: AtomicBool,
    /// It has not been run, and will not be.
    refused: AtomicBool,
}

impl Call {
    /// Puts the call before the others in `list`.
    fn push(&self, list: &AtomicPtr<Call>) {
        let this = ptr::from_ref(self).cast_mut();
        let mut first = list.load(Ordering::Relaxed);
        loop {
            self.next.store(first, Ordering::Relaxed);
            // Release: pairs with the swap in `take_calls`; the call's fields are visible.
            match list.compare_exchange_weak(first, this, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => first = now,
            }
        }
    }
}

/// Runs the calls made to this CPU, or refuses them if it is not online. As a handler.
pub(crate) fn serve_calls() {
    take_calls(CALLS.here(), cpu::is_online_here());
}

/// Refuses or answers requests to this CPU from before its (re-)start, whose interrupts are lost.
pub(crate) fn forget() {
    IN_NMI.here().store(false, Ordering::Relaxed);
    NMI_ASKED.here().store(false, Ordering::Relaxed);
    if let Some(on_nmi) = ON_NMI.get() {
        on_nmi();
    }
    // Not online, so they are refused.
    serve_calls();
}

/// Takes the calls in a CPU's list, and runs or refuses them. Those of a CPU that has left are
/// refused by a caller, or by that CPU when it leaves and when it comes back.
fn take_calls(list: &AtomicPtr<Call>, run: bool) {
    // Acquire: pairs with `push`.
    let mut next = list.swap(ptr::null_mut(), Ordering::Acquire);
    // SAFETY: every call in the list lives until its `done` is set, since its caller waits for
    // that; the list is this CPU's now.
    while let Some(call) = unsafe { next.as_ref() } {
        next = call.next.load(Ordering::Relaxed);
        if run {
            (call.function)();
        }
        call.refused.store(!run, Ordering::Relaxed);
        // Release: pairs with the load in `try_call`. The call is gone after this.
        call.done.store(true, Ordering::Release);
    }
}

/// Index + 1 of the CPU that stops the others; 0 while none does.
static STOPPING: AtomicU32 = AtomicU32::new(0);

/// Stops all other CPUs for good, by NMI. Whether all have answered within a second. Any context.
fn stop_others() -> bool {
    const TIMEOUT_NS: u64 = 1_000_000_000;
    STOPPING.store(cpu::current().get() as u32 + 1, Ordering::SeqCst);
    let deadline = time::nanos() + TIMEOUT_NS;
    loop {
        let mut all = true;
        // The BSP comes first. Once it has stopped, no CPU comes online any more; those that did
        // meanwhile get their NMI now.
        for other in cpu::others() {
            let Some(sent) = STOP_SENT.of(other) else {
                continue;
            };
            // Relaxed: one is enough, whoever sends it.
            if !sent.swap(true, Ordering::Relaxed) {
                apic::send(Target::One(cpu::apic_id(other)), Ipi::Nmi);
            }
            all &= emergency::has_stopped(other);
        }
        if all {
            return true;
        }
        if time::nanos() >= deadline {
            return false;
        }
        core::hint::spin_loop();
    }
}

/// Sets the handler of NMIs that [`nmi`] sends, or the hardware (unless the board reports a
/// hardware error, which ends the kernel). `None`: they are [counted](unexpected::unhandled_nmis).
///
/// It runs on a stack of its own, on top of whatever it interrupted, so it may neither lock nor
/// allocate, nor wait at a [barrier](crate::barrier).
pub fn set_nmi_handler(handler: Option<fn()>) {
    NMI_HANDLER.set(handler);
}

/// Sends a non-maskable interrupt to a CPU, this one included, for which there is a
/// [handler](set_nmi_handler). A CPU that is not online gets none. Any CPU, any context.
///
/// Several that are sent before the first is taken may become one. If a [barrier](crate::barrier)'s
/// comes at the same time, the handler may run one time more.
pub fn nmi(cpu: CpuIndex) {
    let Some(asked) = NMI_ASKED.of(cpu).filter(|_| cpu::is_online(cpu)) else {
        return;
    };
    // Release: pairs with the swap in `on_nmi`; the sender's writes are visible to the handler.
    asked.store(true, Ordering::Release);
    apic::send(Target::One(cpu::apic_id(cpu)), Ipi::Nmi);
}

static NMI_HANDLER: Hook = Hook::none();

/// Whether this code runs in an NMI handler. Any context.
pub(crate) fn in_nmi() -> bool {
    // Relaxed: only this CPU writes it.
    IN_NMI.here().load(Ordering::Relaxed)
}

/// An NMI: another CPU wants this one to stop, to answer at a barrier, or to run the handler, or it
/// is the hardware's. It does not say which, and two may become one, so a request is recorded
/// before its NMI is sent, and each is looked at on any NMI.
fn on_nmi(frame: &Frame) {
    match STOPPING.load(Ordering::SeqCst) {
        0 => {}
        // Another sender's NMI. This CPU has a report to finish.
        by if by == cpu::current().get() as u32 + 1 => return,
        _ => emergency::halt(),
    }
    let for_others = ON_NMI.get().is_some_and(|on_nmi| on_nmi());
    // Acquire: pairs with the store in `nmi`.
    let handler_asked = NMI_ASKED.here().swap(false, Ordering::Acquire);
    if for_others && !handler_asked {
        return;
    }
    if !handler_asked {
        unexpected::check_nmi_reason(frame);
    }
    IN_NMI.here().store(true, Ordering::Relaxed);
    match NMI_HANDLER.get() {
        // Not on a CPU that starts or has left: barriers, which guard objects, pass over it.
        Some(handler) if cpu::is_online_here() => handler(),
        _ => unexpected::count_nmi(),
    }
    IN_NMI.here().store(false, Ordering::Relaxed);
}
