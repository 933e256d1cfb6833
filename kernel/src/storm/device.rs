//! What the storm is about: a device object that is useful while it lives and poison afterwards.

use alloc::boxed::Box;
use core::{
    fmt,
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::cpu;

/// A device with one small ring of work items per CPU, in heap memory.
///
/// Dropping it poisons that memory before it is freed. A use that comes too late finds the poison, what the
/// heap or a later device wrote over it, or another device's generation; all of it atomics, so
/// that even a broken protection is seen and not undefined.
pub(super) struct Device {
    rings: Box<[Ring]>,
}

/// One CPU's ring. On cache lines of its own, so that what CPUs share is the rundown protection only.
#[repr(align(128))]
struct Ring {
    /// [`ALIVE`] or [`POISON`].
    magic: AtomicU64,
    /// Which device this is: counts from 1.
    generation: AtomicU64,
    /// Uses begun and ended on this CPU. One may end on another CPU than it began on: only the
    /// sums over all rings agree.
    begun: AtomicU64,
    ended: AtomicU64,
    /// Each holds the generation of the device it belongs to.
    items: [AtomicU64; ITEMS],
}

/// Length of a ring.
const ITEMS: usize = 8;

const ALIVE: u64 = 0x6465_7669_6365_2121;
const POISON: u64 = 0xdead_dead_dead_dead;

/// The device is not the live one that protection promises: it was torn down, or is being torn down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Corrupt {
    found: u64,
    expected: u64,
}

impl Device {
    /// A device for CPUs with indices below `cpus`. Allocates: thread context.
    pub(super) fn new(generation: u64, cpus: usize) -> Self {
        let ring = || Ring {
            magic: AtomicU64::new(ALIVE),
            generation: AtomicU64::new(generation),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            items: [const { AtomicU64::new(0) }; ITEMS].map(|_| AtomicU64::new(generation)),
        };
        Self {
            rings: (0..cpus).map(|_| ring()).collect(),
        }
    }

    /// This CPU's.
    fn ring(&self) -> &Ring {
        &self.rings[cpu::current().get()]
    }

    /// Begins a use on this CPU, works on an item, and returns the device's generation, for
    /// [`end`](Self::end). Any context.
    pub(super) fn begin(&self) -> Result<u64, Corrupt> {
        let ring = self.ring();
        let generation = ring.generation.load(Ordering::Relaxed);
        let turn = ring.begun.fetch_add(1, Ordering::Relaxed);
        check(ring.magic.load(Ordering::Relaxed), ALIVE)?;
        let item = &ring.items[turn as usize % ITEMS];
        check(item.swap(generation, Ordering::Relaxed), generation)?;
        Ok(generation)
    }

    /// Ends a use that began on any CPU, on this one. Any context.
    pub(super) fn end(&self, generation: u64) -> Result<(), Corrupt> {
        let ring = self.ring();
        check(ring.magic.load(Ordering::Relaxed), ALIVE)?;
        check(ring.generation.load(Ordering::Relaxed), generation)?;
        ring.ended.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Uses begun but not ended. Exact once protection is drained: what users did is visible then.
    pub(super) fn in_use(&self) -> i64 {
        let sum = |of: fn(&Ring) -> &AtomicU64| -> u64 {
            let counts = self
                .rings
                .iter()
                .map(|ring| of(ring).load(Ordering::Relaxed));
            counts.fold(0, u64::wrapping_add)
        };
        let in_use = sum(|ring| &ring.begun).wrapping_sub(sum(|ring| &ring.ended));
        in_use.cast_signed()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        for ring in &self.rings {
            let words = [&ring.magic, &ring.generation, &ring.begun, &ring.ended];
            for word in words.into_iter().chain(&ring.items) {
                word.store(POISON, Ordering::Relaxed);
            }
        }
        // Without this, stores to memory that is about to be freed are dead.
        black_box(&self.rings);
    }
}

fn check(found: u64, expected: u64) -> Result<(), Corrupt> {
    if found == expected {
        Ok(())
    } else {
        Err(Corrupt { found, expected })
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { found, expected } = self;
        write!(f, "holds {found:#x} in place of {expected:#x}")
    }
}
