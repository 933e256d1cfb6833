/* Every call on an object reaches it, with its arguments, and every answer of it comes back. */
#include "host.h"

CASE(acquire_and_release_in_other_portions)
{
    OBJECT *object = start_with_object();
    CHECK(CALL(try_acquire)(object));
    EQUAL(CALL(acquire)(object), RUNDOWN_STATUS_OK);
    CHECK(CALL(try_acquire_many)(object, 5));
    EQUAL(CALL(acquire_many)(object, 2), RUNDOWN_STATUS_OK);
    EQUAL(CALL(racy_held)(object), 9);
    CALL(release_many)(object, 8);
    CALL(release)(object);
    EQUAL(CALL(wait)(object), RUNDOWN_STATUS_OK);
    CHECK(!CALL(try_acquire)(object));
    EQUAL(CALL(acquire)(object), RUNDOWN_STATUS_CLOSED);
    CHECK(!CALL(try_acquire_many)(object, 2));
    EQUAL(CALL(acquire_many)(object, 2), RUNDOWN_STATUS_CLOSED);
    EQUAL(CALL(racy_held)(object), 0);
    EQUAL(host.misused, 0);
}

CASE(counts_are_per_cpu_and_may_be_negative)
{
    const size_t slots = PLAIN ? 1 : HOST_CPUS;
    int64_t counts[HOST_CPUS] = {77, 77, 77, 77};
    OBJECT *object = start_with_object();
    host_cpu = 1;
    CHECK(CALL(try_acquire_many)(object, 5));
    host_cpu = 3;
    CALL(release_many)(object, 2);
    /* No more than there is room for. */
    EQUAL(CALL(racy_counts)(object, NULL, 0), slots);
    EQUAL(CALL(racy_counts)(object, counts, 1), slots);
    EQUAL(counts[1], 77);
    EQUAL(CALL(racy_counts)(object, counts, HOST_CPUS), slots);
    EQUAL(counts[0], PLAIN ? 3 : 0);
    EQUAL(counts[1], PLAIN ? 77 : 5);
    EQUAL(counts[3], PLAIN ? 77 : -2);
}

static void stands(OBJECT *object, enum rundown_state state)
{
    EQUAL(CALL(get_state)(object), state);
    EQUAL(CALL(is_drained)(object), state == RUNDOWN_STATE_DRAINED || state == RUNDOWN_STATE_RUN_DOWN);
}

CASE(an_owners_steps)
{
    OBJECT *object = new_object(true);
    stands(object, RUNDOWN_STATE_RUN_DOWN);
    EQUAL(CALL(open)(object, NULL), RUNDOWN_STATUS_OK);
    EQUAL(CALL(cancel)(object, NULL), RUNDOWN_STATUS_WRONG_STATE);
    EQUAL(CALL(complete)(object), RUNDOWN_STATUS_WRONG_STATE);
    EQUAL(CALL(reinit)(object, NULL), RUNDOWN_STATUS_WRONG_STATE);
    stands(object, RUNDOWN_STATE_OPEN);
    CHECK(CALL(try_acquire)(object));
    EQUAL(CALL(close)(object), RUNDOWN_STATUS_OK);
    EQUAL(CALL(close)(object), RUNDOWN_STATUS_ALREADY_CLOSED);
    stands(object, RUNDOWN_STATE_DRAINING);
    CALL(release)(object);
    stands(object, RUNDOWN_STATE_DRAINED);
    EQUAL(CALL(open)(object, NULL), RUNDOWN_STATUS_WRONG_STATE);
    EQUAL(CALL(complete)(object), RUNDOWN_STATUS_OK);
    stands(object, RUNDOWN_STATE_RUN_DOWN);
    EQUAL(CALL(reinit)(object, NULL), RUNDOWN_STATUS_OK);
    stands(object, RUNDOWN_STATE_OPEN);
}

CASE(releasing_more_than_is_held_is_reported)
{
    OBJECT *object = start_with_object();
    CHECK(CALL(try_acquire)(object));
    CALL(release_many)(object, 3);
    /* Found at the latest now. */
    EQUAL(CALL(close)(object), RUNDOWN_STATUS_OK);
    EQUAL(host.misused, 1);
    EQUAL(host.misuse.kind, RUNDOWN_MISUSE_KIND_OVER_RELEASE);
    EQUAL(host.misuse.object, (uintptr_t)object);
    CHECK((int64_t)host.misuse.released > host.misuse.held);
    CHECK(strstr(host.misuse_text, "released") != NULL);
}

/* ---- Waits ---- */

CASE(waits_that_end_with_something_held)
{
    int64_t held = -1;
    OBJECT *object = start_with_object();
    const uint64_t before = host_now();
    CHECK(CALL(try_acquire_many)(object, 3));
    EQUAL(CALL(try_wait)(object, &held), RUNDOWN_STATUS_OUTSTANDING);
    EQUAL(held, 3);
    held = -1;
    EQUAL(CALL(wait_deadline)(object, before + 5000000, &held), RUNDOWN_STATUS_OUTSTANDING);
    CHECK(host_now() - before >= 5000000);
    EQUAL(held, 3);
    EQUAL(CALL(wait_deadline)(object, 0, NULL), RUNDOWN_STATUS_OUTSTANDING);
    CALL(release_many)(object, 3);
    EQUAL(CALL(try_wait)(object, NULL), RUNDOWN_STATUS_OK);
    EQUAL(CALL(wait_deadline)(object, 0, &held), RUNDOWN_STATUS_OK);
    EQUAL(held, 0);
}

