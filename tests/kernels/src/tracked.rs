//! An object that notices when it is used after its teardown.

use core::sync::atomic::{AtomicU64, Ordering};

/// Mark of a living [`Tracked`].
const ALIVE: u64 = 0x616c_6976_6521_0001;
/// Mark of a dropped one.
const POISON: u64 = 0xdead_dead_dead_dead;

/// What the rundown protections of these tests guard.
pub struct Tracked {
    mark: AtomicU64,
    generation: u64,
}

impl Tracked {
    /// A living object of this generation.
    #[must_use]
    pub const fn new(generation: u64) -> Self {
        Self { mark: AtomicU64::new(ALIVE), generation }
    }

    /// Uses the object and returns its generation.
    ///
    /// # Panics
    ///
    /// If it has been dropped.
    pub fn touch(&self) -> u64 {
        let mark = self.mark.load(Ordering::Relaxed);
        assert_eq!(mark, ALIVE, "used after its teardown, generation {}", self.generation);
        self.generation
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        let mark = self.mark.swap(POISON, Ordering::Relaxed);
        assert_eq!(mark, ALIVE, "dropped twice, generation {}", self.generation);
    }
}
