//! Futures on a CPU: the smallest executor there is.
//!
//! Each CPU has one flag: "poll again". A waker is the number of its CPU; to wake is to set the flag
//! and to get the CPU out of `hlt`. So there is no queue, no allocation, and a waker may outlive its
//! future; several futures on one CPU are joined to one and polled together.
//!
//! A drained object only [rings](rundown::Wakers::ring), from whatever context; it is the executors
//! that call wakers, in thread context: whichever comes first does it for all.

use core::{
    pin::pin,
    ptr,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, RawWaker, RawWakerVTable, Waker},
};

use crate::{
    cpu::{self, CpuIndex},
    interrupts, ipi,
    per_cpu::per_cpu,
    platform::{self, Halt},
};

per_cpu! {
    /// A future on this CPU is to be polled.
    static WOKEN: AtomicBool = AtomicBool::new(false);
}

/// Runs a future on this CPU to its end; halts while it is pending. Nests.
///
/// Any CPU, thread context, interrupts on.
///
/// # Panics
/// In interrupt context or with interrupts off: nothing would end its `hlt`.
pub fn block_on<F: Future>(future: F) -> F::Output {
    assert!(
        interrupts::enabled() && !interrupts::in_handler(),
        "block_on: not in thread context with interrupts on"
    );
    let woken = WOKEN.here();
    let waker = waker_of(cpu::current());
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            // A future around this one may have been woken meanwhile: it looks for itself.
            woken.store(true, Ordering::Relaxed);
            return output;
        }
        platform::deliver();
        // Acquire: pairs with the Release in `wake`; the future sees what it was woken for.
        while !woken.swap(false, Ordering::Acquire) {
            Halt.until_futures(&mut || woken.load(Ordering::Relaxed) || platform::is_rung());
            platform::deliver();
        }
    }
}

/// A waker for whatever this CPU runs.
fn waker_of(cpu: CpuIndex) -> Waker {
    let number = ptr::without_provenance(cpu.get());
    // SAFETY: the table's functions take the pointer for a number, never for memory, and may be
    // called on any CPU at any time; a copy is as good as the original.
    unsafe { Waker::from_raw(RawWaker::new(number, &TABLE)) }
}

const TABLE: RawWakerVTable =
    RawWakerVTable::new(|number| RawWaker::new(number, &TABLE), wake, wake, |_| {});

/// Has the CPU with this number poll. Any CPU, any context but NMI (an NMI that sets its own CPU's flag
/// just before `hlt` would not keep it from sleeping; `wake_waiters`, which may be called there, sends
/// the interrupt to every CPU).
fn wake(number: *const ()) {
    let cpu = CpuIndex::new(number.addr() as u32);
    let woken = WOKEN.of(cpu).expect("a CPU that has run a future");
    // Release: pairs with the Acquire in `block_on`.
    woken.store(true, Ordering::Release);
    // This CPU itself looks at its flag before the next `hlt`, which no handler can come before.
    if cpu != cpu::current() {
        ipi::wake(cpu);
    }
}
