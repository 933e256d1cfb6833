//! A function to call when an object has drained: [`Completion`].
//!
//! `unsafe` here: the completion is the caller's memory, reached by a pointer.

use core::ptr::{self, NonNull};

use crate::platform::Platform;
use crate::primitive::{AtomicPtr, Ordering};
use crate::state::ObjectId;

/// A function and its context, in the caller's memory, that the last release calls once an object
/// has drained (S13). Leave it with [`close_then`](crate::Rundown::close_then).
///
/// It runs exactly once, after the last touch of the object, so it may free the object, and the
/// completion itself. It runs in the context of the last release, NMI included (which may be that
/// of an acquire that is refused as full), or inside `close_then` if nothing is held by then. It
/// may do only what is legal there: in an NMI handler, no lock that the interrupted code may hold,
/// no allocation, no blocking. It must not unwind where a release must not.
///
/// Waiters are woken just before it runs. They may return first: memory that a waiter frees is no
/// place for the completion. They may also look at the object later: nothing may wait for one that
/// the completion frees.
#[derive(Debug)]
pub struct Completion {
    run: unsafe fn(*mut ()),
    context: *mut (),
}

// SAFETY: both fields are only read; `new` asks for a function and a context that any CPU may use.
unsafe impl Send for Completion {}
// SAFETY: as above.
unsafe impl Sync for Completion {}

impl Completion {
    /// Calls `run(context)`.
    ///
    /// # Safety
    /// The call is sound on any CPU and in every context in which protection is released.
    pub const unsafe fn new(run: unsafe fn(*mut ()), context: *mut ()) -> Self {
        Self { run, context }
    }

    /// Calls `run()`.
    ///
    /// ```
    /// use rundown::{Completion, HostPlatform, PlainRundown};
    ///
    /// static UNLOADED: Completion = Completion::of(|| println!("the driver is gone"));
    ///
    /// let object = PlainRundown::<HostPlatform>::new();
    /// let guard = object.try_acquire();
    /// object.close_then(&UNLOADED).expect("open");
    /// drop(guard); // prints
    /// ```
    pub const fn of(run: fn()) -> Self {
        unsafe fn call(context: *mut ()) {
            // SAFETY: `of` made the context of a `fn()`.
            unsafe { core::mem::transmute::<*mut (), fn()>(context)() }
        }
        Self { run: call, context: run as *mut () }
    }

    /// # Safety
    /// The completion is valid, and this is its one call.
    pub(crate) unsafe fn run(this: NonNull<Self>) {
        // SAFETY: valid, as promised; copied, since the call may free it.
        let Self { run, context } = *unsafe { this.as_ref() };
        // SAFETY: `new` promised that the call is sound.
        unsafe { run(context) }
    }
}

/// Where an object keeps the completion that is left with it. An empty slot belongs to the first
/// caller that fills it; a full one to that caller until the completion is published by a mark in
/// the count, and then to the step that takes the mark away.
pub struct CompletionSlot(AtomicPtr<Completion>);

impl CompletionSlot {
    const_unless_model! {
        pub(crate) fn new() -> Self {
            Self(AtomicPtr::new(ptr::null_mut()))
        }
    }

    /// Fills the slot, if it is empty.
    pub(crate) fn fill(&self, completion: NonNull<Completion>) -> bool {
        let (empty, full) = (ptr::null_mut(), completion.as_ptr());
        // Acquire: pairs with the Release in `take`; the slot's last owner is done with it. The
        // mark publishes what is written here. A failure changes nothing.
        let filled = (self.0).compare_exchange(empty, full, Ordering::Acquire, Ordering::Relaxed);
        filled.is_ok()
    }

    /// Empties the slot. Only its owner does this, and has acquired the mark.
    pub(crate) fn take(&self) -> Option<NonNull<Completion>> {
        // Release: pairs with the Acquire in `fill`.
        NonNull::new(self.0.swap(ptr::null_mut(), Ordering::Release))
    }

    /// Ends a drain: the caller's step left nothing held and has acquired the mark, so it has the
    /// object to itself. `publish_drained` is the last touch of it (S3).
    #[cold]
    pub(crate) fn end_drain<P: Platform>(&self, object: ObjectId, publish_drained: impl FnOnce()) {
        let completion = self.take();
        publish_drained();
        P::wake_waiters(object);
        if let Some(completion) = completion {
            // SAFETY: `close_then` promised that it is valid; it was taken out of its slot once.
            unsafe { Completion::run(completion) };
        }
    }
}
