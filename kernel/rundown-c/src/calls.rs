//! The calls of users and owners. Each is written here once, and exists for both variants.

use core::ffi::c_void;

use ::rundown::{Generation, Outstanding, Tag, WaitOutcome, WrongState};

use crate::answer::{rundown_state, rundown_status};
use crate::cache_aware::{self, rundown};
use crate::completion::{self, rundown_completion};
use crate::holders::{self, rundown_holder};
use crate::plain::{self, rundown_ref};
use crate::platform::{self, Sleep};
use crate::size_t;

/// Exports each call under two names: for a `struct rundown`, and for a `struct rundown_ref`.
/// `mut object` or `const object` is the caller's pointer, and in the body the object: a `Rundown`,
/// with the methods that both variants have.
macro_rules! calls {
    ($(
        fn $name:ident | $ref_name:ident(
            $mutability:tt $object:ident $(, $argument:ident: $type:ty)*
        ) $(-> $answer:ty)? $body:block
    )*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            $object: *$mutability rundown $(, $argument: $type)*
        ) $(-> $answer)? {
            // SAFETY: the caller's object.
            let $object = unsafe { cache_aware::get($object) };
            $body
        }

        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $ref_name(
            $object: *$mutability rundown_ref $(, $argument: $type)*
        ) $(-> $answer)? {
            // SAFETY: the caller's object.
            let $object = unsafe { plain::get($object) };
            $body
        }
    )*};
}

