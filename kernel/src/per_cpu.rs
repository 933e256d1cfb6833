//! Variables of which every CPU has its own, each declared by the module that uses it.
//!
//! ```ignore
//! per_cpu! {
//!     /// Wake interrupts taken.
//!     static WAKES: AtomicU64 = AtomicU64::new(0);
//! }
//!
//! WAKES.here().load(Ordering::Relaxed);        // this CPU's: one load more than an ordinary static
//! WAKES.of(cpu).map(|wakes| ...);              // another CPU's, if it has an area
//! ```
//!
//! The linker gathers the declarations, with their initial values, in a pattern (`per_cpu_start` in
//! `link.ld`) of which each CPU has a copy at the start of its [area](mod@crate::cpu), where its GS
//! base points. A variable is atomic or written once: references are safe on any CPU, in any
//! context.
//!
//! `unsafe` in this module: GS, and references into the areas.

use core::{
    arch::asm,
    mem::offset_of,
    ptr,
    sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
};

use bringup::CpuIndex;
use x86_64::{VirtAddr, registers::model_specific::GsBase};

/// Where the areas lie: level-4 entry 507, used for nothing else.
const AREAS_AT: u64 = 0xffff_fd80_0000_0000;

/// Address space of one CPU's area. Eight of them share a level-1 page table (of 2 MiB), so tables
/// take little memory, and an area never needs a second one.
pub(crate) const AREA: usize = 256 << 10;

/// Room for the variables at the start of each area, in bytes. (`link.ld` checks that they fit.)
pub(crate) const ROOM: usize = 1024;

/// Number of CPUs that have an area: those with indices below.
static AREAS: AtomicUsize = AtomicUsize::new(0);

/// A variable of which every CPU has its own. Declared by [`per_cpu!`].
#[repr(transparent)]
pub(crate) struct PerCpuVariable<T>(T);

