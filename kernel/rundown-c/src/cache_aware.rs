//! `struct rundown`: the cache-aware variant. Its memory is one block: the object, then its slots.

use core::alloc::Layout;
use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr::{self, NonNull};
use core::slice;

use ::rundown::{CacheAwareRundown, Slot};

use crate::answer::rundown_status;
use crate::platform::{self, System};
use crate::size_t;

type Object = CacheAwareRundown<System, &'static mut [Slot]>;

pub struct rundown(Object);

// The object's address is the one that the program knows.
const _: () = assert!(offset_of!(rundown, 0) == 0);
// RUNDOWN_ALIGNMENT and RUNDOWN_SIZE in the header: the object has a pair of cache lines
// to itself, and then come the slots.
const _: () = assert!(align_of::<rundown>() <= 128 && align_of::<Slot>() == 128);
const _: () = assert!(size_of::<rundown>() <= 128 && size_of::<Slot>() == 128);

/// The layout of an object and its slots behind it; and the offset at which these begin.
fn layout(slots: usize) -> Result<(Layout, usize), rundown_status> {
    if slots == 0 {
        return Err(rundown_status::NoSlots);
    }
    let array = Layout::array::<Slot>(slots).ok();
    array
        .and_then(|array| Layout::new::<rundown>().extend(array).ok())
        .ok_or(rundown_status::TooManySlots)
}

/// Makes an object in that memory.
fn place(
    memory: *mut c_void,
    size: usize,
    slots: usize,
    closed: bool,
) -> Result<NonNull<rundown>, rundown_status> {
    let (layout, offset) = layout(slots)?;
    let block = NonNull::new(memory.cast::<rundown>()).ok_or(rundown_status::TooSmall)?;
    if size < layout.size() {
        return Err(rundown_status::TooSmall);
    }
    if !block.addr().get().is_multiple_of(layout.align()) {
        return Err(rundown_status::Misaligned);
    }
    platform::keep();
    // SAFETY: `offset` is inside the block, by its layout.
    let first = unsafe { block.byte_add(offset) }.cast::<Slot>();
    for index in 0..slots {
        // SAFETY: so is every slot.
        let slot = unsafe { first.add(index) };
        // SAFETY: it is aligned, and the caller's memory is writable.
        unsafe { slot.write(Slot::new()) };
    }
    // SAFETY: the slots are initialised, and from here on only the object reaches them. They live
    // until the program takes the memory back, and with it the object that holds this reference.
    let slots = unsafe { slice::from_raw_parts_mut(first.as_ptr(), slots) };
    let object = Object::with_slots(slots).map_err(|_| rundown_status::NoSlots)?;
    let object = if closed { object.born_closed() } else { object };
    // SAFETY: aligned and large enough, as was checked.
    unsafe { block.write(rundown(object)) };
    Ok(block)
}

/// The result of `place`, as C wants it.
unsafe fn answer(
    made: Result<NonNull<rundown>, rundown_status>,
    object: *mut *mut rundown,
) -> rundown_status {
    // SAFETY: the caller's out pointer.
    unsafe { object.write(made.map_or(ptr::null_mut(), NonNull::as_ptr)) };
    made.err().unwrap_or(rundown_status::Ok)
}

pub(crate) unsafe fn get<'a>(object: *const rundown) -> &'a Object {
    // SAFETY: the caller's pointer to an initialised object (crate documentation).
    unsafe { &(*object).0 }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_init(
    memory: *mut c_void,
    size: size_t,
    slots: size_t,
    object: *mut *mut rundown,
) -> rundown_status {
    // SAFETY: the caller's out pointer.
    unsafe { answer(place(memory, size, slots, false), object) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_init_closed(
    memory: *mut c_void,
    size: size_t,
    slots: size_t,
    object: *mut *mut rundown,
) -> rundown_status {
    // SAFETY: the caller's out pointer.
    unsafe { answer(place(memory, size, slots, true), object) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_allocate(
    slots: size_t,
    tag: u32,
    object: *mut *mut rundown,
) -> rundown_status {
    // SAFETY: the caller's out pointer.
    unsafe { object.write(ptr::null_mut()) };
    let Some(allocate) = platform::table().allocate else {
        return rundown_status::NoAllocator;
    };
    let needed = match layout(slots) {
        Ok((layout, _)) => layout,
        Err(status) => return status,
    };
    // SAFETY: the platform's function, in a context that the caller chose for it.
    let memory = unsafe { allocate(needed.size(), needed.align(), tag) };
    if memory.is_null() {
        return rundown_status::NoMemory;
    }
    // SAFETY: the caller's out pointer.
    let status = unsafe { answer(place(memory, needed.size(), slots, false), object) };
    if let (true, Some(free)) = (status != rundown_status::Ok, platform::table().free) {
        // SAFETY: the platform gave this memory, with this size, and no object is in it.
        unsafe { free(memory, needed.size()) };
    }
    status
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_free(object: *mut rundown) -> rundown_status {
    if object.is_null() {
        return rundown_status::Ok;
    }
    // SAFETY: the caller's pointer to an initialised object.
    let unused = unsafe { get(object) };
    if unused.racy_held() != 0 {
        return rundown_status::Outstanding;
    }
    let Some(free) = platform::table().free else {
        return rundown_status::NoAllocator;
    };
    let layout = match layout(unused.racy_counts().len()) {
        Ok((layout, _)) => layout,
        Err(status) => return status,
    };
    // SAFETY: an initialised object, not in use any more. (Only diagnosis has something to do.)
    unsafe { object.drop_in_place() };
    // SAFETY: the platform gave this memory, with this size.
    unsafe { free(object.cast(), layout.size()) };
    rundown_status::Ok
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_capacity(object: *const rundown) -> u64 {
    // SAFETY: the caller's pointer to an initialised object.
    unsafe { get(object) }.capacity()
}
