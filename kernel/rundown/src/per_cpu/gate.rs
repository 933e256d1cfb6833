//! [`PerCpuPlatform`]: the system below the per-CPU variant. [`PerCpuGate`]: a sequence's input.

use core::fmt;
use core::mem::offset_of;

use crate::gate::Gate;
use crate::platform::Platform;
use crate::primitive::{AtomicUsize, Ordering};
use crate::shared::SharedCount;
use crate::state::{CounterId, IllegalContext, Unavailable};
use crate::word::Word;

/// A sequence's input: the state word and, [behind it](Self::COUNTER_OFFSET), the name of the
/// counter. An object of the per-CPU variant begins like this.
#[repr(C)]
pub struct PerCpuGate {
    gate: Gate<SharedCount>,
    counter: CounterCell,
}

impl PerCpuGate {
    /// For assembly: the object is open if and only if none of these bits is set in the byte at
    /// [`as_ptr`](Self::as_ptr). (The lowest byte: where this is used, it comes first.)
    pub const NOT_OPEN: u8 = Word::PHASE as u8;

    /// For assembly: how many bytes behind [`as_ptr`](Self::as_ptr) the counter's name stands.
    pub const COUNTER_OFFSET: usize = offset_of!(Self, counter);

    /// Where the state word is, for assembly that reads it. Nothing else may write there.
    #[cfg(not(rundown_loom))]
    pub const fn as_ptr(&self) -> *const u64 {
        self.gate.word().as_ptr()
    }

    /// Whether the object is open. It may close at any time.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.gate.is_open()
    }

    /// The counter of a gate found [open](Self::is_open): for sequences that are not assembly.
    ///
    /// # Panics
    /// If there is none: the gate has never been open.
    #[inline]
    pub fn counter(&self) -> CounterId {
        self.counter.get().expect("an open gate has a counter")
    }
}

text!((fmt::Debug for PerCpuGate) this => "{}open", if this.is_open() { "" } else { "not " });

/// A platform with per-CPU counters: 8 bytes on every CPU under one name, an add to the running
/// CPU's that restarts when it is interrupted, and a barrier.
///
/// # Safety
/// `PerCpuRundown` relies on what each function promises. The heart of it:
///
/// - `add_if_open` is a *sequence*: look at the state word, then add to the counter of the CPU that
///   runs it, by one instruction. If anything comes in between (an interrupt, an NMI, the thread
///   moving to another CPU), the sequence starts again at its look.
/// - `barrier` returns once each CPU, at some moment after the call, was either interrupted (which
///   makes a sequence look again) or not inside a sequence.
///
/// Together: after an object is closed and a barrier has returned, every add that found it open is
/// done and visible, and none is to come.
///
/// A kernel's whole implementation is some 50 lines: `kernel/src/platform/per_cpu.rs` in this
/// crate's repository, on [`gs`](super::gs) and [`Rounds`](super::Rounds).
pub unsafe trait PerCpuPlatform: Platform + Sized {
    /// Reserves a counter, zero on each CPU, and visible as such to every CPU that learns of it.
    /// The contexts in which the implementation allows this are those of
    /// [`PerCpuRundown::new`](super::PerCpuRundown), and of the first opening of a lazy object.
    fn allocate() -> Result<CounterId, Unavailable>;

    /// Gives a counter back. The contexts in which the implementation allows this are those in
    /// which an object may be dropped.
    ///
    /// # Safety
    /// It came from `allocate`, is given back once, and is not used any more.
    unsafe fn free(counter: CounterId);

    /// The sequence: if the gate is open, adds `n` to the running CPU's counter of the gate,
    /// wrapping, and returns `true`. Any context, NMI included.
    ///
    /// The look acquires what made the gate open or closed; the [counter](PerCpuGate::counter) is
    /// read after it, inside the sequence; the add releases what was done before, to the barrier.
    ///
    /// # Safety
    /// An open gate's counter is allocated, and not given back before a barrier after its close.
    unsafe fn add_if_open(gate: &PerCpuGate, n: i64) -> bool;