/// Declares per-CPU variables, as statics are: the initial value is what each CPU starts with.
macro_rules! per_cpu {
    ($($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $initial:expr;)+) => {$(
        $(#[$attribute])*
        // SAFETY: the section has nothing but such variables; link.ld keeps it in one piece.
        #[unsafe(link_section = ".per_cpu")]
        $visibility static $name: $crate::per_cpu::PerCpuVariable<$type> =
            // SAFETY: it lies in the section.
            unsafe { $crate::per_cpu::PerCpuVariable::new($initial) };
    )+};
}
pub(crate) use per_cpu;

impl<T: Sync> PerCpuVariable<T> {
    /// # Safety
    /// The value is that of a static in section `.per_cpu`. Copies of its bytes are values as good
    /// as it is (so it does not point to itself).
    pub(crate) const unsafe fn new(initial: T) -> Self {
        Self(initial)
    }

    /// This CPU's. A kernel thread never moves to another CPU, so it stays this CPU's.
    pub(crate) fn here(&'static self) -> &'static T {
        let shift: u64;
        // SAFETY: every CPU runs `install` before any other Rust code, so GS points to its copy,
        // whose head is set.
        unsafe {
            asm!(
                "mov {}, gs:[{offset}]",
                out(reg) shift,
                offset = const offset_of!(Head, shift),
                options(nostack, preserves_flags, readonly, pure),
            );
        }
        // SAFETY: the shift leads from the pattern to this CPU's copy, which is never freed.
        unsafe { self.shifted(shift) }
    }

    /// That of a CPU, if it has an area.
    pub(crate) fn of(&'static self, cpu: CpuIndex) -> Option<&'static T> {
        // SAFETY: as in `here`.
        (cpu.get() < areas()).then(|| unsafe { self.shifted(shift_to(area(cpu, 0).as_u64())) })
    }

    /// # Safety
    /// The shift leads to a copy that stays for good.
    unsafe fn shifted(&'static self, shift: u64) -> &'static T {
        let copy = (ptr::from_ref(&self.0).expose_provenance() as u64).wrapping_add(shift);
        // SAFETY: by the caller; a copy of a `T` is one (`new`).
        unsafe { &*ptr::with_exposed_provenance(copy as usize) }
    }
}

impl PerCpuVariable<AtomicU64> {
    /// A CPU's count; 0 if it has no area. Racy.
    pub(crate) fn count_of(&'static self, cpu: CpuIndex) -> u64 {
        self.of(cpu).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

/// The first of a CPU's variables, at GS itself: `link.ld` puts this section before the others.
#[repr(C)]
struct Head {
    /// From a variable in the pattern to this CPU's.
    shift: AtomicU64,
    index: AtomicU32,
}

// SAFETY: the section has nothing else in it.
#[used]
#[unsafe(link_section = ".per_cpu.head")]
static HEAD: Head = Head { shift: AtomicU64::new(0), index: AtomicU32::new(0) };

unsafe extern "C" {
    static per_cpu_start: u8;
    static per_cpu_end: u8;
}

/// This CPU's index: one load.
pub(crate) fn index() -> CpuIndex {
    let index: u32;
    // SAFETY: as in `PerCpuVariable::here`. The index is never written again.
    unsafe {
        asm!(
            "mov {:e}, gs:[{offset}]",
            out(reg) index,
            offset = const offset_of!(Head, index),
            options(nostack, preserves_flags, readonly, pure),
        );
    }
    CpuIndex::new(index)
}

/// Number of CPUs that have an area.
pub(crate) fn areas() -> usize {
    // Acquire: pairs with the store in `add_area`.
    AREAS.load(Ordering::Acquire)
}

/// Where a byte of a CPU's area is, or will be.
pub(crate) fn area(cpu: CpuIndex, offset: usize) -> VirtAddr {
    VirtAddr::new(AREAS_AT + (cpu.get() * AREA + offset) as u64)
}

/// Fills the area of the CPU with this index, the first that has none. One caller at a time.
///
/// # Safety
/// Its first [`ROOM`] bytes are mapped for good, and only its own; the BSP's are [`early`]'s.
pub(crate) unsafe fn add_area(cpu: CpuIndex) {
    if cpu != CpuIndex::BSP {
        // SAFETY: by the caller.
        unsafe { copy_to(area(cpu, 0), cpu) };
    }
    // Release: pairs with the load in `areas`.
    AREAS.store(cpu.get() + 1, Ordering::Release);
}

/// Has GS of this CPU, whose index this is, point to its area. The first thing it does in Rust.
pub(crate) fn install(cpu: CpuIndex) {
    GsBase::write(area(cpu, 0));
}

/// The first page of the BSP's area, before there is memory for areas.
#[repr(align(4096))]
struct Early(#[expect(dead_code, reason = "read through GS")] [u8; 4096]);

static mut EARLY: Early = Early([0; 4096]);

/// Where the BSP's variables are from the kernel's first step on. Its area has the same page, so no
/// count from before (NMIs may have come) is lost.
pub(crate) fn early() -> VirtAddr {
    VirtAddr::from_ptr(&raw const EARLY)
}

/// Gives the BSP something to find at GS. The kernel's first step.
pub(crate) fn init_bsp() {
    // SAFETY: there is room for the pattern (`ROOM`; `link.ld` checks it), used by nothing else.
    unsafe { copy_to(early(), CpuIndex::BSP) };
    GsBase::write(early());
}

/// Makes a copy of the pattern, for this CPU.
///
/// # Safety
/// There is room for it, which nothing else ever uses.
unsafe fn copy_to(start: VirtAddr, cpu: CpuIndex) {
    let pattern = &raw const per_cpu_start;
    let bytes = &raw const per_cpu_end as usize - pattern as usize;
    let copy: *mut u8 = start.as_mut_ptr();
    // SAFETY: the pattern, which no code writes to, and room for it (by the caller).
    unsafe { ptr::copy_nonoverlapping(pattern, copy, bytes) };
    // SAFETY: the head comes first (`link.ld`), and has just been copied.
    let head = unsafe { &*copy.cast::<Head>() };
    head.shift.store(shift_to(start.as_u64()), Ordering::Relaxed);
    head.index.store(cpu.get() as u32, Ordering::Relaxed);
}

/// From a variable in the pattern to the one in the copy that starts here.
fn shift_to(copy: u64) -> u64 {
    copy.wrapping_sub(&raw const per_cpu_start as u64)
}

const _: () = {
    assert!(ROOM <= size_of::<Early>());
    assert!((2 << 20) % AREA == 0, "an area lies in one level-1 table");
    // All areas lie under one level-4 entry (512 GiB): it is there when others copy it.
    assert!((bringup::MAX_CPUS * AREA) as u64 <= 512 << 30);
};
