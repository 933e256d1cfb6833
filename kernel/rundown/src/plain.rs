//! The plain variant: phase, epoch and count in one word. The reference, obviously right.

use core::iter;
use core::marker::PhantomData;

use crate::completion::CompletionSlot;
use crate::platform::Platform;
use crate::primitive::Ordering;
use crate::state::{Misuse, ObjectId, Refused};
use crate::variant::{Rundown, Sealed, Variant};
use crate::word::WordLayout;

/// Rundown protection with one shared counter: small, and slow when many CPUs use it at once.
///
/// Acquire and release are lock-free. Of [`Platform`] it uses the wake-up only.
pub type PlainRundown<P> = Rundown<Plain<P>>;

/// The plain variant: see [`PlainRundown`].
pub struct Plain<P: Platform>(PhantomData<fn() -> P>);

impl<P: Platform> Rundown<Plain<P>> {
    /// How many protections can be held at once: 2^22 - 1.
    pub const CAPACITY: u64 = WordLayout::PLAIN.max_count();

    const_unless_model! {
        /// An open object.
        pub fn new() -> Self {
            Self::over(CompletionSlot::new(), Plain(PhantomData))
        }
    }
}

default_is_new!(<P: Platform> Default for Rundown<Plain<P>>);

impl<P: Platform> Sealed for Plain<P> {}

impl<P: Platform> Variant for Plain<P> {
    type Platform = P;

    const NAME: &'static str = "plain";

    type Counts = CompletionSlot;
    type Isolation = ();

    #[inline]
    fn acquire(this: &Rundown<Self>, n: u32) -> Result<(), Refused> {
        let word = this.gate.word();
        // Relaxed: pairs with nothing, the value is only a first guess for the exchange below. It
        // is enough for a refusal: a caller that learns of it reads this word at least as new (S1).
        let mut seen = word.load(Ordering::Relaxed);
        loop {
            let taken = this.gate.at(seen).acquired(n)?.bits;
            // Acquire: pairs with the Release in `Gate::finish` and `Gate::change`; all the owner
            // did before is visible. A failure is as good as the load above.
            match word.compare_exchange_weak(seen, taken, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => seen = now,
            }
        }
    }

    #[inline]
    unsafe fn release(this: &Rundown<Self>, n: u32) {
        if n == 0 {
            // Nothing to give up, so nothing that could be the last.
            return;
        }
        let object = ObjectId::of(this);
        let word = this.gate.word();
        // Relaxed: pairs with nothing, the value is only a first guess for the exchange below.
        let mut seen = word.load(Ordering::Relaxed);
        loop {
            let Some(left) = this.gate.at(seen).released(n) else {
                let held = this.gate.at(seen).count().cast_signed();
                return P::misuse(&Misuse::over_release(object, held, n.into()));
            };
            // Release: pairs with the Acquire in `Gate::snapshot`; all work under protection
            // happens-before the return of `wait` (S2). Its success is the last touch, unless a
            // completion is left (S3). A failure is as good as the load above.
            match word.compare_exchange_weak(seen, left.bits, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) if left.count() > 0 || left.is_open() => return,
                Ok(_) => return this.gate.finish_drain::<P>(object, left),
                Err(now) => seen = now,
            }
        }
    }

    fn racy_counts(this: &Rundown<Self>) -> impl ExactSizeIterator<Item = i64> + Clone {
        // Relaxed: pairs with nothing, the answer is for people.
        let word = this.gate.at(this.gate.word().load(Ordering::Relaxed));
        iter::once(word.count().cast_signed())
    }
}
