/* Threads that use an object while it is torn down again and again. What the rundown guards is a plain
 * value, so ThreadSanitizer sees every use that the protocol does not order. */
#include "host.h"

#define USERS 3

/* What is protected. Freed and allocated anew in every life: a use after free would be found by its
 * value here, and by a sanitizer. */
struct thing {
    unsigned long life, check;
};

static struct thing *thing;
static struct rundown *by_cpu;
static struct rundown_ref by_word;
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
    const bool cache_aware = *(const bool *)argument;
    unsigned long grants = 0, refusals = 0;
    static size_t next;
    host_cpu = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        const uint32_t n = 1 + grants % 3;
        if (cache_aware ? rundown_try_acquire_many(by_cpu, n) : rundown_ref_try_acquire_many(&by_word, n)) {
            use();
            /* Sometimes released as if on another CPU. */
            host_cpu = (host_cpu + grants / 64) % HOST_CPUS;
            for (uint32_t i = 1; i < n; i++)
                cache_aware ? rundown_release(by_cpu) : rundown_ref_release(&by_word);
            use();
            cache_aware ? rundown_release(by_cpu) : rundown_ref_release(&by_word);
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
    return NULL;
}

/* One teardown: closes, waits in one of several ways, frees, and begins the next life. */
static void tear_down(bool cache_aware, unsigned long life)
{
    enum rundown_status status = RUNDOWN_STATUS_OK;
    switch (life % 4) {
    case 0:
        status = cache_aware ? rundown_wait(by_cpu) : rundown_ref_wait(&by_word);
        break;
    case 1:
        do
            status = cache_aware ? rundown_try_wait(by_cpu, NULL) : rundown_ref_try_wait(&by_word, NULL);
        while (status == RUNDOWN_STATUS_OUTSTANDING);
        break;
    case 2:
        do
            status = cache_aware ? rundown_wait_deadline(by_cpu, host_now() + 1000, NULL)
                                 : rundown_ref_wait_deadline(&by_word, host_now() + 1000, NULL);
        while (status == RUNDOWN_STATUS_OUTSTANDING);
        break;
    default:
        /* Changes its mind while it may be draining, then waits after all. */
        (void)(cache_aware ? rundown_close(by_cpu) : rundown_ref_close(&by_word));
        status = cache_aware ? rundown_cancel(by_cpu, NULL) : rundown_ref_cancel(&by_word, NULL);
        CHECK(status == RUNDOWN_STATUS_OK || status == RUNDOWN_STATUS_WRONG_STATE);
        status = cache_aware ? rundown_wait(by_cpu) : rundown_ref_wait(&by_word);
        break;
    }
    EQUAL(status, RUNDOWN_STATUS_OK);
    use();
    memset(thing, 0, sizeof *thing);
    free(thing);
    thing = new_thing(life);
    if (life % 8 < 4)
        EQUAL(cache_aware ? rundown_complete(by_cpu) : rundown_ref_complete(&by_word), RUNDOWN_STATUS_OK);
    EQUAL(cache_aware ? rundown_reinit(by_cpu) : rundown_ref_reinit(&by_word), RUNDOWN_STATUS_OK);
}

static bool all_had_their_turn(void)
{
    return __atomic_load_n(&users_granted, __ATOMIC_RELAXED) == USERS &&
           __atomic_load_n(&users_refused, __ATOMIC_RELAXED) == USERS;
}

static void storm(bool cache_aware)
{
    pthread_t threads[USERS];
    const uint64_t end = host_now() + 1000000000u;
    unsigned long life = 0;
    int64_t held;
    host_start();
    thing = new_thing(0);
    if (cache_aware)
        EQUAL(rundown_allocate(rundown_cpu_count(), 0, &by_cpu), RUNDOWN_STATUS_OK);
    else
        rundown_ref_init(&by_word);
    for (int i = 0; i < USERS; i++)
        threads[i] = host_spawn(user, &cache_aware);
    while (life < 2000 || host_now() < end || !all_had_their_turn())
        tear_down(cache_aware, ++life);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < USERS; i++)
        host_join(threads[i]);
    held = cache_aware ? rundown_racy_held(by_cpu) : rundown_ref_racy_held(&by_word);
    EQUAL(held, 0);
    EQUAL(host.misused, 0);
    printf("%lu lives, %lu granted, %lu refused, slept %d times\n", life, granted, refused, host.slept);
    if (cache_aware) {
        EQUAL(rundown_wait(by_cpu), RUNDOWN_STATUS_OK);
        EQUAL(rundown_free(by_cpu), RUNDOWN_STATUS_OK);
    }
    free(thing);
}

CASE(use_against_teardown_cache_aware)
{
    storm(true);
}

CASE(use_against_teardown_plain)
{
    storm(false);
}

/* The rundown object itself is freed by the waiter, the moment its wait returns: the last release must
 * not touch it after that (S3). host_free fills it with nonsense first. */
static void *release_once(void *argument)
{
    rundown_release((struct rundown *)argument);
    return NULL;
}

