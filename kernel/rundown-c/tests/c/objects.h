/* An object of each variant, in static memory; one at a time. */
#ifndef OBJECTS_H
#define OBJECTS_H

#include "host.h"

static inline struct rundown *new_cache_aware(bool closed)
{
    __attribute__((aligned(RUNDOWN_ALIGNMENT))) static char memory[RUNDOWN_SIZE(HOST_CPUS)];
    struct rundown *object;
    enum rundown_status status =
        closed ? rundown_init_closed(memory, sizeof memory, HOST_CPUS, &object)
               : rundown_init(memory, sizeof memory, HOST_CPUS, &object);
    EQUAL(status, RUNDOWN_STATUS_OK);
    return object;
}

static inline struct rundown_ref *new_plain(bool closed)
{
    static struct rundown_ref object;
    if (closed)
        rundown_ref_init_closed(&object);
    else
        rundown_ref_init(&object);
    return &object;
}

#endif
