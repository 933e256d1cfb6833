//! Futures on a CPU: the smallest executor there is.
//!
//! Each CPU has one flag: "poll again". To wake is to set it and to get the CPU out of `hlt`. So
//! there is no queue; several futures on one CPU are joined to one and polled together.
//!
//! A drained object only [rings](rundown::Wakers::ring), from whatever context; it is the executors
//! that call wakers, in thread context: whichever comes first does it for all.

use alloc::sync::Arc;
use alloc::task::Wake;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll};

use kernel::cpu::{self, CpuIndex};
use kernel::platform::{Halt, KernelPlatform};
use kernel::{interrupts, ipi};
use rundown::AsyncPlatform;

use crate::EachCpu;

/// A future on a CPU is to be polled.
static WOKEN: spin::Once<EachCpu<AtomicBool>> = spin::Once::new();

fn woken(cpu: CpuIndex) -> &'static AtomicBool {
    &WOKEN.call_once(|| EachCpu::new(|| AtomicBool::new(false)))[cpu]
}

/// Runs a future on this CPU to its end; halts while it is pending. Nests.
///
/// Any CPU, thread context, interrupts on.
pub fn block_on<F: Future>(future: F) -> F::Output {
    assert!(
        interrupts::enabled() && !interrupts::in_handler(),
        "block_on: not in thread context with interrupts on"
    );
    let wakers = KernelPlatform::wakers();
    let woken = woken(cpu::current());
    let waker = Arc::new(Waker(cpu::current())).into();
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            // A future around this one may have been woken meanwhile: it looks for itself.
            woken.store(true, Ordering::Relaxed);
            return output;
        }
        wakers.deliver();
        // Acquire: pairs with the Release in `wake`; the future sees what it was woken for.
        while !woken.swap(false, Ordering::Acquire) {
            // Interrupts are off: it must not wait for a lock that others hold with interrupts on.
            Halt.until_futures(&mut || woken.load(Ordering::Relaxed) || wakers.is_rung());
            wakers.deliver();
        }
    }
}

/// Of whatever this CPU runs.
struct Waker(CpuIndex);

impl Wake for Waker {
    fn wake(self: Arc<Self>) {
        // Release: pairs with the Acquire in `block_on`.
        woken(self.0).store(true, Ordering::Release);
        // This CPU looks at its flag before the next `hlt`, and no handler comes in between.
        if self.0 != cpu::current() {
            ipi::wake(self.0);
        }
    }
}