CASE(the_object_may_be_freed_when_the_wait_returns)
{
    host_start();
    for (int life = 0; life < 3000; life++) {
        struct rundown *object;
        pthread_t thread;
        EQUAL(rundown_allocate(2, 0, &object), RUNDOWN_STATUS_OK);
        CHECK(rundown_try_acquire(object));
        thread = host_spawn(release_once, object);
        if (life % 2)
            EQUAL(rundown_wait(object), RUNDOWN_STATUS_OK);
        else
            while (rundown_try_wait(object, NULL) != RUNDOWN_STATUS_OK) {
            }
        EQUAL(rundown_free(object), RUNDOWN_STATUS_OK);
        host_join(thread);
    }
    EQUAL(host.freed, 3000);
}

/* Waiters against cancels: each wait that has begun before a cancel ends by it, and no waiter sleeps on. */
static void *wait_for_the_cancel(void *argument)
{
    const bool cache_aware = *(const bool *)argument;
    EQUAL(cache_aware ? rundown_wait(by_cpu) : rundown_ref_wait(&by_word), RUNDOWN_STATUS_CANCELLED);
    return NULL;
}

static void cancel_storm(bool cache_aware)
{
    host_start();
    rundown_ref_init(&by_word);
    EQUAL(rundown_allocate(2, 0, &by_cpu), RUNDOWN_STATUS_OK);
    CHECK(cache_aware ? rundown_try_acquire(by_cpu) : rundown_ref_try_acquire(&by_word));
    for (int round = 0; round < 2000; round++) {
        const int before = __atomic_load_n(&host.slept, __ATOMIC_RELAXED);
        pthread_t first = host_spawn(wait_for_the_cancel, &cache_aware);
        pthread_t second = host_spawn(wait_for_the_cancel, &cache_aware);
        /* Both have begun, and are somewhere on their way to sleep. */
        while (__atomic_load_n(&host.slept, __ATOMIC_RELAXED) != before + 2)
            sched_yield();
        EQUAL(cache_aware ? rundown_cancel(by_cpu, NULL) : rundown_ref_cancel(&by_word, NULL), RUNDOWN_STATUS_OK);
        host_join(first);
        host_join(second);
    }
    EQUAL(cache_aware ? rundown_racy_held(by_cpu) : rundown_ref_racy_held(&by_word), 1);
    EQUAL(host.misused, 0);
}

CASE(waiters_against_cancels_cache_aware)
{
    cancel_storm(true);
}

CASE(waiters_against_cancels_plain)
{
    cancel_storm(false);
}

/* The last release, on whichever thread, ends a life and begins the next: it frees what is guarded, and opens
 * the object again. No wait at all. */
static unsigned long lives;

static void next_life(void *argument)
{
    const bool cache_aware = *(const bool *)argument;
    use();
    memset(thing, 0, sizeof *thing);
    free(thing);
    thing = new_thing(lives);
    /* The owner looks for this one before it comes again. */
    EQUAL(cache_aware ? rundown_reinit(by_cpu) : rundown_ref_reinit(&by_word), RUNDOWN_STATUS_OK);
    __atomic_add_fetch(&lives, 1, __ATOMIC_RELEASE);
}

static void completion_storm(bool cache_aware)
{
    pthread_t threads[USERS];
    struct rundown_completion completion = RUNDOWN_COMPLETION(next_life, &cache_aware);
    host_start();
    thing = new_thing(0);
    rundown_ref_init(&by_word);
    EQUAL(rundown_allocate(rundown_cpu_count(), 0, &by_cpu), RUNDOWN_STATUS_OK);
    for (int i = 0; i < USERS; i++)
        threads[i] = host_spawn(user, &cache_aware);
    for (unsigned long life = 1; life <= 2000 || !all_had_their_turn(); life++) {
        struct rundown_completion *unrun = NULL;
        EQUAL(cache_aware ? rundown_close_then(by_cpu, &completion) : rundown_ref_close_then(&by_word, &completion),
              RUNDOWN_STATUS_OK);
        /* Now and then the owner changes its mind, if it is not too late. */
        if (life % 4 == 0 && (cache_aware ? rundown_cancel(by_cpu, &unrun) : rundown_ref_cancel(&by_word, &unrun)) ==
                                 RUNDOWN_STATUS_OK) {
            CHECK(unrun == &completion);
            __atomic_add_fetch(&lives, 1, __ATOMIC_RELAXED);
        }
        while (__atomic_load_n(&lives, __ATOMIC_ACQUIRE) != life)
            sched_yield();
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < USERS; i++)
        host_join(threads[i]);
    EQUAL(cache_aware ? rundown_racy_held(by_cpu) : rundown_ref_racy_held(&by_word), 0);
    EQUAL(host.misused, 0);
    free(thing);
}

CASE(completions_against_releases_cache_aware)
{
    completion_storm(true);
}

CASE(completions_against_releases_plain)
{
    completion_storm(false);
}
