/*
 * rundown.h - may I touch this object now, or is it being torn down?
 *
 * Users take protection (rundown_try_acquire), use the object, and release. The owner closes the
 * object and waits until everything granted is released (rundown_wait), or leaves a function for
 * the last release to call (rundown_close_then); then it may free it, or open the rundown again for
 * the next one (rundown_reinit).
 *
 * Two variants, with the same calls:
 *     struct rundown      rundown_...      cache-aware: a counter per CPU, each on its own lines
 *     struct rundown_ref  rundown_ref_...  plain: 16 bytes, and slower when many CPUs use it
 *
 * All calls share one contract. A pointer to an object points to one that was initialised and not
 * freed; its memory does not move, and nothing else writes to it. Pointers are not NULL except
 * where that is said. A caller that releases owns what it releases. "Any context" means: threads,
 * interrupt handlers, NMI; the call never allocates, blocks or disables interrupts.
 *
 * First supply your system's services by rundown_set_platform. For C11, C++17, 64-bit targets.
 */

#ifndef RUNDOWN_H
#define RUNDOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The answer of such a call must be looked at. */
#if defined(__GNUC__)
#define RUNDOWN_MUST_USE __attribute__((warn_unused_result))
#else
#define RUNDOWN_MUST_USE
#endif

/* Static initialisers of a struct rundown_ref: open (all bits zero), and born closed. */
#define RUNDOWN_REF_OPEN {0, NULL}
#define RUNDOWN_REF_CLOSED {3, NULL}

/* Initialiser of a struct rundown_completion. */
#define RUNDOWN_COMPLETION(run, context) {run, context, {NULL, NULL}}

/* The memory of a struct rundown with so many slots: its alignment and its size, in bytes. One slot
 * per CPU is best; with fewer, CPUs share. */
#define RUNDOWN_ALIGNMENT 128
#define RUNDOWN_SIZE(slots) (128 + 128 * (size_t)(slots))

// The result of a call. Zero: it did as asked.
enum rundown_status {
    RUNDOWN_STATUS_OK = 0, // Done.
    RUNDOWN_STATUS_CLOSED = 1, // Acquire: refused, the object is closed.
    RUNDOWN_STATUS_FULL = 2, // Acquire: refused, the object cannot count that many more.
    RUNDOWN_STATUS_ALREADY_CLOSED = 3, // Close: it was closed before. Not a failure.
    // Close: another caller is opening the object again right now. That is later in the order than
    // this close and wins: the object will open. Nothing changed.
    RUNDOWN_STATUS_SUPERSEDED = 4,
    RUNDOWN_STATUS_CANCELLED = 5, // Wait: rundown_cancel has opened it again. Free nothing.
    RUNDOWN_STATUS_OUTSTANDING = 6, // Something is still held.
    RUNDOWN_STATUS_WRONG_STATE = 7, // Not legal in the object's state. Nothing changed.
    RUNDOWN_STATUS_NO_SLOTS = 8, // An object needs at least one slot.
    RUNDOWN_STATUS_TOO_MANY_SLOTS = 9, // No address space holds that many slots.
    RUNDOWN_STATUS_MISALIGNED = 10, // The memory is not aligned as RUNDOWN_ALIGNMENT says.
    RUNDOWN_STATUS_TOO_SMALL = 11, // The memory is smaller than RUNDOWN_SIZE says.
    RUNDOWN_STATUS_NO_MEMORY = 12, // The platform's allocator has no memory.
    RUNDOWN_STATUS_NO_ALLOCATOR = 13, // The platform has no allocator.
    RUNDOWN_STATUS_NO_CLOCK = 14, // The platform has no clock.
    RUNDOWN_STATUS_PLATFORM_IN_USE = 15, // One was set before, or an object exists already.
    // Of two functions that need each other the table has only one; or its `size` is not the
    // library's: header and library are not of one version.
    RUNDOWN_STATUS_PLATFORM_INVALID = 16,
    RUNDOWN_STATUS_BAD_FLAGS = 17, // Windows' names: flags that have no documented meaning.
    RUNDOWN_STATUS_OCCUPIED = 18, // Close-then: the object has a completion already.
    RUNDOWN_STATUS_GENERATION_OVER = 19, // Wait: the object was opened again since.
};

