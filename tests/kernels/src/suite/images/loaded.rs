//! The image while it is loaded.

use alloc::boxed::Box;

use kernel::images::{self, RestartTable};
use kernel::platform::KernelPlatform;
use rundown::{PerCpuPlatform, Platform};
use spin::LazyLock;
use test_image::{Exports, Imports, SharedRundown};

use super::loader::Image;

pub(crate) static IMPORTS: Imports = Imports {
    wake_waiters: KernelPlatform::wake_waiters,
    allocate: KernelPlatform::allocate,
    free: KernelPlatform::free,
    check_barrier: KernelPlatform::check_barrier,
    barrier: KernelPlatform::barrier,
    cpus: KernelPlatform::cpus,
    count: KernelPlatform::count,
    racy_own_count: KernelPlatform::racy_own_count,
    clear: KernelPlatform::clear,
};

pub(crate) static IMAGE: LazyLock<Image> = LazyLock::new(Image::fetch);

/// It, its table, and what it has given.
pub(crate) struct Loaded {
    pub(crate) exports: Exports,
    /// `None`: it is not registered.
    pub(crate) table: Option<Box<RestartTable>>,
}

impl Loaded {
    pub(crate) fn new(registered: bool) -> Self {
        // SAFETY: the one before is dropped: the tests come one after the other.
        let exports = unsafe { IMAGE.load(&IMPORTS) };
        let table = registered.then(|| {
            let table = Box::new(RestartTable::new());
            // SAFETY: the image has only said where its table is; `drop` takes it out.
            unsafe { images::register(&table, exports.sequences) }.expect("nothing in its way");
            table
        });
        Self { exports, table }
    }

    pub(crate) fn restarts(&self) -> usize {
        self.table.as_ref().map_or(0, |t| t.racy_restarts())
    }

    pub(crate) fn acquire(&self, object: &SharedRundown) -> bool {
        (self.exports.acquire)(object)
    }

    /// # Safety
    /// The caller holds one.
    pub(crate) unsafe fn release(&self, object: &SharedRundown) {
        // SAFETY: by the caller.
        unsafe { (self.exports.release)(object) };
    }
}

/// When nothing is executed in it any more.
impl Drop for Loaded {
    fn drop(&mut self) {
        if let Some(table) = &self.table {
            // SAFETY: nothing is executed in it any more.
            unsafe { images::unregister(table) }.expect("registered");
        }
        // The table first: poisoned for as long as possible, in case it is looked at after all.
        drop(self.table.take());
        // SAFETY: as above.
        unsafe { IMAGE.destroy() };
    }
}
