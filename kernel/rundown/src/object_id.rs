//! Which object: [`ObjectId`].

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
