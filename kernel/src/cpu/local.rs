//! What each CPU keeps about itself, at the start of its [area](mod@super::area), where GS points.
//!
//! Everything in it is atomic or written once, and most of it is only ever touched by its own CPU, so that a
//! reference to any of them is safe on any CPU and in any context.

use core::{
    arch::asm,
    mem::offset_of,
    ptr,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering},
};

use bringup::{CpuIndex, Topology};
use spin::Once;
use x86_64::{VirtAddr, registers::model_specific::GsBase};

use crate::{
    barrier::Answers,
    interrupts::{Hook, Unasked},
    ipi::Call,
    smp::work::Job,
};

use super::area;

/// One CPU's. Alone on its cache lines: CPUs write their own all the time.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct CpuLocal {
    /// Its own address: what `gs:[0]` reads, so that a reference costs one load.
    this: AtomicPtr<CpuLocal>,
    index: AtomicU32,
    /// Nesting of interrupt handlers, exceptions and NMIs included. Own CPU only.
    pub(crate) handlers: AtomicU32,
    /// Restartable sequences that were interrupted.
    pub(crate) restarts: AtomicU64,
    /// This CPU takes interrupts and work.
    pub(crate) online: AtomicBool,
    /// Halted for good.
    pub(crate) stopped: AtomicBool,
    /// It has been sent the NMI that stops it.
    pub(crate) stop_sent: AtomicBool,
    /// Calls that other CPUs ask for.
    pub(crate) calls: AtomicPtr<Call>,
    /// Work for the idle loop.
    pub(crate) job: AtomicPtr<Job>,
    /// The idle loop is to end: see `smp::offline`.
    pub(crate) leave: AtomicBool,
    /// What the periodic timer calls.
    pub(crate) timer_handler: Hook,
    /// What it sleeps for: see `platform`. Written by its own CPU only.
    pub(crate) sleeps_for: AtomicUsize,
    /// A future on this CPU is to be polled: see `task`.
    pub(crate) task_woken: AtomicBool,
    /// Wake interrupts taken.
    pub(crate) wakes: AtomicU64,
    /// What it answers to [barriers](crate::barrier).
    pub(crate) barrier: Answers,
    /// An NMI is on its way that is to run the handler: see `ipi`.
    pub(crate) nmi_asked: AtomicBool,
    /// In an NMI handler. Own CPU only.
    pub(crate) in_nmi: AtomicBool,
    /// Interrupts that nobody has asked for.
    pub(crate) unasked: Unasked,
    /// What it has said of itself: see [`topology`](super::topology).
    pub(crate) topology: Once<Topology>,
}

impl CpuLocal {
    pub(super) const fn new(index: CpuIndex) -> Self {
        Self {
            this: AtomicPtr::new(ptr::null_mut()),
            index: AtomicU32::new(index.get() as u32),
            handlers: AtomicU32::new(0),
            restarts: AtomicU64::new(0),
            online: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            stop_sent: AtomicBool::new(false),
            calls: AtomicPtr::new(ptr::null_mut()),
            job: AtomicPtr::new(ptr::null_mut()),
            leave: AtomicBool::new(false),
            timer_handler: Hook::none(),
            sleeps_for: AtomicUsize::new(0),
            task_woken: AtomicBool::new(false),
            wakes: AtomicU64::new(0),
            barrier: Answers::none(),
            nmi_asked: AtomicBool::new(false),
            in_nmi: AtomicBool::new(false),
            unasked: Unasked::none(),
            topology: Once::new(),
        }
    }

    /// Whose area this is.
    pub(crate) fn index(&self) -> CpuIndex {
        CpuIndex::new(self.index.load(Ordering::Relaxed))
    }
}

/// The BSP's, until there is memory for areas.
static EARLY: CpuLocal = CpuLocal::new(CpuIndex::BSP);

/// This CPU's.
pub(crate) fn local() -> &'static CpuLocal {
    let this: *const CpuLocal;
    // SAFETY: every CPU runs `install` before any other Rust code, so GS points to its own, whose
    // `this` is set; they are never freed.
    unsafe {
        asm!(
            "mov {}, gs:[{offset}]",
            out(reg) this,
            offset = const offset_of!(CpuLocal, this),
            options(nostack, preserves_flags, readonly, pure),
        );
    }
    // SAFETY: as above.
    unsafe { &*this }
}

/// This CPU's index: one load.
pub(super) fn index() -> CpuIndex {
    let index: u32;
    // SAFETY: as in `local`. Nobody writes the index.
    unsafe {
        asm!(
            "mov {:e}, gs:[{offset}]",
            out(reg) index,
            offset = const offset_of!(CpuLocal, index),
            options(nostack, preserves_flags, readonly, pure),
        );
    }
    CpuIndex::new(index)
}

/// Has GS of this CPU point to this. The first thing it does in Rust.
pub(crate) fn install(local: &'static CpuLocal) {
    local
        .this
        .store(ptr::from_ref(local).cast_mut(), Ordering::Relaxed);
    GsBase::write(VirtAddr::from_ptr(local));
}

/// Gives the BSP something to find at GS. The kernel's first step.
pub(crate) fn init_bsp() {
    install(&EARLY);
}

/// Gives the BSP its area, as soon as there is memory.
///
/// What it has at GS until then is left behind as it is, not copied: there is nothing in it yet but
/// the index. The only thing that is written so early is the nesting of handlers, by the entry and
/// the exit of an exception or NMI; one that comes during this move is over before the move goes on.
pub(crate) fn settle_bsp() {
    install(area::allocate(CpuIndex::BSP));
}
