//! The futures that wait on a platform's objects, and the host's parked threads: [`Wakers`].
//!
//! `unsafe` here: an intrusive list, through entries that live inside the futures.

use core::cell::UnsafeCell;
use core::marker::PhantomPinned;
use core::pin::Pin;
use core::task::Waker;
use core::{fmt, ptr};

use crate::primitive::{AtomicU64, AtomicUsize, Lock, Ordering, fence};
use crate::state::ObjectId;

/// A platform's futures that wait for objects to drain. One per platform, in a static.
///
/// [`ring`](Self::ring) belongs into [`Platform::wake_waiters`](crate::Platform::wake_waiters): one
/// atomic operation, legal in any context. [`deliver`](Self::deliver) then calls the wakers:
/// foreign code, and a spin lock that the futures' `poll` and `drop` take, too. So it is for thread
/// context (the executor's loop, before it looks for work), or for a handler that cannot interrupt
/// those on the same CPU. So is [`wake`](Self::wake). A waker must not panic.
pub struct Wakers {
    /// A bit per bucket that was rung since it was last delivered.
    rung: AtomicU64,
    buckets: [Bucket; BUCKETS],
}

/// One bit each in `rung`. Fewer in a model, which follows each of them.
const BUCKETS: usize = if cfg!(rundown_loom) { 1 } else { 64 };

impl Wakers {
    const_unless_model! {
        /// An empty table.
        pub fn new() -> Self {
            Self { rung: AtomicU64::new(0), buckets: array_of![Bucket::new(); BUCKETS] }
        }
    }

    /// Records that the futures that wait for `object` are to be woken. Any context, NMI included.
    #[inline]
    pub fn ring(&self, object: ObjectId) {
        // Release: pairs with the Acquire in `deliver`; the last release is visible to the futures
        // that it wakes, and by the lock to those that enter the list too late to be woken.
        self.rung.fetch_or(1 << object.bucket(BUCKETS), Ordering::Release);
    }

    /// Whether [`deliver`](Self::deliver) has work, before an executor sleeps. Any context.
    pub fn is_rung(&self) -> bool {
        // Relaxed: pairs with nothing itself; `deliver` acquires what was rung.
        self.rung.load(Ordering::Relaxed) != 0
    }

    /// Wakes the futures that [`ring`](Self::ring) was called for since the last time, and some
    /// others that share their buckets. Returns whether there was anything to deliver.
    pub fn deliver(&self) -> bool {
        // Acquire: pairs with the Release in `ring`.
        let rung = self.rung.swap(0, Ordering::Acquire);
        for (index, bucket) in self.buckets.iter().enumerate() {
            if rung & 1 << index != 0 {
                wake_all(bucket);
            }
        }
        rung != 0
    }

    /// Both in one: for a platform that may call wakers right where it wakes.
    pub fn wake(&self, object: ObjectId) {
        // SeqCst: pairs with the fence in `Entry::enter`: either that future sees, when it looks,
        // everything done before this call, or it is found here.
        fence(Ordering::SeqCst);
        let bucket = self.bucket(object);
        // Relaxed: pairs with the store in `Bucket::with`, by way of the fences.
        if bucket.entries.load(Ordering::Relaxed) != 0 {
            wake_all(bucket);
        }
    }

    fn bucket(&self, object: ObjectId) -> &Bucket {
        &self.buckets[object.bucket(BUCKETS)]
    }
}

default_is_new!(Default for Wakers);

text!((fmt::Debug for Wakers) this => "Wakers {{ waiting: {}, .. }}",
    // Relaxed: pairs with nothing, the answer is for people.
    this.buckets.iter().map(|bucket| bucket.entries.load(Ordering::Relaxed)).sum::<usize>());

/// The futures of some objects.
struct Bucket {
    list: Lock<List>,
    /// How many entries the list has: for a wake-up that finds nothing to wake, and for people.
    entries: AtomicUsize,
}

impl Bucket {
    const_unless_model! {
        fn new() -> Self {
            Self { list: Lock::new(List::EMPTY), entries: AtomicUsize::new(0) }
        }
    }

    /// Runs `work` with the list. As for [`Lock::with`]: `work` is no foreign code.
    fn with<A>(&self, work: impl FnOnce(&mut List) -> A) -> A {
        self.list.with(|list| {
            let answer = work(list);
            // Relaxed: pairs with the load in `wake`, by way of the fences there and in
            // `Entry::enter`. Under the lock, so that the last one is right.
            self.entries.store(list.length, Ordering::Relaxed);
            answer
        })
    }
}

/// Empties the list. Each waker is called without the lock, and no entry is touched after it has
/// left the list: its future may be gone then.
#[cold]
fn wake_all(bucket: &Bucket) {
    // Only as many as are in it now: futures that enter as fast as they are woken would keep it
    // here. (A future that enters from now on, at the end, looks by itself.)
    let mut left = bucket.with(|list| list.length);
    while left > 0 {
        let Some(waker) = bucket.with(List::pop) else {
            return;
        };
        waker.wake();
        left -= 1;
    }
}

