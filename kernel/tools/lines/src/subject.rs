//! What the scripts act on: anything that is acquired and released ([`Pairs`]), and what also has a
//! life ([`Subject`]).

use rundown_traced::{Rundown, Variant};

/// Something that is acquired and released.
pub trait Pairs: Sync {
    /// Acquires, on the running CPU. Whether it was granted.
    fn acquire(&self) -> bool;

    /// Releases, on the running CPU, what was granted on any.
    fn release(&self);
}

/// Something that is closed and opened again, too.
pub trait Subject: Pairs {
    /// Closes it.
    fn close(&self);

    /// Whether it is closed and nothing is held.
    fn is_drained(&self) -> bool;

    /// Opens it again. It is drained.
    fn reinit(&self);
}

/// Rundown protection of any variant. It guards nothing.
pub struct Guarded<V: Variant>(Rundown<V>);

impl<V: Variant> Guarded<V> {
    /// An open object.
    #[must_use]
    pub const fn new(rundown: Rundown<V>) -> Self {
        Self(rundown)
    }
}

impl<V: Variant> Pairs for Guarded<V> {
    fn acquire(&self) -> bool {
        self.0.acquire().is_ok()
    }

    fn release(&self) {
        // SAFETY: the scripts release as often as they were granted. One release too many would be told
        // as misuse, and do no more harm, since nobody else has the object, and it guards nothing.
        unsafe { self.0.release() };
    }
}

impl<V: Variant> Subject for Guarded<V> {
    fn close(&self) {
        self.0.close();
    }

    fn is_drained(&self) -> bool {
        self.0.is_drained()
    }

    fn reinit(&self) {
        self.0.reinit().expect("it is drained");
    }
}
