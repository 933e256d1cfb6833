//! The services that the C program supplies, and [`System`], which is what `rundown` sees of them.

use core::ffi::{c_char, c_void};
use core::fmt;
use core::hint::spin_loop;
use core::mem::zeroed;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use ::rundown::{Clock, Misuse, ObjectId, Platform, Wait, Waiting};

use crate::answer::rundown_status;
use crate::misuse::{self, rundown_misuse};
use crate::size_t;
use crate::text::Text;

#[repr(C)]
pub struct rundown_waiting {
    pub object: usize,
    pub has_deadline: bool,
    pub deadline: u64,
}

#[repr(C)]
pub struct rundown_platform {
    pub size: size_t,
    pub cpu_count: size_t,
    pub cpu_index: Option<unsafe extern "C" fn() -> size_t>,
    pub pause: Option<unsafe extern "C" fn()>,
    pub sleep: Option<
        unsafe extern "C" fn(
            waiting: *const rundown_waiting,
            ready: unsafe extern "C" fn(state: *mut c_void) -> bool,
            state: *mut c_void,
        ),
    >,
    pub wake: Option<unsafe extern "C" fn(object: usize)>,
    pub allocate:
        Option<unsafe extern "C" fn(size: size_t, alignment: size_t, tag: u32) -> *mut c_void>,
    pub free: Option<unsafe extern "C" fn(memory: *mut c_void, size: size_t)>,
    pub now: Option<unsafe extern "C" fn() -> u64>,
    pub misuse: Option<unsafe extern "C" fn(what: *const rundown_misuse)>,
    pub panic: Option<unsafe extern "C" fn(text: *const c_char)>,
    pub tick: Option<unsafe extern "C" fn() -> u64>,
    pub report: Option<unsafe extern "C" fn(text: *const c_char)>,
}

/// Without a platform.
// SAFETY: all zero is 0 for its numbers, and `None` for its functions.
static NOTHING: rundown_platform = unsafe { zeroed() };

/// The platform; null until one is set, or [`NOTHING`] is in use. It is written once, by `choose`,
/// so a load that finds an address has read that write, and there is no other order of steps that a
/// model could try. (A weaker ordering would show on no x86 CPU: none reorders two stores, or two
/// loads.)
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
    chosen.map(|_| ()).map_err(|_| rundown_status::PlatformInUse)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_set_platform(platform: *const rundown_platform) -> rundown_status {
    // SAFETY: the first member, in every version of the table, before the others are trusted.
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
                platform.pause.map_or_else(spin_loop, |pause| unsafe { pause() });
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

unsafe extern "C" fn is_ready(state: *mut c_void) -> bool {
    // SAFETY: the state is what `wait_until` made, which is still waiting, and only one CPU at a
    // time uses it: the contract of `sleep`.
    let ready = unsafe { &mut *state.cast::<&mut dyn FnMut() -> bool>() };
    ready()
}
