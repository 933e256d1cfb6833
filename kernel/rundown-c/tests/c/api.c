/* Every call on an object, and every error of it. */
#include "variant.h"

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
    EQUAL(CALL(racy_held)(object), 0);
    EQUAL(CALL(wait)(object), RUNDOWN_STATUS_OK);
    EQUAL(host.misused, 0);
}

CASE(closed_refuses_and_says_so)
{
    OBJECT *object = new_object(false);
    /* Of none: only asks. */
    CHECK(CALL(try_acquire_many)(object, 0));
    EQUAL(CALL(acquire_many)(object, 0), RUNDOWN_STATUS_OK);
    EQUAL(CALL(racy_held)(object), 0);
    EQUAL(CALL(close)(object), RUNDOWN_STATUS_OK);
    CHECK(!CALL(try_acquire)(object));
    EQUAL(CALL(acquire)(object), RUNDOWN_STATUS_CLOSED);
    for (uint32_t n = 0; n < 4; n++) {
        CHECK(!CALL(try_acquire_many)(object, n));
        EQUAL(CALL(acquire_many)(object, n), RUNDOWN_STATUS_CLOSED);
    }
    EQUAL(CALL(racy_held)(object), 0);
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
    EQUAL(CALL(racy_held)(object), 3);
    CALL(release_many)(object, 3);
    EQUAL(CALL(wait)(object), RUNDOWN_STATUS_OK);
}

/* The steps of an owner that are legal in some states only. */
enum { CLOSE, CANCEL, COMPLETE, REINIT, OPEN, STEPS };

static enum rundown_status take_step(OBJECT *object, int step)
{
    switch (step) {
    case CLOSE:
        return CALL(close)(object);
    case CANCEL:
        return CALL(cancel)(object, NULL);
    case COMPLETE:
        return CALL(complete)(object);
    case REINIT:
        return CALL(reinit)(object, NULL);
    default:
        return CALL(open)(object, NULL);
    }
}

static OBJECT *brought_to(enum rundown_state state)
{
    OBJECT *object = new_object(false);
    if (state == RUNDOWN_STATE_DRAINING)
        CHECK(CALL(try_acquire)(object));
    if (state != RUNDOWN_STATE_OPEN)
        EQUAL(CALL(close)(object), RUNDOWN_STATUS_OK);
    if (state == RUNDOWN_STATE_RUN_DOWN)
        EQUAL(CALL(complete)(object), RUNDOWN_STATUS_OK);
    EQUAL(CALL(get_state)(object), state);
    EQUAL(CALL(is_drained)(object), state == RUNDOWN_STATE_DRAINED || state == RUNDOWN_STATE_RUN_DOWN);
    return object;
}

CASE(each_step_in_each_state)
{
    const enum rundown_status ok = RUNDOWN_STATUS_OK, wrong = RUNDOWN_STATUS_WRONG_STATE;
    const enum rundown_status closed = RUNDOWN_STATUS_ALREADY_CLOSED;
    const struct {
        enum rundown_state from;
        enum rundown_status answers[STEPS];
    } rows[] = {
        {RUNDOWN_STATE_OPEN, {ok, wrong, wrong, wrong, wrong}},
        {RUNDOWN_STATE_DRAINING, {closed, ok, wrong, wrong, wrong}},
        {RUNDOWN_STATE_DRAINED, {closed, wrong, ok, ok, wrong}},
        {RUNDOWN_STATE_RUN_DOWN, {closed, wrong, ok, ok, ok}},
    };
    const enum rundown_state leads_to[STEPS] = {RUNDOWN_STATE_DRAINED, RUNDOWN_STATE_OPEN,
                                                RUNDOWN_STATE_RUN_DOWN, RUNDOWN_STATE_OPEN,
                                                RUNDOWN_STATE_OPEN};
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++)
        for (int step = 0; step < STEPS; step++) {
            const enum rundown_status answer = rows[row].answers[step];
            OBJECT *object = brought_to(rows[row].from);
            EQUAL(take_step(object, step), answer);
            /* What is not legal changes nothing. */
            EQUAL(CALL(get_state)(object), answer == ok ? leads_to[step] : rows[row].from);
        }
}

CASE(try_wait_closes_and_never_waits)
{
    int64_t held = -1;
    OBJECT *object = new_object(false);
    CHECK(CALL(try_acquire_many)(object, 2));
    EQUAL(CALL(try_wait)(object, &held), RUNDOWN_STATUS_OUTSTANDING);
    EQUAL(held, 2);
    CHECK(!CALL(try_acquire)(object));
    EQUAL(CALL(try_wait)(object, NULL), RUNDOWN_STATUS_OUTSTANDING);
    CALL(release_many)(object, 2);
    EQUAL(CALL(try_wait)(object, &held), RUNDOWN_STATUS_OK);
    EQUAL(held, 0);
    EQUAL(CALL(try_wait)(object, NULL), RUNDOWN_STATUS_OK);
}

