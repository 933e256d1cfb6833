//! `core`'s atomics, which report every access to a hook, so that cache lines can be counted: the
//! package `rundown-traced` compiles the crate `rundown` with these.
//!
//! `unsafe` here: the hook is a function kept in an atomic pointer.
#![no_std]

use core::ptr;
use core::sync::atomic::{self, AtomicPtr, Ordering};

/// The effect of an instruction on the cache line that it touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It needs a copy of the line.
    Read,
    /// It needs the line to itself: a store or a read-modify-write, also one that fails.
    Write,
}

/// Called with the address of each access and what it does, on the CPU and in the context that
/// makes it, just before it is made.
pub type Hook = fn(address: usize, access: Access);

/// From now on all accesses are reported to `hook`, on all CPUs; until then to none.
pub fn set_hook(hook: Hook) {
    // Release: pairs with the Acquire in `report`.
    HOOK.store(hook as *mut (), Ordering::Release);
}

/// Reports an access to the hook. For platforms, whose counters are not these atomics.
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
        /// `core`'s atomic of this name, every access to which is reported.
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub struct $name(atomic::$name);

        impl $name {
            /// As `core`'s.
            pub const fn new(value: $value) -> Self {
                Self(atomic::$name::new(value))
            }

            /// As `core`'s. Accesses through the pointer are not reported.
            pub const fn as_ptr(&self) -> *mut $value {
                self.0.as_ptr()
            }

            /// As `core`'s.
            pub const fn into_inner(self) -> $value {
                self.0.into_inner()
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

            /// A load, and an exchange unless `change` finds nothing to do. (Repeated exchanges
            /// count as one.)
            pub fn fetch_update(
                &self,
                success: Ordering,
                failure: Ordering,
                mut change: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                report(self.as_ptr().addr(), Access::Read);
                let mut reported = false;
                // Pairs with what its caller says.
                self.0.fetch_update(success, failure, |value| {
                    let changed = change(value);
                    if changed.is_some() && !reported {
                        report(self.as_ptr().addr(), Access::Write);
                        reported = true;
                    }
                    changed
                })
            }
        }
    };
    ($access:ident: $method:ident($($argument:ident: $type:ty),*) -> $result:ty) => {
        /// As `core`'s.
        #[inline]
        pub fn $method(&self, $($argument: $type),*) -> $result {
            report(self.as_ptr().addr(), Access::$access);
            self.0.$method($($argument),*)
        }
    };
}

traced!(AtomicI64 of i64);
traced!(AtomicU64 of u64);
traced!(AtomicUsize of usize);