// Which promise was broken.
enum rundown_misuse_kind {
    RUNDOWN_MISUSE_KIND_OVER_RELEASE = 0, // More was released than was held.
    // A count left the range that it can have. The object is of no use any more: once closed, it
    // stays RUNDOWN_STATE_CLOSING for ever, and a wait never returns.
    RUNDOWN_MISUSE_KIND_OUT_OF_RANGE = 1,
    RUNDOWN_MISUSE_KIND_ILLEGAL_CALL = 2, // By a Windows name, which returns no error.
    RUNDOWN_MISUSE_KIND_OTHER = 3, // Something else: see the text.
    // More was released under a tag than is held under it, and released nevertheless. Found by a
    // library with feature `diagnosis` only.
    RUNDOWN_MISUSE_KIND_WRONG_TAG = 4,
};

// A snapshot of an object's state: other CPUs may have moved on already.
enum rundown_state {
    RUNDOWN_STATE_OPEN = 0, // Grants protection.
    // Closed; a caller is still counting what is held, or about to cancel or to run the completion.
    // A short step; but for ever after RUNDOWN_MISUSE_KIND_OUT_OF_RANGE.
    RUNDOWN_STATE_CLOSING = 1,
    RUNDOWN_STATE_DRAINING = 2, // Closed; some protection that it granted is still held.
    RUNDOWN_STATE_DRAINED = 3, // Closed, and everything granted has been released.
    RUNDOWN_STATE_RUN_DOWN = 4, // Drained and completed, or born closed.
    RUNDOWN_STATE_CLAIMED = 5, // Drained, and a caller is opening it again right now. A short step.
};

// Rundown protection with a counter per CPU: users on different CPUs never write the same cache
// line. Opaque: in memory of your own by rundown_init, or by rundown_allocate.
struct rundown;

// A wait, as the platform's `sleep` gets it.
struct rundown_waiting {
    uintptr_t object; // The object's address, as a number: `wake` will be called with the same.
    bool has_deadline; // Whether the waiter gives up at a time.
    uint64_t deadline; // That time, in the unit of `now`. 0 without one.
};

// A broken promise of a caller.
struct rundown_misuse {
    enum rundown_misuse_kind kind;
    uintptr_t object; // The object's address, as a number: it may be gone.
    int64_t held; // Over-release: how many were held. Otherwise 0.
    // Over-release: how many were released, by this call or in excess. Wrong tag: how many of those
    // that this call has released were not held under it. Otherwise 0.
    uint64_t released;
    const void *tag; // Wrong tag: which. Otherwise NULL.
    const char *text; // One line of English, valid during the call.
};

