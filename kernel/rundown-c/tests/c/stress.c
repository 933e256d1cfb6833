/* Threads that use an object while it is torn down again and again. What the rundown guards is a plain
 * value, so ThreadSanitizer sees every use that the protocol does not order. */
#include "variant.h"

#define USERS 3

/* What is protected. Freed and allocated anew in every life: a use after free would be found by its
 * value here, and by a sanitizer. */
struct thing {
    unsigned long life, check;
};

static struct thing *thing;
static OBJECT *object;
static int stop;
static unsigned long granted, refused;
/* How many users were granted something, and how many refused: the storm goes on until each was. */
static int users_granted, users_refused;

static struct thing *new_thing(unsigned long life)
{
    struct thing *made = (struct thing *)malloc(sizeof *made);
    CHECK(made != NULL);
    made->life = life;
    made->check = ~life;
    return made;
}

static void use(void)
{
    CHECK(thing->check == ~thing->life);
}

static void *user(void *argument)
{
    unsigned long grants = 0, refusals = 0;
    static size_t next;
    host_cpu = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        const uint32_t n = 1 + grants % 3;
        if (CALL(try_acquire_many)(object, n)) {
            use();
            /* Sometimes released as if on another CPU. */
            host_cpu = (host_cpu + grants / 64) % HOST_CPUS;
            for (uint32_t i = 1; i < n; i++)
                CALL(release)(object);
            use();
            CALL(release)(object);
            if (grants++ == 0)
                __atomic_add_fetch(&users_granted, 1, __ATOMIC_RELAXED);
        } else {
            if (refusals++ == 0)
                __atomic_add_fetch(&users_refused, 1, __ATOMIC_RELAXED);
            sched_yield();
        }
    }
    __atomic_add_fetch(&granted, grants, __ATOMIC_RELAXED);
    __atomic_add_fetch(&refused, refusals, __ATOMIC_RELAXED);
    return argument;
}

/* Ends what is guarded, and begins the next life. */
static void next_life(void)
{
    const unsigned long life = thing->life + 1;
    use();
    memset(thing, 0, sizeof *thing);
    free(thing);
    thing = new_thing(life);
    EQUAL(CALL(reinit)(object, NULL), RUNDOWN_STATUS_OK);
}

/* The same as the last release's affair, on whichever thread. */
static int completed;

static void complete(void *context)
{
    (void)context;
    next_life();
    __atomic_store_n(&completed, 1, __ATOMIC_RELEASE);
}

/* One teardown: closes, waits in one of several ways, frees, and begins the next life. */
static void tear_down(unsigned long life)
{
    static struct rundown_completion completion = RUNDOWN_COMPLETION(complete, NULL);
    struct rundown_completion *unrun = NULL;
    enum rundown_status status = RUNDOWN_STATUS_OK;
    switch (life % 5) {
    case 0:
        status = CALL(wait_generation)(object, CALL(get_generation)(object));
        break;
    case 1:
        do
            status = CALL(try_wait)(object, NULL);
        while (status == RUNDOWN_STATUS_OUTSTANDING);
        break;
    case 2:
        do
            status = CALL(wait_deadline)(object, host_now() + 1000, NULL);
        while (status == RUNDOWN_STATUS_OUTSTANDING);
        break;
    case 3:
        /* Changes its mind while it may be draining, then waits after all. */
        (void)CALL(close)(object);
        status = CALL(cancel)(object, NULL);
        CHECK(status == RUNDOWN_STATUS_OK || status == RUNDOWN_STATUS_WRONG_STATE);
        status = CALL(wait)(object);
        break;
    default:
        /* Does not wait at all, and now and then changes its mind, if it is not too late. */
        completed = 0;
        EQUAL(CALL(close_then)(object, &completion), RUNDOWN_STATUS_OK);
        if (life % 4 == 0 && CALL(cancel)(object, &unrun) == RUNDOWN_STATUS_OK) {
            CHECK(unrun == &completion);
            return;
        }
        while (!__atomic_load_n(&completed, __ATOMIC_ACQUIRE))
            sched_yield();
        return;
    }
    EQUAL(status, RUNDOWN_STATUS_OK);
    if (life % 8 < 4)
        EQUAL(CALL(complete)(object), RUNDOWN_STATUS_OK);
    next_life();
}

static bool all_had_their_turn(void)
{
    return __atomic_load_n(&users_granted, __ATOMIC_RELAXED) == USERS &&
           __atomic_load_n(&users_refused, __ATOMIC_RELAXED) == USERS;
}

CASE(use_against_teardown)
{
    pthread_t threads[USERS];
    const uint64_t end = host_now() + 1000000000u;
    unsigned long life = 0;
    object = start_with_object();
    thing = new_thing(0);
    for (int i = 0; i < USERS; i++)
        threads[i] = host_spawn(user, NULL);
    while (life < 2500 || host_now() < end || !all_had_their_turn())
        tear_down(++life);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < USERS; i++)
        host_join(threads[i]);
    EQUAL(CALL(racy_held)(object), 0);
    EQUAL(host.misused, 0);
    free(thing);
    printf("%lu lives, %lu granted, %lu refused, slept %d times\n", life, granted, refused, host.slept);
}