    /// Whether a barrier is legal in the calling context, which does not change until that call's
    /// [`barrier`](Self::barrier). Asked before anything changes, by every call that finds an
    /// object open and would close it.
    ///
    /// # Errors
    /// [`IllegalContext`] if not, as in an NMI handler, or in that of another exception whose
    /// interrupted code had interrupts off: that code may be about to send what the barrier would
    /// wait for. With the default, a close there is not refused and may hang.
    fn check_barrier() -> Result<(), IllegalContext> {
        Ok(())
    }

    /// Returns when all CPUs have left or restarted their sequences: see the trait. Everything done
    /// before the call happens-before all that those CPUs do in and after the restarted sequence;
    /// all that they did before happens-before the return. Called only where
    /// [`check_barrier`](Self::check_barrier) has allowed it.
    fn barrier();

    /// How many CPUs can ever have counted. Does not change once there is a counter. Any context.
    fn cpus() -> usize;

    /// The count of `cpu`, 0 if it has no counters yet. Racy unless after a barrier. Any context.
    ///
    /// # Safety
    /// `counter` is allocated, and `cpu` below [`cpus`](Self::cpus).
    unsafe fn count(counter: CounterId, cpu: usize) -> i64;

    /// The count of the running CPU; another CPU's, if the caller moves. Any context.
    ///
    /// # Safety
    /// `counter` is allocated.
    unsafe fn racy_own_count(counter: CounterId) -> i64;

    /// Sets to zero what `cpu` has counted. To be published by the caller. Any context.
    ///
    /// # Safety
    /// The counter's gate is closed, and there has been a barrier since: nothing is added to it.
    unsafe fn clear(counter: CounterId, cpu: usize);
}

/// Where an object names its counter. That never changes once it names one.
pub(super) struct CounterCell(AtomicUsize);

impl CounterCell {
    const NO_COUNTER: usize = usize::MAX;

    const_unless_model! {
        pub(super) fn new() -> Self {
            Self(AtomicUsize::new(Self::NO_COUNTER))
        }
    }

    /// The counter, if there is one yet.
    #[inline]
    pub(super) fn get(&self) -> Option<CounterId> {
        // Acquire: pairs with the Release in `name`: an owner that finds a counter which another
        // one has just allocated sees its zeroes.
        match self.0.load(Ordering::Acquire) {
            Self::NO_COUNTER => None,
            counter => Some(CounterId::new(counter)),
        }
    }

    /// Names the counter; `false` if it has one already.
    pub(super) fn name(&self, counter: CounterId) -> bool {
        let (none, counter) = (Self::NO_COUNTER, counter.get());
        // Release: pairs with the Acquire in `get`. A failure is another caller's success.
        let named = (self.0).compare_exchange(none, counter, Ordering::Release, Ordering::Relaxed);
        named.is_ok()
    }
}

#[cfg(all(test, not(rundown_loom)))]
mod tests {
    use super::*;
    use crate::word::{Epoch, Phase, WordLayout};

    /// With whatever stands above the phase in the same byte.
    #[test]
    fn the_byte_for_assembly_says_whether_it_is_open() {
        let phases = [Phase::Open, Phase::Closed, Phase::RunDown, Phase::Claimed];
        for phase in phases {
            for cancels in 0..1 << 6 {
                let epoch = Epoch { generation: 0, cancels };
                let mut gate = Gate::new(SharedCount::new());
                gate.begin_with(Word::of(WordLayout::SHARDED, epoch, phase).bits);
                let counter = CounterCell::new();
                let gate = PerCpuGate { gate, counter };
                // SAFETY: the gate is borrowed, and nothing writes it.
                let word = unsafe { gate.as_ptr().read() };
                let is_open = word.to_le_bytes()[0] & PerCpuGate::NOT_OPEN == 0;
                assert_eq!(is_open, phase == Phase::Open);
                assert_eq!(gate.is_open(), is_open);
            }
        }
    }
}
