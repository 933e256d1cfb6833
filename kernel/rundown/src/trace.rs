//! Under the cfg `rundown_trace` only, which the package `rundown-traced` sets for its copy of this crate:
//! every atomic access is told to a hook, so that somebody can count cache lines.
//!
//! `unsafe` in this module: the hook is a function kept in an atomic pointer.

use core::ptr;
use core::sync::atomic::{self, AtomicPtr, Ordering};

/// What an instruction does to the cache line that it touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It needs a copy of the line.
    Read,
    /// It needs the line to itself: a store or a read-modify-write, also one that fails.
    Write,
}

/// Is told the address and the kind of each access, on the CPU and in the context that makes it, just
/// before it is made.
pub type Hook = fn(address: usize, access: Access);

/// From now on `hook` is told of all accesses, on all CPUs. Until then nobody is.
pub fn set_hook(hook: Hook) {
    // Release: pairs with the Acquire in `report`.
    HOOK.store(hook as *mut (), Ordering::Release);
}

/// Tells the hook. For platforms, whose counters are not this crate's atomics.
pub fn report(address: usize, access: Access) {
    // Acquire: pairs with the Release in `set_hook`.
    let hook = HOOK.load(Ordering::Acquire);
    if !hook.is_null() {
        // SAFETY: only `set_hook` writes it, and it writes a `Hook`.
        let hook = unsafe { core::mem::transmute::<*mut (), Hook>(hook) };
        hook(address, access);
    }
}

static HOOK: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// One of `core`'s atomics that reports what is done to it.
macro_rules! traced {
    ($name:ident of $value:ty) => {
        #[derive(Debug)]
        #[repr(transparent)]
        pub(crate) struct $name(atomic::$name);

        #[allow(dead_code, reason = "not every operation is used on every type")]
        impl $name {
            pub(crate) const fn new(value: $value) -> Self {
                Self(atomic::$name::new(value))
            }

            pub(crate) const fn as_ptr(&self) -> *mut $value {
                self.0.as_ptr()
            }

            traced!(Read: load(order: Ordering) -> $value);
            traced!(Write: store(value: $value, order: Ordering) -> ());
            traced!(Write: swap(value: $value, order: Ordering) -> $value);
            traced!(Write: fetch_add(value: $value, order: Ordering) -> $value);
            traced!(Write: fetch_sub(value: $value, order: Ordering) -> $value);
            traced!(Write: fetch_max(value: $value, order: Ordering) -> $value);
            traced!(Write: fetch_or(value: $value, order: Ordering) -> $value);
            traced!(Write: fetch_and(value: $value, order: Ordering) -> $value);
            traced!(Write: compare_exchange(
                old: $value, new: $value, success: Ordering, failure: Ordering
            ) -> Result<$value, $value>);
            traced!(Write: compare_exchange_weak(
                old: $value, new: $value, success: Ordering, failure: Ordering
            ) -> Result<$value, $value>);

            /// A load, and an exchange unless `change` finds nothing to do. (Repeated exchanges count
            /// as one.)
            pub(crate) fn fetch_update(
                &self,
                success: Ordering,
                failure: Ordering,
                mut change: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                report(self.as_ptr().addr(), Access::Read);
                let mut told = false;
                // Pairs with what its caller says.
                self.0.fetch_update(success, failure, |value| {
                    let changed = change(value);
                    if changed.is_some() && !told {
                        report(self.as_ptr().addr(), Access::Write);
                        told = true;
                    }
                    changed
                })
            }
        }
    };
    ($access:ident: $method:ident($($argument:ident: $type:ty),*) -> $result:ty) => {
        #[inline]
        pub(crate) fn $method(&self, $($argument: $type),*) -> $result {
            report(self.as_ptr().addr(), Access::$access);
            self.0.$method($($argument),*)
        }
    };
}

traced!(AtomicI64 of i64);
traced!(AtomicU64 of u64);
traced!(AtomicUsize of usize);