/// A future's place in the list. Dropping it leaves the list.
pub(crate) struct Entry {
    /// Belongs to the lock of its bucket.
    link: UnsafeCell<Link>,
    /// The table that it may be in, and for which object. Never changes.
    entered: Option<(&'static Wakers, ObjectId)>,
    _pinned: PhantomPinned,
}

struct Link {
    /// `Some` while it is in the list.
    waker: Option<Waker>,
    previous: *const Entry,
    next: *const Entry,
}

// SAFETY: the link is only touched under the lock of the entry's bucket, the rest by its owner.
unsafe impl Send for Entry {}
// SAFETY: as above.
unsafe impl Sync for Entry {}

impl Entry {
    pub(crate) const fn new() -> Self {
        Self {
            link: UnsafeCell::new(Link { waker: None, previous: ptr::null(), next: ptr::null() }),
            entered: None,
            _pinned: PhantomPinned,
        }
    }

    /// Enters the list of `object` (the same every time) in the platform's table, or replaces the
    /// waker if it is there. The caller must look at the object after this.
    pub(crate) fn enter(
        self: Pin<&mut Self>,
        wakers: fn() -> &'static Wakers,
        object: ObjectId,
        waker: &Waker,
    ) {
        // Cloning is foreign code: not under the lock. Nor is dropping the old one.
        let waker = waker.clone();
        // SAFETY: it is not moved.
        let this = unsafe { self.get_unchecked_mut() };
        let (wakers, object) = *this.entered.get_or_insert_with(|| (wakers(), object));
        let _old = wakers
            .bucket(object)
            // SAFETY: the entry stays where it is until it is dropped (pinned), and leaves then.
            .with(|list| unsafe { list.put(this, waker) });
        // SeqCst: pairs with the fence in `wake`; the caller's look comes after it.
        fence(Ordering::SeqCst);
    }
}

impl Drop for Entry {
    /// After this nothing else knows the entry.
    fn drop(&mut self) {
        if let Some((wakers, object)) = self.entered {
            let _waker = wakers
                .bucket(object)
                // SAFETY: this is the lock of the entry's bucket.
                .with(|list| unsafe { list.remove(self) });
        }
    }
}

/// The first and the last entry of a doubly linked list: first come, first woken.
struct List {
    first: *const Entry,
    last: *const Entry,
    length: usize,
}

// SAFETY: its entries are `Send`.
unsafe impl Send for List {}

impl List {
    const EMPTY: Self = Self { first: ptr::null(), last: ptr::null(), length: 0 };

    /// Links `entry` at the end, or gives it another waker if it is linked; returns the old one.
    ///
    /// # Safety
    /// The caller has the lock of the entry's bucket; the entry stays in place until removed.
    unsafe fn put(&mut self, entry: &Entry, waker: Waker) -> Option<Waker> {
        // SAFETY: the caller has the lock.
        let old = unsafe { (*entry.link.get()).waker.replace(waker) };
        if old.is_none() {
            // SAFETY: the caller has the lock, and `last` is in the list.
            unsafe { self.join(self.last, entry) };
            // SAFETY: the caller has the lock.
            unsafe { self.join(entry, ptr::null()) };
            self.length += 1;
        }
        old
    }

    /// Unlinks `entry` if it is linked; returns its waker.
    ///
    /// # Safety
    /// The caller has the lock of the entry's bucket.
    unsafe fn remove(&mut self, entry: &Entry) -> Option<Waker> {
        // SAFETY: the caller has the lock.
        let link = unsafe { &mut *entry.link.get() };
        let waker = link.waker.take()?;
        let (previous, next) = (link.previous, link.next);
        self.length -= 1;
        // SAFETY: the caller has the lock, and both are in the list.
        unsafe { self.join(previous, next) };
        Some(waker)
    }

    /// Behind `previous`, or in front if that is null, comes `next`, or nothing.
    ///
    /// # Safety
    /// The caller has the lock; both are valid, and no link is borrowed.
    unsafe fn join(&mut self, previous: *const Entry, next: *const Entry) {
        // SAFETY: valid, by the caller.
        match unsafe { previous.as_ref() } {
            // SAFETY: the caller has the lock.
            Some(previous) => unsafe { (*previous.link.get()).next = next },
            None => self.first = next,
        }
        // SAFETY: valid, by the caller.
        match unsafe { next.as_ref() } {
            // SAFETY: the caller has the lock.
            Some(next) => unsafe { (*next.link.get()).previous = previous },
            None => self.last = previous,
        }
    }

    /// Unlinks the first entry; returns its waker.
    fn pop(&mut self) -> Option<Waker> {
        // SAFETY: entries in the list are valid.
        let first = unsafe { self.first.as_ref() }?;
        // SAFETY: the list is reached only under its lock.
        unsafe { self.remove(first) }
    }
}
