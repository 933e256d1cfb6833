//! The services that the C program supplies, and [`System`], which is what `rundown` sees of them.

use core::ffi::{c_char, c_void};
use core::fmt;
use core::hint::spin_loop;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use ::rundown::{Clock, Misuse, ObjectId, Platform, Wait, Waiting};

use crate::answer::rundown_status;
use crate::misuse::{self, rundown_misuse};
use crate::shared::size_t;
use crate::text::Text;

/// What a waiter waits for: for the platform's `sleep`.
#[repr(C)]
pub struct rundown_waiting {
    /// The object's address, as a number: `wake` will be called with the same.
    pub object: usize,
    /// Whether the waiter gives up at a time.
    pub has_deadline: bool,
    /// That time, in the unit of `now`. 0 without one.
    pub deadline: u64,
}

/// The services that a system supplies to the library. Every function may be NULL; each says what that
/// means. All but `cpu_index`, `tick` and `wake` are called from the context of the call that needs them.
///
/// Write it with designated initialisers, so that members you do not name are NULL:
///
///     static const struct rundown_platform platform = {
///         .size = sizeof(struct rundown_platform), .cpu_count = 8, .cpu_index = my_cpu,
///     };
///
/// C++17 has none: leave a static table zeroed, and assign the members before rundown_set_platform.
#[repr(C)]
pub struct rundown_platform {
    /// sizeof(struct rundown_platform): shows that header and library fit together.
    pub size: size_t,
    /// How many CPUs there are, or will be: what rundown_cpu_count returns. 0 means 1.
    pub cpu_count: size_t,
    /// The index of the running CPU, from 0. Only a hint: a wrong, stale or too large one costs speed,
    /// never correctness. Called by every acquire and release, in their context (NMI, too). NULL: all
    /// CPUs share slot 0.
    pub cpu_index: Option<unsafe extern "C" fn() -> size_t>,
    /// Once per look of a waiter that spins, because `sleep` is NULL. NULL: the CPU's pause hint.
    pub pause: Option<unsafe extern "C" fn()>,
    /// Passes the time of a waiter. Returns once `ready(state)` has returned true. Calls it at least
    /// once, again after each `wake` for `waiting->object`, and again soon after
    /// `waiting->deadline`, if there is one. `ready` takes a few loads, never blocks, and may be called
    /// with a lock held or interrupts disabled. Call `ready` only inside this call of `sleep`, from one
    /// CPU at a time: `state` is gone afterwards. In the context of rundown_wait. Needs `wake`. NULL:
    /// waiters spin, with `pause`.
    ///
    /// With a condition variable: lock; while not ready(state), wait for the condition; unlock.
    pub sleep: Option<
        unsafe extern "C" fn(
            waiting: *const rundown_waiting,
            ready: unsafe extern "C" fn(state: *mut c_void) -> bool,
            state: *mut c_void,
        ),
    >,
    /// Makes all sleepers for the object (spurious wake-ups are harmless) call `ready` again. A sleeper
    /// may be anywhere between a `ready` that returned false and its sleep: it must not miss this. The
    /// object may be gone already. In the context of the release, close or re-init that changed
    /// something (NMI, too, if you release there). Needs `sleep`. NULL: no waiter sleeps.
    ///
    /// With a condition variable: lock; broadcast; unlock.
    pub wake: Option<unsafe extern "C" fn(object: usize)>,
    /// Memory for rundown_allocate: `size` bytes, aligned to `alignment` (a power of two, at most 128),
    /// or NULL. `tag` is the caller's. It must stay resident if protection is taken where a page fault
    /// is not allowed. In the context of rundown_allocate. Needs `free`. NULL: rundown_allocate fails.
    pub allocate:
        Option<unsafe extern "C" fn(size: size_t, alignment: size_t, tag: u32) -> *mut c_void>,
    /// Takes back what `allocate` gave, with the size that was asked for.
    pub free: Option<unsafe extern "C" fn(memory: *mut c_void, size: size_t)>,
    /// The time: never goes backwards on any CPU. The unit is yours, deadlines are in the same. Called
    /// in the context of rundown_wait_deadline, and there by `ready`. NULL: waiting with a deadline
    /// fails.
    pub now: Option<unsafe extern "C" fn() -> u64>,
    /// A caller has broken a promise, in its context, after the last touch of the object. If this
    /// returns, the call that found it returns, too, having changed as little as possible. NULL:
    /// `panic` with the same text, and the place in the library behind it.
    pub misuse: Option<unsafe extern "C" fn(what: *const rundown_misuse)>,
    /// The library has found itself or its caller broken and cannot go on. One line of text. If this
    /// returns or is NULL, the CPU traps (x86-64: ud2).
    pub panic: Option<unsafe extern "C" fn(text: *const c_char)>,
    /// A time stamp, in any unit: since when protection is held. Called by every acquire, in its context,
    /// of a library with feature `diagnosis`; by no other. NULL: 0.
    pub tick: Option<unsafe extern "C" fn() -> u64>,
    /// Prints what a library with feature `diagnosis` has found: a deadline was missed, or a wait began
    /// on a CPU that holds protection of that object. A few lines of text, a line for each holder, the
    /// last one without its end. In the context of the wait. NULL: it is lost.
    pub report: Option<unsafe extern "C" fn(text: *const c_char)>,
}

/// Without a platform.
static NOTHING: rundown_platform = rundown_platform {
    size: size_of::<rundown_platform>(),
    cpu_count: 1,
    cpu_index: None,
    pause: None,
    sleep: None,
    wake: None,
    allocate: None,
    free: None,
    now: None,
    misuse: None,
    panic: None,
    tick: None,
    report: None,
};