CASE(wait_with_a_deadline_without_a_clock)
{
    struct rundown_platform platform = host_platform();
    int64_t held = 7;
    platform.now = NULL;
    host_lend(platform);
    OBJECT *object = new_object(false);
    EQUAL(CALL(wait_deadline)(object, 1, &held), RUNDOWN_STATUS_NO_CLOCK);
    EQUAL(held, 7);
    EQUAL(CALL(get_state)(object), RUNDOWN_STATE_OPEN);
}

/* Two threads that wait, one for the generation, and what their waits returned. */
static OBJECT *awaited;

static void *wait_for_any(void *status)
{
    *(enum rundown_status *)status = CALL(wait)(awaited);
    __atomic_add_fetch(&host.returned, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void *wait_for_this_one(void *status)
{
    *(enum rundown_status *)status = CALL(wait_generation)(awaited, CALL(get_generation)(awaited));
    __atomic_add_fetch(&host.returned, 1, __ATOMIC_RELEASE);
    return NULL;
}

CASE(waiters_sleep_until_a_cancel_or_the_last_release)
{
    awaited = start_with_object();
    CHECK(CALL(try_acquire)(awaited));
    for (int round = 1; round <= 2; round++) {
        enum rundown_status any, this_one;
        pthread_t first = host_spawn(wait_for_any, &any);
        pthread_t second = host_spawn(wait_for_this_one, &this_one);
        host_await_sleepers(2 * round);
        EQUAL(host_linger(), 2 * (round - 1));
        if (round == 1)
            EQUAL(CALL(cancel)(awaited, NULL), RUNDOWN_STATUS_OK);
        else
            CALL(release)(awaited);
        pthread_join(first, NULL);
        pthread_join(second, NULL);
        EQUAL(any, round == 1 ? RUNDOWN_STATUS_CANCELLED : RUNDOWN_STATUS_OK);
        EQUAL(this_one, any);
        CHECK(host.woken > 0);
    }
    EQUAL(host.misused, 0);
}

CASE(a_late_wait_for_a_generation_leaves_the_next_one_alone)
{
    uint64_t first = 77, second = 77;
    OBJECT *object = new_object(true);
    EQUAL(CALL(get_generation)(object), 0);
    EQUAL(CALL(open)(object, &first), RUNDOWN_STATUS_OK);
    EQUAL(CALL(get_generation)(object), first);
    EQUAL(CALL(open)(object, &second), RUNDOWN_STATUS_WRONG_STATE);
    EQUAL(second, 77);
    EQUAL(CALL(wait_generation)(object, first), RUNDOWN_STATUS_OK);
    EQUAL(CALL(reinit)(object, &second), RUNDOWN_STATUS_OK);
    EQUAL(CALL(get_generation)(object), second);
    CHECK(first != second);
    EQUAL(CALL(wait_generation)(object, first), RUNDOWN_STATUS_GENERATION_OVER);
    CHECK(CALL(try_acquire)(object));
}

/* ---- The call of the last release, and protection that a holder takes on top ---- */

/* Counts its calls in an int. */
static void count(void *context)
{
    ++*(int *)context;
}

static int runs;
static struct rundown_completion completion = RUNDOWN_COMPLETION(count, &runs);

CASE(the_last_release_runs_the_completion_once)
{
    int others = 0;
    struct rundown_completion other = RUNDOWN_COMPLETION(count, &others);
    OBJECT *object = start_with_object();
    CHECK(CALL(try_acquire)(object));
    EQUAL(CALL(close_then)(object, &completion), RUNDOWN_STATUS_OK);
    EQUAL(CALL(close_then)(object, &other), RUNDOWN_STATUS_OCCUPIED);
    host_cpu = 1;
    EQUAL(CALL(acquire_held)(object), RUNDOWN_STATUS_OK);
    EQUAL(CALL(acquire_held_many)(object, 2), RUNDOWN_STATUS_OK);
    CALL(release_many)(object, 3);
    EQUAL(runs, 0);
    CALL(release)(object);
    EQUAL(runs, 1);
    EQUAL(CALL(wait)(object), RUNDOWN_STATUS_OK);
    EQUAL(CALL(close_then)(object, &other), RUNDOWN_STATUS_WRONG_STATE);
    EQUAL(CALL(reinit)(object, NULL), RUNDOWN_STATUS_OK);
    /* Nothing is held: the close runs it. */
    EQUAL(CALL(close_then)(object, &completion), RUNDOWN_STATUS_OK);
    EQUAL(runs, 2);
    EQUAL(others + host.misused, 0);
}

CASE(a_cancel_gives_it_back)
{
    struct rundown_completion *unrun = &completion;
    OBJECT *object = new_object(false);
    EQUAL(CALL(cancel)(object, &unrun), RUNDOWN_STATUS_WRONG_STATE);
    CHECK(unrun == NULL);
    CHECK(CALL(try_acquire)(object));
    EQUAL(CALL(close_then)(object, &completion), RUNDOWN_STATUS_OK);
    EQUAL(CALL(cancel)(object, &unrun), RUNDOWN_STATUS_OK);
    CHECK(unrun == &completion && unrun->run == count && unrun->context == &runs);
    EQUAL(CALL(close)(object), RUNDOWN_STATUS_OK);
    EQUAL(CALL(cancel)(object, &unrun), RUNDOWN_STATUS_OK);
    CHECK(unrun == NULL);
    /* It can be left again. */
    EQUAL(CALL(close_then)(object, &completion), RUNDOWN_STATUS_OK);
    EQUAL(runs, 0);
    CALL(release)(object);
    EQUAL(runs, 1);
}
