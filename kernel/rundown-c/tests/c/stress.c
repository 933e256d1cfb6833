/* Threads that use an object while it is torn down again and again. What the rundown guards is freed and allocated
 * anew in every generation: a use after the free would be found by its value. */
#include "host.h"

#define USERS 3

struct thing {
    unsigned long generation, check;
};

static struct thing *thing;
static OBJECT *object;
static int stop, completed;
/* How many users were granted something, and how many refused: the storm goes on until each was. */
static int granted, refused;

static struct thing *new_thing(unsigned long generation)
{
    struct thing *made = (struct thing *)malloc(sizeof *made);
    CHECK(made != NULL);
    made->generation = generation;
    made->check = ~generation;
    return made;
}

static void use(void)
{
    CHECK(thing->check == ~thing->generation);
}

static void *user(void *argument)
{
    unsigned long grants = 0, refusals = 0;
    host_cpu = (size_t)argument;
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
                __atomic_add_fetch(&granted, 1, __ATOMIC_RELAXED);
        } else {
            if (refusals++ == 0)
                __atomic_add_fetch(&refused, 1, __ATOMIC_RELAXED);
            sched_yield();
        }
    }
    return NULL;
}

/* Ends what is guarded, and begins the next generation: after a wait, or as the last release's affair, on whichever
 * thread. */
static void next_generation(void *context)
{
    const unsigned long next = thing->generation + 1;
    use();
    memset(thing, 0, sizeof *thing);
    free(thing);
    thing = new_thing(next);
    EQUAL(CALL(reinit)(object, NULL), RUNDOWN_STATUS_OK);
    __atomic_store_n(&completed, 1, __ATOMIC_RELEASE);
    (void)context;
}

/* One teardown: closes, waits in one of several ways, and begins the next generation. */
static void tear_down(unsigned long round)
{
    static struct rundown_completion completion = RUNDOWN_COMPLETION(next_generation, NULL);
    struct rundown_completion *unrun = NULL;
    enum rundown_status status = RUNDOWN_STATUS_OUTSTANDING;
    switch (round % 4) {
    case 0:
        status = CALL(wait_generation)(object, CALL(get_generation)(object));
        break;
    case 1:
        while (status == RUNDOWN_STATUS_OUTSTANDING)
            status = CALL(wait_deadline)(object, host_now() + 1000, NULL);
        break;
    case 2:
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
        if (round % 8 == 3 && CALL(cancel)(object, &unrun) == RUNDOWN_STATUS_OK) {
            CHECK(unrun == &completion);
            return;
        }
        while (!__atomic_load_n(&completed, __ATOMIC_ACQUIRE))
            sched_yield();
        return;
    }
    EQUAL(status, RUNDOWN_STATUS_OK);
    next_generation(NULL);
}

CASE(use_against_teardown)
{
    pthread_t threads[USERS];
    object = start_with_object();
    thing = new_thing(0);
    for (size_t i = 0; i < USERS; i++)
        threads[i] = host_spawn(user, (void *)i);
    for (unsigned long round = 0;
         round < 2500 || __atomic_load_n(&granted, __ATOMIC_RELAXED) < USERS ||
         __atomic_load_n(&refused, __ATOMIC_RELAXED) < USERS;
         round++)
        tear_down(round);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < USERS; i++)
        pthread_join(threads[i], NULL);
    EQUAL(CALL(racy_held)(object), 0);
    EQUAL(host.misused, 0);
}
