//! `core`'s atomics, which report every access to a hook, so that cache lines can be counted: the
//! package `rundown-traced` compiles the crate `rundown` with these.

use std::sync::OnceLock;
use std::sync::atomic::{self, Ordering};

/// The effect of an instruction on the cache line that it touches.
#[derive(Clone, Copy)]
pub enum Effect {
    /// It needs a copy of the line.
    Read,
    /// It needs the line to itself: a store or a read-modify-write, also one that fails.
    Write,
}

/// Called with the address of each access and its effect, on the thread that makes it, before the
/// access (but for the write of `fetch_update`). Until it is set, accesses are not reported.
pub static HOOK: OnceLock<fn(usize, Effect)> = OnceLock::new();

fn report(address: usize, access: Effect) {
    if let Some(hook) = HOOK.get() {
        hook(address, access);
    }
}

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

            /// A load, and an exchange if `change` returns a value. (Repeated exchanges count as
            /// one.)
            pub fn fetch_update(
                &self,
                success: Ordering,
                failure: Ordering,
                change: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                report(self.as_ptr().addr(), Effect::Read);
                let result = self.0.fetch_update(success, failure, change);
                if result.is_ok() {
                    report(self.as_ptr().addr(), Effect::Write);
                }
                result
            }
        }
    };
    ($access:ident: $method:ident($($argument:ident: $type:ty),*) -> $result:ty) => {
        /// As `core`'s.
        #[inline]
        pub fn $method(&self, $($argument: $type),*) -> $result {
            report(self.as_ptr().addr(), Effect::$access);
            self.0.$method($($argument),*)
        }
    };
}

traced!(AtomicI64 of i64);
traced!(AtomicU64 of u64);
traced!(AtomicUsize of usize);