/// The platform; null until one is set, or [`NOTHING`] is in use.
static CHOSEN: AtomicPtr<rundown_platform> = AtomicPtr::new(ptr::null_mut());

pub(crate) fn table() -> &'static rundown_platform {
    // Acquire: pairs with the Release in `choose`: the table's contents come with its address.
    let chosen = CHOSEN.load(Ordering::Acquire);
    if chosen.is_null() {
        return &NOTHING;
    }
    // SAFETY: `choose` was given a table that lives for ever and does not change.
    unsafe { &*chosen }
}

/// An object is about to be made: from here on the platform stays what it is.
pub(crate) fn keep() {
    // Relaxed: pairs with nothing, `choose` looks again.
    if CHOSEN.load(Ordering::Relaxed).is_null() {
        // A failure means that a table has just been set, which is as good.
        let _ = choose(&raw const NOTHING);
    }
}

/// Sets the table, if there is none yet.
fn choose(table: *const rundown_platform) -> Result<(), rundown_status> {
    // Release: pairs with the Acquire in `table`.
    let chosen = CHOSEN.compare_exchange(
        ptr::null_mut(),
        table.cast_mut(),
        Ordering::Release,
        Ordering::Relaxed,
    );
    chosen
        .map(|_| ())
        .map_err(|_| rundown_status::PlatformInUse)
}

/// Supplies the system's services to the library: once, before the first object is initialised or used.
/// The table must stay as it is for ever; the library keeps the pointer. Without this call, waiters
/// spin, all CPUs share a slot, and there is neither allocator nor clock.
///
/// Returns RUNDOWN_STATUS_PLATFORM_IN_USE if it comes too late, RUNDOWN_STATUS_PLATFORM_INVALID if
/// the table has `sleep` without `wake`, `allocate` without `free`, or the reverse, or a wrong size.
/// Nothing changes then. Too late is not noticed for objects that no call has made: those of
/// RUNDOWN_REF_OPEN, RUNDOWN_REF_CLOSED or zeroed memory. A call that waits for one by then spins, or is
/// not woken.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_set_platform(platform: *const rundown_platform) -> rundown_status {
    // SAFETY: the first member, which every version of the table has, before the others are trusted.
    let size = unsafe { (*platform).size };
    if size != size_of::<rundown_platform>() {
        return rundown_status::PlatformInvalid;
    }
    // SAFETY: the size is right, so this is the table that the header declares.
    let supplied = unsafe { &*platform };
    let sleeps = supplied.sleep.is_some() == supplied.wake.is_some();
    let allocates = supplied.allocate.is_some() == supplied.free.is_some();
    if !(sleeps && allocates) {
        return rundown_status::PlatformInvalid;
    }
    choose(platform).err().unwrap_or(rundown_status::Ok)
}

/// How many CPUs the platform says there are, at least 1: a good number of slots. Any context.
#[unsafe(no_mangle)]
pub extern "C" fn rundown_cpu_count() -> size_t {
    table().cpu_count.max(1)
}

/// The C program, as `rundown` sees it.
pub(crate) struct System;

impl Platform for System {
    #[inline]
    fn cpu_hint() -> usize {
        match table().cpu_index {
            // SAFETY: the platform's function, in a context that it was written for.
            Some(cpu_index) => unsafe { cpu_index() },
            None => 0,
        }
    }

    fn wake_waiters(object: ObjectId) {
        if let Some(wake) = table().wake {
            // SAFETY: as above.
            unsafe { wake(object.get()) };
        }
    }

    fn misuse(what: &Misuse) {
        misuse::report(what);
    }

    fn tick() -> u64 {
        // SAFETY: the platform's function, in a context that it was written for.
        table().tick.map_or(0, |tick| unsafe { tick() })
    }

    fn report(text: fmt::Arguments<'_>) {
        if let Some(report) = table().report {
            let text = Text::<1024>::of(text);
            // SAFETY: the platform's function, with a text that lives for the call.
            unsafe { report(text.as_ptr()) };
        }
    }
}

impl Clock for System {
    fn now() -> u64 {
        let now = table().now.expect("asked for before the wait began");
        // SAFETY: the platform's function, in the context of a wait.
        unsafe { now() }
    }
}

/// Waits as the platform does: by its `sleep`, else spinning.
pub(crate) struct Sleep;

impl Wait for Sleep {
    fn wait_until(&self, waiting: Waiting, mut ready: &mut dyn FnMut() -> bool) {
        let platform = table();
        let Some(sleep) = platform.sleep else {
            while !ready() {
                // SAFETY: the platform's function, in the context of a wait.
                platform
                    .pause
                    .map_or_else(spin_loop, |pause| unsafe { pause() });
            }
            return;
        };
        let why = rundown_waiting {
            object: waiting.object.get(),
            has_deadline: waiting.deadline.is_some(),
            deadline: waiting.deadline.unwrap_or(0),
        };
        let state: *mut &mut dyn FnMut() -> bool = &raw mut ready;
        // SAFETY: the platform's function. By its contract it calls `is_ready` with the state that
        // belongs to it, from one CPU at a time, and not after it has returned.
        unsafe { sleep(&raw const why, is_ready, state.cast()) };
    }
}

/// `ready` for C.
unsafe extern "C" fn is_ready(state: *mut c_void) -> bool {
    // SAFETY: the state is what `wait_until` made, which is still waiting, and only one CPU at a time
    // uses it: the contract of `sleep`.
    let ready = unsafe { &mut *state.cast::<&mut dyn FnMut() -> bool>() };
    ready()
}
