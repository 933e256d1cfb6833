/* A driver with the very mistake that rundown protection is for: it uses the object after it has
 * released it. ThreadSanitizer must find it, or its silence about stress.c means nothing. */
#include "variant.h"

static int value;

/* The order of the two, so that the mistake happens in every run. Relaxed: it orders the steps in time, and
 * ThreadSanitizer must not take it for synchronisation. */
static int stage;
enum { STARTED, RELEASED, TORN_DOWN };

static void enter(int next)
{
    __atomic_store_n(&stage, next, __ATOMIC_RELAXED);
}

static void wait_for(int wanted)
{
    while (__atomic_load_n(&stage, __ATOMIC_RELAXED) != wanted)
        sched_yield();
}

static void *user(void *object)
{
    int seen;
    CHECK(CALL(try_acquire)((OBJECT *)object));
    seen = value;
    CALL(release)((OBJECT *)object);
    enter(RELEASED);
    wait_for(TORN_DOWN);
    seen += value;
    return seen < 0 ? object : NULL;
}

CASE(use_after_release)
{
    OBJECT *object = start_with_object();
    pthread_t thread = host_spawn(user, object);
    wait_for(RELEASED);
    EQUAL(CALL(wait)(object), RUNDOWN_STATUS_OK);
    value++;
    enter(TORN_DOWN);
    host_join(thread);
}
