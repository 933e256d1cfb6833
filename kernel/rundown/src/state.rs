//! The states of a rundown object, outcomes and errors, and the numbers by which things are known.

use core::fmt;

/// A stage of the life cycle. [`Rundown::state`](crate::Rundown::state) returns a snapshot: other
/// CPUs may have moved on already. (Two variants read two words for it: if the object is drained,
/// claimed and opened in between, it returns `Closing`.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Grants protection.
    Open,
    /// Closed: refuses new protection. A caller is still counting what is held (in `close`, with
    /// the per-CPU variant's barrier), or about to open the object again (in `cancel`), or about to
    /// run its [completion](crate::Completion). Bounded by that step, but lasts for ever after
    /// [`Misuse::OutOfRange`] in `close`, or if the platform's barrier panics.
    Closing,
    /// Closed. Some protection that it granted is still held.
    Draining,
    /// Closed, and everything granted has been released.
    Drained,
    /// Drained, and marked so by [`complete`](crate::Rundown::complete), or by
    /// [`Protected::run_down`](crate::Protected::run_down) taking the value out; or born closed.
    RunDown,
    /// Drained, and one caller is changing that right now: it re-opens the object or takes its
    /// value out. A short, bounded step.
    Claimed,
}

display! { State:
    Self::Open => "open",
    Self::Closing => "closing",
    Self::Draining => "draining",
    Self::Drained => "drained",
    Self::RunDown => "run down",
    Self::Claimed => "claimed",
}

/// The result of [`close`](crate::Rundown::close). Only the last of these is a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseOutcome {
    /// This call closed the object.
    Closed,
    /// It was closed before; nothing changed.
    AlreadyClosed,
    /// It was closed before, and another caller's re-init (or value removal) is under way; nothing
    /// changed. The step in progress is later in the order, so it wins.
    Superseded,
    /// The per-CPU variant closes with a barrier, which is illegal in this context (for example in
    /// an NMI handler): see
    /// [`PerCpuPlatform::check_barrier`](crate::PerCpuPlatform::check_barrier). Nothing changed:
    /// the object is as it was, open perhaps.
    IllegalContext,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "after a cancelled drain the object is in use again"]
pub enum WaitOutcome {
    /// Everything that was granted before the object closed is released. All work under protection
    /// happens-before the return.
    Drained,
    /// [`cancel`](crate::Rundown::cancel) has opened the object again (S10): it is in use, and may
    /// have been closed since.
    Cancelled,
    /// The object could not be closed in this context: see [`CloseOutcome::IllegalContext`].
    IllegalContext,
}

/// Why an acquire was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// The object is closed.
    Closed,
    /// The object cannot count that many more: see [`PlainRundown::CAPACITY`](crate::PlainRundown)
    /// and [`CacheAwareRundown::capacity`](crate::CacheAwareRundown).
    Full,
}

display! { error Refused:
    Self::Closed => "the object is closed",
    Self::Full => "the object cannot count that many protections",
}

/// The call is illegal in the state the object is in. It changed nothing (S8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WrongState {
    /// The state that was found.
    pub found: State,
}

display! { error WrongState:
    Self { found } => "not legal while the object is {found}",
}

/// See [`CloseOutcome::IllegalContext`]. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IllegalContext;

display! { error IllegalContext:
    Self => "the per-CPU variant cannot be closed in this context: a barrier is illegal here",
}

/// Why no completion was left. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseThenError {
    /// The object is neither open nor draining: perhaps another caller is closing it right now
    /// ([`State::Closing`]), and this call may be repeated.
    WrongState(WrongState),
    /// Another completion is in the object's slot: left by an earlier call, or by one in progress,
    /// or about to be given back by a cancel. (Or the completion was null.)
    Occupied,
    /// See [`CloseOutcome::IllegalContext`].
    IllegalContext,
}

display! { error CloseThenError:
    Self::WrongState(state) => "{state}",
    Self::Occupied => "another completion is left with the object",
    Self::IllegalContext => "{IllegalContext}",
}

