/* The variant that a test is compiled for: a struct rundown_ref if PLAIN is 1, else a struct rundown. Its
 * calls are CALL(name). */
#ifndef VARIANT_H
#define VARIANT_H

#include "host.h"

#ifndef PLAIN
#define PLAIN 0
#endif

#if PLAIN
#define OBJECT struct rundown_ref
#define OBJECT_SIZE sizeof(struct rundown_ref)
#define CALL(name) rundown_ref_##name
#else
#define OBJECT struct rundown
#define OBJECT_SIZE RUNDOWN_SIZE(HOST_CPUS)
#define CALL(name) rundown_##name
#endif

/* Makes an object in memory of that size. */
static inline OBJECT *place_object(void *memory, bool closed)
{
#if PLAIN
    OBJECT *object = (OBJECT *)memory;
    if (closed)
        rundown_ref_init_closed(object);
    else
        rundown_ref_init(object);
#else
    OBJECT *object;
    EQUAL(closed ? rundown_init_closed(memory, OBJECT_SIZE, HOST_CPUS, &object)
                 : rundown_init(memory, OBJECT_SIZE, HOST_CPUS, &object),
          RUNDOWN_STATUS_OK);
#endif
    return object;
}

/* In static memory; one at a time. */
static inline OBJECT *new_object(bool closed)
{
    __attribute__((aligned(RUNDOWN_ALIGNMENT))) static char memory[OBJECT_SIZE];
    return place_object(memory, closed);
}

/* With the whole platform. */
static inline OBJECT *start_with_object(void)
{
    host_start();
    return new_object(false);
}

/* A thread that waits, and what its wait returned. */
struct waiter {
    OBJECT *object;
    pthread_t thread;
    int done;
    enum rundown_status status;
};

static inline void *wait_in_a_thread(void *argument)
{
    struct waiter *waiter = (struct waiter *)argument;
    waiter->status = CALL(wait)(waiter->object);
    __atomic_store_n(&waiter->done, 1, __ATOMIC_RELEASE);
    return NULL;
}

/* Returns when the waiter sleeps. */
static inline void start_waiter(struct waiter *waiter, OBJECT *object)
{
    const int before = __atomic_load_n(&host.slept, __ATOMIC_RELAXED);
    waiter->object = object;
    waiter->done = 0;
    waiter->thread = host_spawn(wait_in_a_thread, waiter);
    host_await_sleepers(before + 1);
}

static inline enum rundown_status join_waiter(struct waiter *waiter)
{
    host_join(waiter->thread);
    return waiter->status;
}

#endif
