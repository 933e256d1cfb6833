//! One value for each CPU.

use alloc::boxed::Box;
use core::ops::Index;

use kernel::cpu::CpuIndex;

/// One `T` for each CPU that there may ever be, on cache lines of its own.
pub struct EachCpu<T>(Box<[Own<T>]>);

/// Two lines of 64 bytes, for the processor fetches the neighbour of a line along with it.
#[repr(align(128))]
struct Own<T>(T);

impl<T> EachCpu<T> {
    /// Makes each CPU's value with `make`.
    #[must_use]
    pub fn new(mut make: impl FnMut() -> T) -> Self {
        Self((0..kernel::cpu::possible()).map(|_| Own(make())).collect())
    }

    /// The values of all CPUs, in index order; those of CPUs that did not come up among them.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|own| &own.0)
    }
}

impl<T> Index<CpuIndex> for EachCpu<T> {
    type Output = T;

    fn index(&self, cpu: CpuIndex) -> &T {
        &self.0[cpu.get()].0
    }
}
