/* A platform of Windows' shape: it knows at which level a routine was called, and where it may block or
 * allocate. */
#ifndef LEVELS_H
#define LEVELS_H

#include <wdm.h>

#include "host.h"

static __thread KIRQL irql = PASSIVE_LEVEL;
/* The level at which the allocator was last called. */
static KIRQL allocator_irql = PASSIVE_LEVEL;

static void level_sleep(const struct rundown_waiting *waiting, bool (*ready)(void *), void *state)
{
    CHECK(irql <= APC_LEVEL);
    host_sleep(waiting, ready, state);
}

static void *level_allocate(size_t size, size_t alignment, uint32_t tag)
{
    CHECK(irql <= APC_LEVEL);
    allocator_irql = irql;
    return host_allocate(size, alignment, tag);
}

static void level_free(void *memory, size_t size)
{
    CHECK(irql <= APC_LEVEL);
    allocator_irql = irql;
    host_free(memory, size);
}

static inline void start(void)
{
    struct rundown_platform platform = host_platform();
    platform.sleep = level_sleep;
    platform.allocate = level_allocate;
    platform.free = level_free;
    host_lend(platform);
}

/* That the last routine was refused as an illegal call, and by its name. */
static inline void was_illegal(const char *routine)
{
    EQUAL(host.misused, 1);
    EQUAL(host.misuse.kind, RUNDOWN_MISUSE_KIND_ILLEGAL_CALL);
    CHECK(strstr(host.misuse_text, routine) != NULL);
    host.misused = 0;
}

#endif