CASE(all_waiters_return_after_the_last_release)
{
    struct waiter waiters[4];
    OBJECT *object = start_with_object();
    CHECK(CALL(try_acquire_many)(object, 2));
    for (int i = 0; i < 4; i++)
        start_waiter(&waiters[i], object);
    CALL(release)(object);
    host_linger();
    for (int i = 0; i < 4; i++)
        CHECK(!__atomic_load_n(&waiters[i].done, __ATOMIC_ACQUIRE));
    CALL(release)(object);
    for (int i = 0; i < 4; i++)
        EQUAL(join_waiter(&waiters[i]), RUNDOWN_STATUS_OK);
    CHECK(host.slept > 0 && host.woken > 0);
    EQUAL(CALL(wait)(object), RUNDOWN_STATUS_OK);
}

CASE(wait_with_a_deadline)
{
    int64_t held = -1;
    uint64_t before;
    OBJECT *object = start_with_object();
    CHECK(CALL(try_acquire_many)(object, 3));
    before = host_now();
    EQUAL(CALL(wait_deadline)(object, before + 5000000, &held), RUNDOWN_STATUS_OUTSTANDING);
    CHECK(host_now() - before >= 5000000);
    EQUAL(held, 3);
    EQUAL(CALL(wait_deadline)(object, 0, NULL), RUNDOWN_STATUS_OUTSTANDING);
    EQUAL(CALL(get_state)(object), RUNDOWN_STATE_DRAINING);
    CALL(release_many)(object, 3);
    EQUAL(CALL(wait_deadline)(object, 0, &held), RUNDOWN_STATUS_OK);
    EQUAL(held, 0);
}

CASE(wait_with_a_deadline_without_a_clock)
{
    struct rundown_platform platform = host_platform();
    int64_t held = 7;
    OBJECT *object;
    platform.now = NULL;
    host_lend(platform);
    object = new_object(false);
    EQUAL(CALL(wait_deadline)(object, 1, &held), RUNDOWN_STATUS_NO_CLOCK);
    EQUAL(held, 7);
    EQUAL(CALL(get_state)(object), RUNDOWN_STATE_OPEN);
}

/* ---- One generation ---- */

CASE(what_opens_an_object_says_which_generation_begins)
{
    uint64_t first = 77, second = 77;
    OBJECT *object = new_object(true);
    EQUAL(CALL(get_state)(object), RUNDOWN_STATE_RUN_DOWN);
    CHECK(!CALL(try_acquire)(object));
    EQUAL(CALL(get_generation)(object), 0);
    EQUAL(CALL(reinit)(object, &first), RUNDOWN_STATUS_OK);
    EQUAL(CALL(get_generation)(object), first);
    EQUAL(CALL(open)(object, &second), RUNDOWN_STATUS_WRONG_STATE);
    EQUAL(CALL(reinit)(object, &second), RUNDOWN_STATUS_WRONG_STATE);
    EQUAL(second, 77);
    EQUAL(CALL(wait)(object), RUNDOWN_STATUS_OK);
    EQUAL(CALL(complete)(object), RUNDOWN_STATUS_OK);
    EQUAL(CALL(get_generation)(object), first);
    EQUAL(CALL(open)(object, &second), RUNDOWN_STATUS_OK);
    EQUAL(CALL(get_generation)(object), second);
    CHECK(first != 0 && second != 0 && first != second);
}

CASE(a_late_wait_for_a_generation_leaves_the_next_one_alone)
{
    uint64_t first, second;
    OBJECT *object = new_object(true);
    EQUAL(CALL(open)(object, &first), RUNDOWN_STATUS_OK);
    EQUAL(CALL(wait_generation)(object, first), RUNDOWN_STATUS_OK);
    EQUAL(CALL(wait_generation)(object, first), RUNDOWN_STATUS_OK);
    EQUAL(CALL(complete)(object), RUNDOWN_STATUS_OK);
    EQUAL(CALL(wait_generation)(object, first), RUNDOWN_STATUS_OK);
    EQUAL(CALL(reinit)(object, &second), RUNDOWN_STATUS_OK);
    EQUAL(CALL(wait_generation)(object, first), RUNDOWN_STATUS_GENERATION_OVER);
    EQUAL(CALL(wait_generation)(object, UINT64_MAX), RUNDOWN_STATUS_GENERATION_OVER);
    CHECK(CALL(try_acquire)(object));
    /* Nor does it wait for the next one's users. */
    EQUAL(CALL(close)(object), RUNDOWN_STATUS_OK);
    EQUAL(CALL(wait_generation)(object, first), RUNDOWN_STATUS_GENERATION_OVER);
    CALL(release)(object);
    EQUAL(CALL(wait_generation)(object, second), RUNDOWN_STATUS_OK);
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