// The services that a system supplies to the library. Every function may be NULL; each says what
// that means. All but `cpu_index`, `tick`, `wake` run in the context of the call that needs them.
//
// Write it with designated initialisers, so that members you do not name are NULL:
//
//     static const struct rundown_platform platform = {
//         .size = sizeof(struct rundown_platform), .cpu_count = 8, .cpu_index = my_cpu,
//     };
//
// C++17 has none: leave a static table zeroed, and assign the members before rundown_set_platform.
struct rundown_platform {
    // sizeof(struct rundown_platform): shows that this table is the library's. (It does not show
    // whether the functions are: take header and library from one version.)
    size_t size;
    // How many CPUs there are, or will be: what rundown_cpu_count returns. 0 means 1.
    size_t cpu_count;
    // The index of the running CPU, from 0. Only a hint: a wrong, stale or too large one costs
    // speed, never correctness. Called by every acquire and release, in their context (NMI, too).
    // NULL: all CPUs share slot 0.
    size_t (*cpu_index)(void);
    // Once per look of a waiter that spins, because `sleep` is NULL. NULL: the CPU's pause hint.
    void (*pause)(void);
    // Passes the time of a waiter. Returns once `ready(state)` has returned true. Calls it at least
    // once, again after each `wake` for `waiting->object`, and again soon after
    // `waiting->deadline`, if there is one. `ready` takes a few loads, never blocks, and may be
    // called with a lock held or interrupts disabled. Call `ready` only inside this call of
    // `sleep`, from one CPU at a time: `state` is gone afterwards. In the context of rundown_wait.
    // Needs `wake`. NULL: waiters spin, with `pause`.
    //
    // With a condition variable: lock; while not ready(state), wait for the condition; unlock.
    void (*sleep)(const struct rundown_waiting *waiting, bool (*ready)(void *state), void *state);
    // Makes all sleepers for the object (spurious wake-ups are harmless) call `ready` again. A
    // sleeper may be anywhere between a `ready` that returned false and its sleep: it must not miss
    // this. The object may be gone already. In the context of the release, close or re-init that
    // changed something (NMI, too, if you release there). Needs `sleep`. NULL: no waiter sleeps.
    //
    // With a condition variable: lock; broadcast; unlock.
    void (*wake)(uintptr_t object);
    // Memory for rundown_allocate: `size` bytes, aligned to `alignment` (a power of two, at most
    // 128), or NULL. `tag` is the caller's. It must stay resident if protection is taken where page
    // faults are not allowed. In the context of rundown_allocate. Needs `free`. NULL:
    // rundown_allocate fails.
    void *(*allocate)(size_t size, size_t alignment, uint32_t tag);
    // Takes back what `allocate` gave, with the size that was asked for.
    void (*free)(void *memory, size_t size);
    // The time, in a unit of yours, also that of deadlines; never goes backwards on any CPU. Called
    // by rundown_wait_deadline, and there by `ready`. NULL: waiting with a deadline fails.
    uint64_t (*now)(void);
    // A caller has broken a promise, in its context, after the last touch of the object. If this
    // returns, the call that found it returns, too, having changed as little as possible. NULL:
    // `panic` with the same text, and the place in the library behind it.
    void (*misuse)(const struct rundown_misuse *what);
    // The library has found itself or its caller broken and cannot go on. One line of text. If this
    // returns or is NULL, the CPU traps (x86-64: ud2).
    void (*panic)(const char *text);
    // A time stamp, in any unit: since when protection is held. Called by every acquire, in its
    // context, of a library with feature `diagnosis`; by no other. NULL: 0.
    uint64_t (*tick)(void);
    // Prints what a library with feature `diagnosis` has found: a deadline was missed, or a wait
    // began on a CPU that holds protection of that object. A few lines of text, a line for each
    // holder, the last one without its end. In the context of the wait. NULL: it is lost.
    void (*report)(const char *text);
};

// The call of the last release: see rundown_close_then. In the caller's memory, so that nothing is
// allocated: an object has room for a pointer, and not for both of these. Set `run` and
// `context`, or write `struct rundown_completion gone = RUNDOWN_COMPLETION(run, context);`.
//
// It must stay where it is, unchanged, until it runs or comes back: from a rundown_close_then that
// failed, or from rundown_cancel. It may be part of what the object guards, or lie beside the
// object, if only the call frees that memory: a waiter may return before the call begins.
struct rundown_completion {
    // The function. Any CPU may call it, in every context in which protection of the object is
    // released, NMI included if that happens there.
    void (*run)(void *context);
    void *context; // Its argument.
    void *opaque[2]; // The library's.
};

// Protection that is held: the unreleased part of one acquire.
struct rundown_holder {
    const void *tag; // The tag it was acquired under, or NULL.
    size_t cpu; // The platform's `cpu_index` when it was acquired.
    uint64_t tick; // The platform's `tick` when it was acquired.
    uint32_t count; // How many protections it is.
};

