/* A driver with the very mistake that rundown protection is for: it uses the object after it has
 * released it. ThreadSanitizer must find it, or its silence about stress.c means nothing. */
#include "host.h"

#include <sched.h>

static struct rundown_ref by_word;
static struct rundown *by_cpu;
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

static bool acquire(bool cache_aware)
{
    return cache_aware ? rundown_try_acquire(by_cpu) : rundown_ref_try_acquire(&by_word);
}

static void release(bool cache_aware)
{
    cache_aware ? rundown_release(by_cpu) : rundown_ref_release(&by_word);
}

static void *user(void *argument)
{
    const bool cache_aware = *(const bool *)argument;
    int seen;
    CHECK(acquire(cache_aware));
    seen = value;
    release(cache_aware);
    enter(RELEASED);
    wait_for(TORN_DOWN);
    seen += value;
    return seen < 0 ? argument : NULL;
}

static void use_after_release(bool cache_aware)
{
    pthread_t thread;
    host_start();
    rundown_ref_init(&by_word);
    EQUAL(rundown_allocate(2, 0, &by_cpu), RUNDOWN_STATUS_OK);
    thread = host_spawn(user, &cache_aware);
    wait_for(RELEASED);
    EQUAL(cache_aware ? rundown_wait(by_cpu) : rundown_ref_wait(&by_word), RUNDOWN_STATUS_OK);
    value++;
    enter(TORN_DOWN);
    host_join(thread);
}

CASE(use_after_release_cache_aware)
{
    use_after_release(true);
}

CASE(use_after_release_plain)
{
    use_after_release(false);
}
