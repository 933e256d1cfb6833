//! Numbers by which things are known: [`ObjectId`], [`CounterId`], [`Tag`].

use core::fmt;

use crate::impls::display;

/// Which rundown object: its address, as a number only. It outlives the object.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(usize);

impl ObjectId {
    /// The id of the object at this address.
    #[inline]
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
        // Multiplicative hashing (Knuth, "The Art of Computer Programming", volume 3, section 6.4): the
        // low bits of addresses are alike, the high bits of the product are not. Objects are 16 bytes or
        // more. The factor is 2^64 divided by the positive root of x^4 = x + 1: with the golden ratio,
        // the usual choice, objects every 128 bytes would meet in a quarter of the buckets.
        let product = (self.0 as u64 >> 4).wrapping_mul(0xD1B5_4A32_D192_ED03);
        assert!(buckets > 0, "a table needs buckets");
        // The high 32 bits, as a fraction of the buckets.
        (((product >> 32) * buckets as u64) >> 32) as usize
    }
}

display! { ObjectId:
    Self(address) => "{address:#x}",
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectId({self})")
    }
}

/// The name of a counter: the same for all CPUs. What the number means (an offset, an address) is
/// up to the platform; `usize::MAX` names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CounterId(usize);

impl CounterId {
    /// The counter that the platform calls `id`.
    pub const fn new(id: usize) -> Self {
        Self(id)
    }

    /// What the platform calls it.
    #[inline]
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

/// What a protection without a guard is for, in the caller's own terms: any number, such as the address
/// of a request. Feature `diagnosis` lists holders by it, and names a release under a tag that nothing is
/// held under. Without the feature it is ignored, and costs nothing.
///
/// See [`Rundown::acquire_tagged`](crate::Rundown::acquire_tagged).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag(pub usize);

impl Tag {
    /// Zero: what [`acquire`](crate::Rundown::acquire) takes under.
    pub const NONE: Self = Self(0);
}

display! { Tag:
    Self(number) => "{number:#x}",
}
