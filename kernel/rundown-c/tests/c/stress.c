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

/* One teardown: closes, waits in one of several ways, frees, and begins the next life. */
static void tear_down(unsigned long life)
{
    enum rundown_status status = RUNDOWN_STATUS_OK;
    switch (life % 4) {
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
    default:
        /* Changes its mind while it may be draining, then waits after all. */
        (void)CALL(close)(object);
        status = CALL(cancel)(object, NULL);
        CHECK(status == RUNDOWN_STATUS_OK || status == RUNDOWN_STATUS_WRONG_STATE);
        status = CALL(wait)(object);
        break;
    }
    EQUAL(status, RUNDOWN_STATUS_OK);
    use();
    memset(thing, 0, sizeof *thing);
    free(thing);
    thing = new_thing(life);
    if (life % 8 < 4)
        EQUAL(CALL(complete)(object), RUNDOWN_STATUS_OK);
    EQUAL(CALL(reinit)(object, NULL), RUNDOWN_STATUS_OK);
}

static bool all_had_their_turn(void)
{
    return __atomic_load_n(&users_granted, __ATOMIC_RELAXED) == USERS &&
           __atomic_load_n(&users_refused, __ATOMIC_RELAXED) == USERS;
}

/* Starts the users of a new object, which run until they are stopped. */
static void start_users(pthread_t threads[USERS])
{
    object = start_with_object();
    thing = new_thing(0);
    for (int i = 0; i < USERS; i++)
        threads[i] = host_spawn(user, NULL);
}

static void stop_users(pthread_t threads[USERS])
{
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < USERS; i++)
        host_join(threads[i]);
    EQUAL(CALL(racy_held)(object), 0);
    EQUAL(host.misused, 0);
    free(thing);
}

CASE(use_against_teardown)
{
    pthread_t threads[USERS];
    const uint64_t end = host_now() + 1000000000u;
    unsigned long life = 0;
    start_users(threads);
    while (life < 2000 || host_now() < end || !all_had_their_turn())
        tear_down(++life);
    stop_users(threads);
    printf("%lu lives, %lu granted, %lu refused, slept %d times\n", life, granted, refused, host.slept);
}

/* The rundown object itself is freed by the waiter, the moment its wait returns: the last release must
 * not touch it after that (S3). It is filled with nonsense first. */
static void *release_once(void *argument)
{
    CALL(release)((OBJECT *)argument);
    return NULL;
}

CASE(the_object_may_be_freed_when_the_wait_returns)
{
    host_start();
    for (int life = 0; life < 3000; life++) {
        void *memory = aligned_alloc(RUNDOWN_ALIGNMENT, RUNDOWN_SIZE(HOST_CPUS));
        OBJECT *own = place_object(memory, false);
        pthread_t thread;
        CHECK(CALL(try_acquire)(own));
        thread = host_spawn(release_once, own);
        if (life % 2)
            EQUAL(CALL(wait)(own), RUNDOWN_STATUS_OK);
        else
            while (CALL(try_wait)(own, NULL) != RUNDOWN_STATUS_OK) {
            }
        memset(memory, 0x5A, OBJECT_SIZE);
        free(memory);
        host_join(thread);
    }
    EQUAL(host.misused, 0);
}

/* Waiters against cancels: each wait that has begun before a cancel ends by it, and no waiter sleeps on. */
CASE(waiters_against_cancels)
{
    object = start_with_object();
    CHECK(CALL(try_acquire)(object));
    for (int round = 0; round < 2000; round++) {
        struct waiter first, second;
        /* Both have begun, and are somewhere on their way to sleep. */
        start_waiter(&first, object);
        start_waiter(&second, object);
        EQUAL(CALL(cancel)(object, NULL), RUNDOWN_STATUS_OK);
        EQUAL(join_waiter(&first), RUNDOWN_STATUS_CANCELLED);
        EQUAL(join_waiter(&second), RUNDOWN_STATUS_CANCELLED);
    }
    EQUAL(CALL(get_state)(object), RUNDOWN_STATE_OPEN);
    EQUAL(CALL(racy_held)(object), 1);
    CHECK(CALL(try_acquire)(object));
    CALL(release_many)(object, 2);
    EQUAL(CALL(wait)(object), RUNDOWN_STATUS_OK);
    EQUAL(host.misused, 0);
}

