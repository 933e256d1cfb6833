//! The interface between a loadable image and the guest that loads it. Each is linked with a copy
//! of this crate.
//!
//! The image is a driver as kernels load them: linked by itself, to an address of its own; it has
//! no symbol in common with the kernel, gets the kernel's functions in a table, and gives back a
//! table of its own. The objects that both use are of one type, [`SharedRundown`]. Its layout is
//! the same in both, as long as one compiler has built them from the same sources.
#![no_std]

use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use rundown::per_cpu::gs::{self, Bounds};
use rundown::{
    CounterId, IllegalContext, ObjectId, PerCpuGate, PerCpuPlatform, PerCpuRundown, Platform,
    Unavailable,
};

/// Where the image lies: 1 GiB above the kernel, within reach of the code model `kernel`.
pub const BASE: u64 = 0xffff_ffff_c000_0000;

/// An object that the kernel and the image use.
pub type SharedRundown = PerCpuRundown<SharedPlatform>;

/// The image's first function, its ELF entry point.
pub type Start = extern "C" fn(&'static Imports, &mut Exports);

/// The image's imports: the functions of the kernel's platform.
#[derive(Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "functions of the traits, by their names")]
pub struct Imports {
    pub wake_waiters: fn(ObjectId),
    pub allocate: fn() -> Result<CounterId, Unavailable>,
    pub free: unsafe fn(CounterId),
    pub check_barrier: fn() -> Result<(), IllegalContext>,
    pub barrier: fn(),
    pub cpus: fn() -> usize,
    pub count: unsafe fn(CounterId, usize) -> i64,
    pub racy_own_count: unsafe fn(CounterId) -> i64,
    pub clear: unsafe fn(CounterId, usize),
}

/// The image's exports.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Exports {
    /// Its table of restartable sequences.
    pub sequences: Bounds,
    /// Takes protection. Whether it was granted.
    pub acquire: extern "C" fn(&SharedRundown) -> bool,
    /// Releases one.
    ///
    /// # Safety
    /// The caller holds one.
    pub release: unsafe extern "C" fn(&SharedRundown),
    /// Takes protection and releases it this many times. How often it was granted.
    pub use_often: extern "C" fn(&SharedRundown, usize) -> usize,
}

static IMPORTS: AtomicPtr<Imports> = AtomicPtr::new(ptr::null_mut());

/// Says where this copy of the crate finds the platform's functions. Before anything else.
pub fn import(imports: &'static Imports) {
    // Release: pairs with the Acquire in `imports`.
    IMPORTS.store(ptr::from_ref(imports).cast_mut(), Ordering::Release);
}

fn imports() -> &'static Imports {
    // Acquire: pairs with the Release in `import`.
    // SAFETY: null, or what `import` was given.
    unsafe { IMPORTS.load(Ordering::Acquire).as_ref() }.expect("`import` comes first")
}

/// The kernel's platform, seen from both sides. Functions that must be fast are inlined; the
/// rest go through the table.
#[derive(Clone, Copy, Debug)]
pub struct SharedPlatform;

impl Platform for SharedPlatform {
    /// For objects with slots, of which there are none here.
    fn cpu_hint() -> usize {
        0
    }

    fn wake_waiters(object: ObjectId) {
        (imports().wake_waiters)(object);
    }
}

// SAFETY: the table leads to a platform that keeps the promises, and whose counters lie at GS base
// + their number. The sequences are restarted while the image's table is registered.
unsafe impl PerCpuPlatform for SharedPlatform {
    fn allocate() -> Result<CounterId, Unavailable> {
        (imports().allocate)()
    }

    unsafe fn free(counter: CounterId) {
        // SAFETY: as for this function.
        unsafe { (imports().free)(counter) };
    }

    #[inline(always)]
    unsafe fn add_if_open(gate: &PerCpuGate, n: i64) -> bool {
        // SAFETY: as for this function.
        unsafe { gs::add_if_open(gate, n) }
    }

    fn check_barrier() -> Result<(), IllegalContext> {
        (imports().check_barrier)()
    }

    fn barrier() {
        (imports().barrier)();
    }

    fn cpus() -> usize {
        (imports().cpus)()
    }

    unsafe fn count(counter: CounterId, cpu: usize) -> i64 {
        // SAFETY: as for this function.
        unsafe { (imports().count)(counter, cpu) }
    }

    unsafe fn racy_own_count(counter: CounterId) -> i64 {
        // SAFETY: as for this function.
        unsafe { (imports().racy_own_count)(counter) }
    }

    unsafe fn clear(counter: CounterId, cpu: usize) {
        // SAFETY: as for this function.
        unsafe { (imports().clear)(counter, cpu) };
    }
}
