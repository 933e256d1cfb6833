//! The per-CPU area: one structure per CPU, found by the GS segment's base.
//!
//! Everything in it is atomic, and most of it is only ever touched by its own CPU, so that a
//! reference to any area is safe on any CPU and in any context.

use core::{
    mem::offset_of,
    ptr,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering},
};

use alloc::boxed::Box;
use cpumap::{CpuIndex, MAX_CPUS};
use x86_64::{VirtAddr, registers::model_specific::GsBase};

use crate::{interrupts::Hook, ipi::Call, smp::work::Job};

/// One CPU's area. Alone on its cache lines: CPUs write their own all the time.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct CpuLocal {
    /// Its own address: what `gs:0` reads, so that a reference costs one load.
    this: AtomicPtr<CpuLocal>,
    index: AtomicU32,
    /// Nesting of interrupt handlers, exceptions and NMIs included. Own CPU only.
    pub(crate) handlers: AtomicU32,
    /// This CPU takes interrupts and work.
    pub(crate) online: AtomicBool,
    /// Halted for good.
    pub(crate) stopped: AtomicBool,
    /// Calls that other CPUs ask for.
    pub(crate) calls: AtomicPtr<Call>,
    /// Work for the idle loop.
    pub(crate) job: AtomicPtr<Job>,
    /// What the periodic timer calls.
    pub(crate) timer_handler: Hook,
    /// What it sleeps for: see `platform`. Written by its own CPU only.
    pub(crate) sleeps_for: AtomicUsize,
    /// A future on this CPU is to be polled: see `task`.
    pub(crate) task_woken: AtomicBool,
    /// Wake interrupts taken.
    pub(crate) wakes: AtomicU64,
}

impl CpuLocal {
    const fn new(index: CpuIndex) -> Self {
        Self {
            this: AtomicPtr::new(ptr::null_mut()),
            index: AtomicU32::new(index.get() as u32),
            handlers: AtomicU32::new(0),
            online: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            calls: AtomicPtr::new(ptr::null_mut()),
            job: AtomicPtr::new(ptr::null_mut()),
            timer_handler: Hook::none(),
            sleeps_for: AtomicUsize::new(0),
            task_woken: AtomicBool::new(false),
            wakes: AtomicU64::new(0),
        }
    }

    /// Whose area this is.
    pub(crate) fn index(&self) -> CpuIndex {
        CpuIndex::new(self.index.load(Ordering::Relaxed))
    }

    /// A new area for the AP with this index. It lives for good.
    pub(crate) fn allocate(index: CpuIndex) -> &'static Self {
        let area: &'static Self = Box::leak(Box::new(Self::new(index)));
        // Release: pairs with the load in `area`.
        AREAS[index.get()].store(ptr::from_ref(area).cast_mut(), Ordering::Release);
        area
    }
}

/// The BSP's area exists before there is a heap.
static BSP: CpuLocal = CpuLocal::new(CpuIndex::BSP);

/// The areas by index; null where a CPU has none.
static AREAS: [AtomicPtr<CpuLocal>; MAX_CPUS] =
    [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CPUS];

/// This CPU's area.
pub(crate) fn local() -> &'static CpuLocal {
    let this: *const CpuLocal;
    // SAFETY: every CPU runs `install` before any other Rust code, so GS points to its area,
    // whose `this` is set; areas are never freed.
    unsafe {
        core::arch::asm!(
            "mov {}, gs:[{offset}]",
            out(reg) this,
            offset = const offset_of!(CpuLocal, this),
            options(nostack, preserves_flags, readonly, pure),
        );
    }
    // SAFETY: as above.
    unsafe { &*this }
}

/// The area of a CPU, if it has one.
pub(crate) fn area(index: CpuIndex) -> Option<&'static CpuLocal> {
    // Acquire: pairs with the store in `CpuLocal::allocate`.
    let area = AREAS.get(index.get())?.load(Ordering::Acquire);
    // SAFETY: null, or a leaked area or the static one: valid for good, shared by design.
    unsafe { area.as_ref() }
}

/// Gives this CPU its area. The first thing it does in Rust.
pub(crate) fn install(area: &'static CpuLocal) {
    area.this
        .store(ptr::from_ref(area).cast_mut(), Ordering::Relaxed);
    GsBase::write(VirtAddr::from_ptr(area));
}

/// Gives the BSP its area. The kernel's first step.
pub(crate) fn init_bsp() {
    // Release: pairs with the load in `area`.
    AREAS[0].store(ptr::from_ref(&BSP).cast_mut(), Ordering::Release);
    install(&BSP);
}
