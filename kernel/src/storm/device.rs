//! The storm's object: a device that is useful while it lives and poison afterwards.

use alloc::boxed::Box;
use core::{
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::cpu;

/// A device with one register of each CPU's, in heap memory that is poisoned before it is freed.
///
/// A use that comes too late finds the poison, what the heap or a later device wrote over it, or
/// another device's generation: atomics, so that broken protection is seen and not undefined.
pub(super) struct Device {
    registers: Box<[Register]>,
}

/// One CPU's. On cache lines of its own, so that what CPUs share is the rundown protection only.
#[repr(align(128))]
struct Register {
    /// [`ALIVE`] or [`POISON`].
    magic: AtomicU64,
    /// Which device this is: counts from 1.
    generation: AtomicU64,
    /// Uses begun and ended on this CPU. Only the sums over all CPUs agree.
    begun: AtomicU64,
    ended: AtomicU64,
}

const ALIVE: u64 = 0x6465_7669_6365_2121;
const POISON: u64 = 0xdead_dead_dead_dead;

impl Device {
    /// A device for CPUs with indices below `cpus`. Allocates: thread context.
    pub(super) fn new(generation: u64, cpus: usize) -> Self {
        let register = || Register {
            magic: AtomicU64::new(ALIVE),
            generation: AtomicU64::new(generation),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
        };
        Self { registers: (0..cpus).map(|_| register()).collect() }
    }

    fn register(&self) -> &Register {
        &self.registers[cpu::current().get()]
    }

    /// Begins a use on this CPU, and returns the device's generation, for [`end`](Self::end).
    /// `None`: this is no live device. Any context.
    pub(super) fn begin(&self) -> Option<u64> {
        let register = self.register();
        let generation = register.generation.load(Ordering::Relaxed);
        register.begun.fetch_add(1, Ordering::Relaxed);
        (register.magic.load(Ordering::Relaxed) == ALIVE).then_some(generation)
    }

    /// Ends a use on this CPU. Whether this is still the device, and alive. Any context.
    pub(super) fn end(&self, generation: u64) -> bool {
        let register = self.register();
        register.ended.fetch_add(1, Ordering::Relaxed);
        register.magic.load(Ordering::Relaxed) == ALIVE
            && register.generation.load(Ordering::Relaxed) == generation
    }

    /// Uses begun but not ended. Exact once protection is drained: users' writes are visible then.
    pub(super) fn in_use(&self) -> i64 {
        let sum = |of: fn(&Register) -> &AtomicU64| -> u64 {
            let counts = self.registers.iter().map(|register| of(register).load(Ordering::Relaxed));
            counts.fold(0, u64::wrapping_add)
        };
        let in_use = sum(|register| &register.begun).wrapping_sub(sum(|register| &register.ended));
        in_use.cast_signed()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        for register in &self.registers {
            let words = [&register.magic, &register.generation, &register.begun, &register.ended];
            for word in words {
                word.store(POISON, Ordering::Relaxed);
            }
        }
        // Without this, stores to memory that is about to be freed are dead.
        black_box(&self.registers);
    }
}