/// A broken promise of a caller, given to [`Platform::misuse`](crate::Platform::misuse). Safe code
/// breaks none, except that the per-CPU variant does not check single acquires against its
/// capacity: 2^59 in all, 18 years of them at one a nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misuse {
    /// More was released than was held (S7). The plain variant finds it in the very call and
    /// ignores the call; the others find it when the object closes or drains. One release too many
    /// while others hold takes one of theirs: it is found when they release.
    OverRelease {
        /// Which object.
        object: ObjectId,
        /// How many were held.
        held: i64,
        /// How many were released: by the call that found it, or, found while closing, in excess.
        released: u64,
    },
    /// A slot, or the sum of them all, left the range that it can count: by more than 2^60 releases
    /// without an acquire. An object that is closing stays so.
    OutOfRange {
        /// Which object.
        object: ObjectId,
    },
    /// A [release under a tag](crate::Rundown::release_tagged) that less was held under. It has
    /// released nevertheless. Only with feature `diagnosis`.
    WrongTag {
        /// Which object.
        object: ObjectId,
        /// The tag it was released under.
        tag: Tag,
        /// How many of those that were released were not held under it.
        released: u32,
    },
}

impl Misuse {
    #[cold]
    pub(crate) const fn over_release(object: ObjectId, held: i64, released: u64) -> Self {
        Self::OverRelease { object, held, released }
    }
}

display! { Misuse:
    Self::OverRelease { object, held, released } =>
        "rundown: {released} released but {held} held, on the object at {object}",
    Self::OutOfRange { object } => "rundown: a count is out of range, on the object at {object}",
    Self::WrongTag { object, tag, released } =>
        "rundown: {released} more released under tag {tag} than held under it, on the object at {object}",
}

/// Which rundown object: its address, as a number only. It outlives the object.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(usize);

impl ObjectId {
    /// The id of the object at this address.
    pub(crate) fn of<R: ?Sized>(object: &R) -> Self {
        Self((&raw const *object).addr())
    }

    /// The address.
    pub const fn get(self) -> usize {
        self.0
    }

    /// Spreads objects over `buckets`, for a table of waiters.
    ///
    /// # Panics
    /// If `buckets` is zero.
    pub const fn bucket(self, buckets: usize) -> usize {
        // Multiplicative hashing (Knuth, "The Art of Computer Programming", volume 3, section 6.4).
        // Objects are 16 bytes or more. The factor is 2^64 divided by the positive root of
        // x^4 = x + 1: with the golden ratio, the usual choice, objects 128 bytes apart would use
        // only a quarter of the buckets.
        let product = (self.0 as u64 >> 4).wrapping_mul(0xD1B5_4A32_D192_ED03);
        assert!(buckets > 0, "a table needs buckets");
        // The high 32 bits, as a fraction of the buckets.
        (((product >> 32) * buckets as u64) >> 32) as usize
    }
}

display! { ObjectId:
    Self(address) => "{address:#x}",
}

text!((fmt::Debug for ObjectId) this => "ObjectId({this})");

/// The name of a counter, the same for all CPUs, such as an offset. `usize::MAX` names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CounterId(usize);

impl CounterId {
    /// The counter that the platform calls `id`.
    pub const fn new(id: usize) -> Self {
        Self(id)
    }

    /// The platform's number for it.
    pub const fn get(self) -> usize {
        self.0
    }
}

/// Why there is no per-CPU counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unavailable {
    /// All of them are in use: this many.
    Exhausted(usize),
    /// The system does not have what they need: what, and what to do about it.
    Unsupported(&'static str),
}

display! { error Unavailable:
    Self::Exhausted(counters) => "all {counters} per-CPU counters are in use",
    Self::Unsupported(why) => "no per-CPU counters here: {why}",
}

/// The [purpose](crate::Rundown::acquire_tagged) of a protection without a guard, in the caller's
/// own terms: any number, such as the address of a request. Feature `diagnosis` lists holders by
/// it; without the feature it is ignored, and costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag(pub usize);

impl Tag {
    /// Zero: the tag that [`acquire`](crate::Rundown::acquire) takes under.
    pub const NONE: Self = Self(0);
}

display! { Tag:
    Self(number) => "{number:#x}",
}