calls! {
    fn rundown_try_acquire | rundown_ref_try_acquire(mut object) -> bool {
        object.acquire().is_ok()
    }

    fn rundown_try_acquire_many | rundown_ref_try_acquire_many(mut object, n: u32) -> bool {
        object.acquire_many(n).is_ok()
    }

    fn rundown_acquire | rundown_ref_acquire(mut object) -> rundown_status {
        object.acquire().into()
    }

    fn rundown_acquire_many | rundown_ref_acquire_many(mut object, n: u32) -> rundown_status {
        object.acquire_many(n).into()
    }

    fn rundown_acquire_held | rundown_ref_acquire_held(mut object) -> rundown_status {
        // SAFETY: the caller holds protection.
        unsafe { object.acquire_held() }.into()
    }

    fn rundown_acquire_held_many | rundown_ref_acquire_held_many(
        mut object, n: u32
    ) -> rundown_status {
        // SAFETY: the caller holds protection.
        unsafe { object.acquire_held_many(n) }.into()
    }

    fn rundown_acquire_tagged | rundown_ref_acquire_tagged(
        mut object, n: u32, tag: *const c_void
    ) -> rundown_status {
        object.acquire_tagged(n, Tag(tag.addr())).into()
    }

    fn rundown_acquire_held_tagged | rundown_ref_acquire_held_tagged(
        mut object, n: u32, tag: *const c_void
    ) -> rundown_status {
        // SAFETY: the caller holds protection.
        unsafe { object.acquire_held_tagged(n, Tag(tag.addr())) }.into()
    }

    fn rundown_release | rundown_ref_release(mut object) {
        // SAFETY: the caller owns what it releases.
        unsafe { object.release() }
    }

    fn rundown_release_many | rundown_ref_release_many(mut object, n: u32) {
        // SAFETY: the caller owns what it releases.
        unsafe { object.release_many(n) }
    }

    fn rundown_release_tagged | rundown_ref_release_tagged(
        mut object, n: u32, tag: *const c_void
    ) {
        // SAFETY: the caller owns what it releases.
        unsafe { object.release_tagged(n, Tag(tag.addr())) }
    }

    fn rundown_close | rundown_ref_close(mut object) -> rundown_status {
        object.close().into()
    }

    fn rundown_close_then | rundown_ref_close_then(
        mut object, completion: *mut rundown_completion
    ) -> rundown_status {
        // SAFETY: the caller's completion.
        unsafe { completion::close_then(object, completion) }
    }

    fn rundown_wait | rundown_ref_wait(mut object) -> rundown_status {
        object.wait(&Sleep).into()
    }

    fn rundown_try_wait | rundown_ref_try_wait(mut object, held: *mut i64) -> rundown_status {
        let outcome = object.try_wait().map(|()| WaitOutcome::Drained);
        // SAFETY: the caller's out pointer.
        unsafe { waited(outcome, held) }
    }

    fn rundown_wait_deadline | rundown_ref_wait_deadline(
        mut object, deadline: u64, held: *mut i64
    ) -> rundown_status {
        if platform::table().now.is_none() {
            return rundown_status::NoClock;
        }
        let outcome = object.wait_deadline(&Sleep, deadline);
        // SAFETY: the caller's out pointer.
        unsafe { waited(outcome, held) }
    }

    fn rundown_wait_generation | rundown_ref_wait_generation(
        mut object, generation: u64
    ) -> rundown_status {
        let generation = Generation(generation);
        match object.drain_of(generation).wait(&Sleep) {
            // Before this call or during it: in either case the object is in use again.
            WaitOutcome::Drained if object.generation() != generation => {
                rundown_status::GenerationOver
            }
            outcome => outcome.into(),
        }
    }

    fn rundown_cancel | rundown_ref_cancel(
        mut object, unrun: *mut *mut rundown_completion
    ) -> rundown_status {
        // SAFETY: the caller's out pointer.
        unsafe { completion::cancel(object, unrun) }
    }

    fn rundown_complete | rundown_ref_complete(mut object) -> rundown_status {
        object.complete().into()
    }

    fn rundown_reinit | rundown_ref_reinit(mut object, generation: *mut u64) -> rundown_status {
        // SAFETY: the caller's out pointer.
        unsafe { opened(object.reinit(), generation) }
    }

    fn rundown_open | rundown_ref_open(mut object, generation: *mut u64) -> rundown_status {
        // SAFETY: the caller's out pointer.
        unsafe { opened(object.open(), generation) }
    }

    fn rundown_get_state | rundown_ref_get_state(const object) -> rundown_state {
        object.state().into()
    }

    fn rundown_get_generation | rundown_ref_get_generation(const object) -> u64 {
        object.generation().0
    }

    fn rundown_is_drained | rundown_ref_is_drained(const object) -> bool {
        object.is_drained()
    }

    fn rundown_racy_held | rundown_ref_racy_held(const object) -> i64 {
        object.racy_held()
    }

    fn rundown_racy_counts | rundown_ref_racy_counts(
        const object, counts: *mut i64, room: size_t
    ) -> size_t {
        // SAFETY: the caller's room.
        unsafe { fill(object.racy_counts(), counts, room) }
    }

    fn rundown_racy_holders | rundown_ref_racy_holders(
        const object, holders: *mut rundown_holder, room: size_t
    ) -> size_t {
        // SAFETY: the caller's room.
        unsafe { fill(holders::of(object), holders, room) }
    }
}

/// `held`: null, or the caller's out pointer.
unsafe fn waited(outcome: Result<WaitOutcome, Outstanding>, held: *mut i64) -> rundown_status {
    let (status, count) = match outcome {
        Ok(outcome) => (outcome.into(), 0),
        Err(outstanding) => (rundown_status::Outstanding, outstanding.held),
    };
    if !held.is_null() {
        // SAFETY: the caller's out pointer.
        unsafe { held.write(count) };
    }
    status
}

/// `generation`: null, or the caller's out pointer.
unsafe fn opened(done: Result<Generation, WrongState>, generation: *mut u64) -> rundown_status {
    let opened = done.map(|begun| {
        if !generation.is_null() {
            // SAFETY: the caller's out pointer.
            unsafe { generation.write(begun.0) };
        }
    });
    opened.into()
}

/// Fills the caller's array with what fits; returns how many there are.
unsafe fn fill<T>(found: impl Iterator<Item = T>, array: *mut T, room: usize) -> usize {
    let mut count = 0;
    for item in found {
        if count < room {
            // SAFETY: the caller has that much room.
            let place = unsafe { array.add(count) };
            // SAFETY: and it is writable.
            unsafe { place.write(item) };
        }
        count += 1;
    }
    count
}
