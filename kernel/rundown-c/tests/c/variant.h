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
    OBJECT *object = (OBJECT *)memory;
#if PLAIN
    (closed ? rundown_ref_init_closed : rundown_ref_init)(object);
#else
    EQUAL((closed ? rundown_init_closed : rundown_init)(memory, OBJECT_SIZE, HOST_CPUS, &object),
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

#endif