/* The last release, on whichever thread, ends a life and begins the next: it frees what is guarded, and opens
 * the object again. No wait at all. */
static unsigned long lives;

static void next_life(void *context)
{
    (void)context;
    use();
    memset(thing, 0, sizeof *thing);
    free(thing);
    thing = new_thing(lives);
    /* The owner looks for this one before it comes again. */
    EQUAL(CALL(reinit)(object, NULL), RUNDOWN_STATUS_OK);
    __atomic_add_fetch(&lives, 1, __ATOMIC_RELEASE);
}

CASE(completions_against_releases)
{
    pthread_t threads[USERS];
    struct rundown_completion completion = RUNDOWN_COMPLETION(next_life, NULL);
    start_users(threads);
    for (unsigned long life = 1; life <= 2000 || !all_had_their_turn(); life++) {
        struct rundown_completion *unrun = NULL;
        EQUAL(CALL(close_then)(object, &completion), RUNDOWN_STATUS_OK);
        /* Now and then the owner changes its mind, if it is not too late. */
        if (life % 4 == 0 && CALL(cancel)(object, &unrun) == RUNDOWN_STATUS_OK) {
            CHECK(unrun == &completion);
            __atomic_add_fetch(&lives, 1, __ATOMIC_RELAXED);
        }
        while (__atomic_load_n(&lives, __ATOMIC_ACQUIRE) != life)
            sched_yield();
    }
    stop_users(threads);
}

/* An owner that waits for one generation, in a thread. */
struct late {
    OBJECT *object;
    uint64_t generation;
    enum rundown_status status;
};

static void *wait_for_a_generation(void *argument)
{
    struct late *late = (struct late *)argument;
    late->status = CALL(wait_generation)(late->object, late->generation);
    return NULL;
}

CASE(a_wait_for_a_generation_ends_by_the_last_release_or_a_cancel)
{
    OBJECT *object = start_with_object();
    struct late late = {object, 0, RUNDOWN_STATUS_OK};
    pthread_t thread;
    CHECK(CALL(try_acquire)(object));
    thread = host_spawn(wait_for_a_generation, &late);
    host_await_sleepers(1);
    CHECK(!CALL(try_acquire)(object));
    EQUAL(CALL(cancel)(object, NULL), RUNDOWN_STATUS_OK);
    host_join(thread);
    EQUAL(late.status, RUNDOWN_STATUS_CANCELLED);
    /* Still the same. */
    EQUAL(CALL(get_generation)(object), late.generation);
    thread = host_spawn(wait_for_a_generation, &late);
    host_await_sleepers(2);
    CALL(release)(object);
    host_join(thread);
    EQUAL(late.status, RUNDOWN_STATUS_OK);
}

/* Two owners, both of the same generation: the later one must not close what the earlier one has opened. */
CASE(of_two_owners_of_a_generation_one_opens_the_next)
{
    OBJECT *object = start_with_object();
    struct late late = {object, 0, RUNDOWN_STATUS_OK};
    int over = 0, drained = 0;
    for (int round = 0; round < 1000 || over == 0; round++) {
        uint64_t next;
        pthread_t thread = host_spawn(wait_for_a_generation, &late);
        /* Before the other one, at the same time, or after it. */
        for (int i = 0; i < round % 50; i++)
            sched_yield();
        EQUAL(CALL(wait_generation)(object, late.generation), RUNDOWN_STATUS_OK);
        EQUAL(CALL(reinit)(object, &next), RUNDOWN_STATUS_OK);
        host_join(thread);
        CHECK(late.status == RUNDOWN_STATUS_OK || late.status == RUNDOWN_STATUS_GENERATION_OVER);
        late.status == RUNDOWN_STATUS_OK ? drained++ : over++;
        EQUAL(CALL(get_state)(object), RUNDOWN_STATE_OPEN);
        EQUAL(CALL(get_generation)(object), next);
        late.generation = next;
    }
    printf("%d over, %d drained\n", over, drained);
}
