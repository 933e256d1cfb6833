//! Guards that share the object's memory: [`OwnedGuard`].

use alloc::sync::Arc;

use super::value::Protected;
use crate::guard::{Access, Number, One, Protection, Reach};
use crate::variant::{Rundown, Sealed, Variant};

/// A [`Guard`](crate::Guard) without a lifetime, from [`Protected::try_acquire_owned`]: for a task
/// or a thread that outlives the borrow. It keeps the memory of the object as well as the value;
/// the last one frees it, so drop it only where its [`Arc`] may be freed.
pub type OwnedGuard<T, V> = Access<T, Arc<Protected<T, V>>>;

impl<T, V: Variant> Sealed for Arc<Protected<T, V>> {}

impl<T, V: Variant> Reach for Arc<Protected<T, V>> {
    type Variant = V;

    fn rundown(&self) -> &Rundown<V> {
        self
    }
}

impl<T, V: Variant> Protected<T, V> {
    /// [`try_acquire`](Self::try_acquire), with a guard that keeps the object's memory.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use rundown::{HostPlatform, Park, PlainRundown, Protected};
    ///
    /// let object = Arc::new(Protected::new(PlainRundown::<HostPlatform>::new(), 7));
    /// let guard = object.try_acquire_owned().expect("open");
    /// let user = std::thread::spawn(move || assert_eq!(*guard, 7));
    /// assert_eq!(object.run_down(&Park), Ok(7));
    /// # user.join().unwrap();
    /// ```
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn try_acquire_owned(self: &Arc<Self>) -> Option<OwnedGuard<T, V>> {
        V::acquire(self, 1).ok()?;
        let protection = Protection::new(Arc::clone(self), One);
        // SAFETY: protection was granted, just now.
        Some(unsafe { Access::new(self.protected_value(), protection) })
    }
}

impl<U: ?Sized, T, V: Variant, N: Number> Access<U, Arc<Protected<T, V>>, N> {
    /// The object that it guards.
    #[must_use]
    pub fn object(guard: &Self) -> &Arc<Protected<T, V>> {
        &guard.protection.object
    }
}