// Rundown protection with one shared counter: small, and slow when many CPUs use it at once.
// Initialise it by rundown_ref_init, or statically with RUNDOWN_REF_OPEN or RUNDOWN_REF_CLOSED, and
// leave its members alone. It must not be copied or moved while it is in use.
struct rundown_ref {
    uint64_t word; // Opaque: state and count.
    void *completion; // Opaque: left by rundown_ref_close_then.
};

#ifdef __cplusplus
extern "C" {
#endif

// One line about a status, in English, without a full stop. Never null. Any context.
const char *rundown_status_text(int status);

// Supplies the system's services to the library: once, before the first object is initialised or
// used. The table must stay as it is for ever; the library keeps the pointer. Without this call,
// waiters spin, all CPUs share a slot, and there is neither allocator nor clock.
//
// Returns RUNDOWN_STATUS_PLATFORM_IN_USE if it comes too late, RUNDOWN_STATUS_PLATFORM_INVALID if
// the table has `sleep` without `wake`, `allocate` without `free`, or the reverse, or a wrong size.
// Nothing changes then. For objects that no call made (RUNDOWN_REF_OPEN, RUNDOWN_REF_CLOSED, zeroed
// memory), being late goes unnoticed: calls that wait for one by then spin, or are not woken.
RUNDOWN_MUST_USE enum rundown_status rundown_set_platform(const struct rundown_platform *platform);

// How many CPUs the platform says there are, at least 1: a good number of slots. Any context.
size_t rundown_cpu_count(void);

// Reports that a call was not legal, to the platform's misuse function: for callers that have no
// error to return, as the Windows names do. `call` is its name, `status` what was wrong. Any
// context that the platform's function can stand.
void rundown_illegal_call(const char *call, const void *object, int status);

// Whether the library was built with feature `diagnosis`. Any context.
bool rundown_has_diagnosis(void);

// How many protections, of all objects, are held but not listed, because 1024 others were when they
// were acquired. While it is not 0, no wrong tag is noticed. Any context.
uint64_t rundown_unlisted_holders(void);

// Makes an open object in the caller's memory, which must stay where it is, and puts its pointer
// (the same address) in `*object`. The object needs no clean-up: when it is no longer used, take
// the memory back. Fails with RUNDOWN_STATUS_NO_SLOTS, _TOO_MANY_SLOTS, _MISALIGNED or _TOO_SMALL;
// `*object` is NULL then, and the memory untouched. `_closed`: it is born closed, that is run down,
// until rundown_open. Any context.
RUNDOWN_MUST_USE enum rundown_status
rundown_init(void *memory, size_t size, size_t slots, struct rundown **object);
RUNDOWN_MUST_USE enum rundown_status
rundown_init_closed(void *memory, size_t size, size_t slots, struct rundown **object);

// Makes an open object in memory of the platform's allocator, which is given the tag. Fails as
// rundown_init does, or with RUNDOWN_STATUS_NO_ALLOCATOR or RUNDOWN_STATUS_NO_MEMORY; `*object` is
// NULL then. RUNDOWN_STATUS_MISALIGNED: the allocator's memory is not aligned as it was asked to
// be; it has gone back by `free`. Contexts: those of the allocator.
RUNDOWN_MUST_USE enum rundown_status
rundown_allocate(size_t slots, uint32_t tag, struct rundown **object);

// Gives an object of rundown_allocate back to the platform. NULL is allowed. The object must not be
// in use any more; if something is still held, this frees nothing and returns
// RUNDOWN_STATUS_OUTSTANDING: a leak is better than a use after free. Legal in the object's own
// completion. Contexts: those of the allocator.
RUNDOWN_MUST_USE enum rundown_status rundown_free(struct rundown *object);

// Makes an object, open or born closed, where none is in use. Any context.
void rundown_ref_init(struct rundown_ref *object);
void rundown_ref_init_closed(struct rundown_ref *object);

// ---- The calls: each for both variants; a comment on one name holds for the other ----

// Takes protection, one or `n` at once, all or none: true or RUNDOWN_STATUS_OK (mind that it is
// zero) if it was granted, else false or why not, RUNDOWN_STATUS_CLOSED or RUNDOWN_STATUS_FULL.
// Release as many. With 0 they only ask whether the object is open, and protect nothing. Any
// context, NMI included; they never allocate, block or disable interrupts.
RUNDOWN_MUST_USE bool rundown_try_acquire(struct rundown *object);
RUNDOWN_MUST_USE bool rundown_ref_try_acquire(struct rundown_ref *object);
RUNDOWN_MUST_USE bool rundown_try_acquire_many(struct rundown *object, uint32_t n);
RUNDOWN_MUST_USE bool rundown_ref_try_acquire_many(struct rundown_ref *object, uint32_t n);
RUNDOWN_MUST_USE enum rundown_status rundown_acquire(struct rundown *object);
RUNDOWN_MUST_USE enum rundown_status rundown_ref_acquire(struct rundown_ref *object);
RUNDOWN_MUST_USE enum rundown_status rundown_acquire_many(struct rundown *object, uint32_t n);
RUNDOWN_MUST_USE enum rundown_status
rundown_ref_acquire_many(struct rundown_ref *object, uint32_t n);

// Takes more protection, one or `n`, all or none, for a caller that holds some, in any state of the
// object: while it drains, too, and the drain waits for these. RUNDOWN_STATUS_OK, or
// RUNDOWN_STATUS_FULL. A holder that keeps doing so never lets a drain end. Contexts as
// rundown_try_acquire.
RUNDOWN_MUST_USE enum rundown_status rundown_acquire_held(struct rundown *object);
RUNDOWN_MUST_USE enum rundown_status rundown_ref_acquire_held(struct rundown_ref *object);
RUNDOWN_MUST_USE enum rundown_status rundown_acquire_held_many(struct rundown *object, uint32_t n);
RUNDOWN_MUST_USE enum rundown_status
rundown_ref_acquire_held_many(struct rundown_ref *object, uint32_t n);

// Like rundown_acquire_many and rundown_acquire_held_many, under a tag that says what for: any
// value of your own, such as the address of a request. NULL is no tag. A library with feature
// `diagnosis` lists holders by it (rundown_racy_holders) and names a release under a wrong one; any
// other ignores it. Release it with rundown_release_tagged.
RUNDOWN_MUST_USE enum rundown_status
rundown_acquire_tagged(struct rundown *object, uint32_t n, const void *tag);
RUNDOWN_MUST_USE enum rundown_status
rundown_ref_acquire_tagged(struct rundown_ref *object, uint32_t n, const void *tag);
RUNDOWN_MUST_USE enum rundown_status
rundown_acquire_held_tagged(struct rundown *object, uint32_t n, const void *tag);
RUNDOWN_MUST_USE enum rundown_status
rundown_ref_acquire_held_tagged(struct rundown_ref *object, uint32_t n, const void *tag);

// Gives protection back, one or `n`, in the portions in which it was taken or others, on any CPU,
// in any context. If it was the last one waited for, the object may be gone when this returns.
// Over-release is reported to the platform's `misuse`, at the latest when the object drains.
void rundown_release(struct rundown *object);
void rundown_ref_release(struct rundown_ref *object);
void rundown_release_many(struct rundown *object, uint32_t n);
void rundown_ref_release_many(struct rundown_ref *object, uint32_t n);

// Like rundown_release_many, of what was acquired under this tag. A library with feature
// `diagnosis` reports RUNDOWN_MISUSE_KIND_WRONG_TAG if fewer are held under it, after it has
// released them all; so the object may be gone by then. (It may miss that where calls without a tag
// release what was acquired under one, and while rundown_unlisted_holders is not 0.)
void rundown_release_tagged(struct rundown *object, uint32_t n, const void *tag);
void rundown_ref_release_tagged(struct rundown_ref *object, uint32_t n, const void *tag);

// Closes the object: acquires that start after it returns are refused. Never waits.
// RUNDOWN_STATUS_OK, _ALREADY_CLOSED or _SUPERSEDED: no failures. One step per slot. Any context.
enum rundown_status rundown_close(struct rundown *object);
enum rundown_status rundown_ref_close(struct rundown_ref *object);

// Closes the object, or finds it draining, and leaves a completion with it: the last release runs
// it, exactly once, on its CPU and in its context, after its last touch of the object. It may free
// the object and itself, if nothing waits for the object. If nothing is held, this call runs it
// before it returns. Waiters, if any, return as ever, perhaps before it. Never waits.
//
// RUNDOWN_STATUS_OK: it runs, or has run, or comes back from rundown_cancel; the object may be
// gone. RUNDOWN_STATUS_OCCUPIED if another completion is left with the object,
// RUNDOWN_STATUS_WRONG_STATE if it has drained, or another caller is changing it right now: the
// completion is still the caller's, and will not run. Any context in which the completion may run:
// where protection is released in an NMI handler, it takes no lock that the interrupted code may
// hold, does not allocate, and does not block.
RUNDOWN_MUST_USE enum rundown_status
rundown_close_then(struct rundown *object, struct rundown_completion *completion);
RUNDOWN_MUST_USE enum rundown_status
rundown_ref_close_then(struct rundown_ref *object, struct rundown_completion *completion);

// Closes the object if it is open, and returns when everything it granted is released
// (RUNDOWN_STATUS_OK), or when rundown_cancel has opened it again (RUNDOWN_STATUS_CANCELLED: it is
// in use, free nothing). All work under protection happens before the return. Any number of
// callers may wait, at the same time or later. Thread context, and not while the caller holds
// protection itself. (It closes the object that it finds open. For an owner that may come late,
// when another has opened the object for its next users: rundown_wait_generation.)
RUNDOWN_MUST_USE enum rundown_status rundown_wait(struct rundown *object);
RUNDOWN_MUST_USE enum rundown_status rundown_ref_wait(struct rundown_ref *object);

// Closes the object if it is open, and says whether it has drained: RUNDOWN_STATUS_OK, or
// _OUTSTANDING with a racy count of what is held in `*held` (may be NULL). Never waits. Any
// context.
RUNDOWN_MUST_USE enum rundown_status rundown_try_wait(struct rundown *object, int64_t *held);
RUNDOWN_MUST_USE enum rundown_status
rundown_ref_try_wait(struct rundown_ref *object, int64_t *held);

// Like rundown_wait, but gives up when the platform's `now` has reached `deadline`: answers as
// rundown_try_wait then. The object stays closed and drains on: wait again, or cancel.
// RUNDOWN_STATUS_NO_CLOCK without `now`; nothing changed then.
RUNDOWN_MUST_USE enum rundown_status
rundown_wait_deadline(struct rundown *object, uint64_t deadline, int64_t *held);
RUNDOWN_MUST_USE enum rundown_status
rundown_ref_wait_deadline(struct rundown_ref *object, uint64_t deadline, int64_t *held);

// Like rundown_wait, but for one generation only. If that is over, because the object has been
// opened again since, before this call or during it: RUNDOWN_STATUS_GENERATION_OVER, and the object
// was left alone. RUNDOWN_STATUS_OK: it has drained, and was not opened since. (If two owners wait
// for the same generation, both may get that, as with rundown_wait: they settle which one goes on.)
RUNDOWN_MUST_USE enum rundown_status
rundown_wait_generation(struct rundown *object, uint64_t generation);
RUNDOWN_MUST_USE enum rundown_status
rundown_ref_wait_generation(struct rundown_ref *object, uint64_t generation);

// Opens a draining object again, with what is still held; waiters return RUNDOWN_STATUS_CANCELLED.
// RUNDOWN_STATUS_WRONG_STATE if it is open, has drained, or another caller is changing it right
// now. Against a concurrent close, the later of the two wins. A completion that was left will not
// run: it is in `*unrun` (which may be NULL), and the caller's again; otherwise, and after an
// error, that is NULL. Never waits. Any context.
RUNDOWN_MUST_USE enum rundown_status
rundown_cancel(struct rundown *object, struct rundown_completion **unrun);
RUNDOWN_MUST_USE enum rundown_status
rundown_ref_cancel(struct rundown_ref *object, struct rundown_completion **unrun);

// Marks a drained object run down; doing it twice is no error. RUNDOWN_STATUS_WRONG_STATE if it is
// open or draining. Any context.
RUNDOWN_MUST_USE enum rundown_status rundown_complete(struct rundown *object);
RUNDOWN_MUST_USE enum rundown_status rundown_ref_complete(struct rundown_ref *object);

// Opens a drained object again: rundown_reinit if it was completed or not, rundown_open only if it
// was completed or born closed. Else RUNDOWN_STATUS_WRONG_STATE. All that the caller did happens
// before every protection granted from then on. The generation that begins is in `*generation`
// (which may be NULL, and is left alone after an error), for rundown_wait_generation. Any context.
RUNDOWN_MUST_USE enum rundown_status rundown_reinit(struct rundown *object, uint64_t *generation);
RUNDOWN_MUST_USE enum rundown_status
rundown_ref_reinit(struct rundown_ref *object, uint64_t *generation);
RUNDOWN_MUST_USE enum rundown_status rundown_open(struct rundown *object, uint64_t *generation);
RUNDOWN_MUST_USE enum rundown_status
rundown_ref_open(struct rundown_ref *object, uint64_t *generation);

// A snapshot of the object's state. Any context.
enum rundown_state rundown_get_state(const struct rundown *object);
enum rundown_state rundown_ref_get_state(const struct rundown_ref *object);

// The generation that the object is in: 0 at first, and another one whenever a drained object is
// opened. It stays the same while the caller holds protection. They wrap: after 2^28 in the plain
// variant, after 2^40 in the cache-aware one. Any context.
uint64_t rundown_get_generation(const struct rundown *object);
uint64_t rundown_ref_get_generation(const struct rundown_ref *object);

// Whether the object is closed and nothing is held. True stays true until it is opened again, and
// all work under protection happens before it. Any context.
bool rundown_is_drained(const struct rundown *object);
bool rundown_ref_is_drained(const struct rundown_ref *object);

// How many protections are held: exact while nothing is acquired or released, else a guess that may
// be negative. Any context.
int64_t rundown_racy_held(const struct rundown *object);
int64_t rundown_ref_racy_held(const struct rundown_ref *object);

// Puts the net count of each slot into `counts`, as many as there are slots and room, and returns
// the number of slots, which is 1 in the plain variant. Single counts may be negative; while the
// object drains, they go on. Racy. Any context.
size_t rundown_racy_counts(const struct rundown *object, int64_t *counts, size_t room);
size_t rundown_ref_racy_counts(const struct rundown_ref *object, int64_t *counts, size_t room);

// The capacity: beyond it, acquires return RUNDOWN_STATUS_FULL. Cache-aware: more on a slot than
// were released there, 2^59 by the number of slots, rounded up to a power of two. Plain: held at
// once, 4194303. Any context.
uint64_t rundown_capacity(const struct rundown *object);
uint64_t rundown_ref_capacity(const struct rundown_ref *object);

// Puts what is held into `holders`, an entry for each acquire that is not released as a whole, as
// many as there are and as there is room for; returns how many there are. Always 0 if the library
// was built without feature `diagnosis`. Racy. Any context.
size_t rundown_racy_holders(const struct rundown *object,
                            struct rundown_holder *holders, size_t room);
size_t rundown_ref_racy_holders(const struct rundown_ref *object,
                                struct rundown_holder *holders, size_t room);

#ifdef __cplusplus
}
#endif

#endif
