/* What the last release calls: close_then; and protection that a holder takes on top. */
#include "variant.h"

/* Counts its calls in an int. */
static void count(void *context)
{
    __atomic_add_fetch((int *)context, 1, __ATOMIC_RELEASE);
}

static int runs;
static struct rundown_completion completion = RUNDOWN_COMPLETION(count, &runs);

CASE(the_last_release_runs_it_once)
{
    OBJECT *object = start_with_object();
    CHECK(CALL(try_acquire_many)(object, 3));
    EQUAL(CALL(close_then)(object, &completion), RUNDOWN_STATUS_OK);
    CHECK(!CALL(try_acquire)(object));
    host_cpu = 1;
    CALL(release)(object);
    CALL(release)(object);
    EQUAL(runs, 0);
    EQUAL(CALL(get_state)(object), RUNDOWN_STATE_DRAINING);
    CALL(release)(object);
    EQUAL(runs, 1);
    EQUAL(CALL(get_state)(object), RUNDOWN_STATE_DRAINED);
    EQUAL(CALL(wait)(object), RUNDOWN_STATUS_OK);
    EQUAL(runs, 1);
    EQUAL(host.misused, 0);
}

CASE(the_close_runs_it_if_nothing_is_held)
{
    OBJECT *object = new_object(false);
    CHECK(CALL(try_acquire)(object));
    CALL(release)(object);
    EQUAL(CALL(close_then)(object, &completion), RUNDOWN_STATUS_OK);
    EQUAL(runs, 1);
    EQUAL(CALL(complete)(object), RUNDOWN_STATUS_OK);
}

CASE(one_completion_at_a_time)
{
    int others = 0;
    struct rundown_completion other = RUNDOWN_COMPLETION(count, &others);
    OBJECT *object = new_object(false);
    CHECK(CALL(try_acquire)(object));
    EQUAL(CALL(close_then)(object, &completion), RUNDOWN_STATUS_OK);
    EQUAL(CALL(close_then)(object, &other), RUNDOWN_STATUS_OCCUPIED);
    CALL(release)(object);
    EQUAL(runs, 1);
    EQUAL(others, 0);
}

CASE(no_completion_for_what_has_drained)
{
    OBJECT *object = new_object(false);
    EQUAL(CALL(close)(object), RUNDOWN_STATUS_OK);
    EQUAL(CALL(close_then)(object, &completion), RUNDOWN_STATUS_WRONG_STATE);
    EQUAL(CALL(complete)(object), RUNDOWN_STATUS_OK);
    EQUAL(CALL(close_then)(object, &completion), RUNDOWN_STATUS_WRONG_STATE);
    EQUAL(runs, 0);
    /* The refused one has left nothing behind. */
    EQUAL(CALL(reinit)(object, NULL), RUNDOWN_STATUS_OK);
    EQUAL(CALL(close_then)(object, &completion), RUNDOWN_STATUS_OK);
    EQUAL(runs, 1);
}

CASE(a_cancel_gives_it_back)
{
    struct rundown_completion *unrun = NULL;
    OBJECT *object = new_object(false);
    CHECK(CALL(try_acquire)(object));
    EQUAL(CALL(close_then)(object, &completion), RUNDOWN_STATUS_OK);
    EQUAL(CALL(cancel)(object, &unrun), RUNDOWN_STATUS_OK);
    CHECK(unrun == &completion);
    CHECK(unrun->run == count && unrun->context == &runs);
    EQUAL(runs, 0);
    /* It can be left again. */
    EQUAL(CALL(close_then)(object, unrun), RUNDOWN_STATUS_OK);
    CALL(release)(object);
    EQUAL(runs, 1);
}

CASE(a_cancel_of_a_drain_without_one_gives_null)
{
    struct rundown_completion *unrun = &completion;
    OBJECT *object = new_object(false);
    EQUAL(CALL(cancel)(object, &unrun), RUNDOWN_STATUS_WRONG_STATE);
    CHECK(unrun == NULL);
    CHECK(CALL(try_acquire)(object));
    EQUAL(CALL(close)(object), RUNDOWN_STATUS_OK);
    unrun = &completion;
    EQUAL(CALL(cancel)(object, &unrun), RUNDOWN_STATUS_OK);
    CHECK(unrun == NULL);
    CALL(release)(object);
}

/* The object, the completion and what they guard in one piece of memory, which the call frees. */
struct device {
    __attribute__((aligned(RUNDOWN_ALIGNMENT))) char rundown[OBJECT_SIZE];
    struct rundown_completion gone;
};

static int devices_gone;

static void device_gone(void *context)
{
    struct device *device = (struct device *)context;
    EQUAL(CALL(get_state)((OBJECT *)(void *)device->rundown), RUNDOWN_STATE_DRAINED);
    memset(device, 0x5A, sizeof *device);
    free(device);
    devices_gone++;
}

CASE(it_may_free_the_object_and_itself)
{
    host_start();
    for (uint32_t held = 0; held < 3; held++) {
        struct device *device = (struct device *)aligned_alloc(RUNDOWN_ALIGNMENT, sizeof *device);
        OBJECT *object = place_object(device->rundown, false);
        device->gone.run = device_gone;
        device->gone.context = device;
        CHECK(CALL(try_acquire_many)(object, held));
        EQUAL(CALL(close_then)(object, &device->gone), RUNDOWN_STATUS_OK);
        for (uint32_t i = 0; i < held; i++) {
            EQUAL(devices_gone, (int)held);
            CALL(release)(object);
        }
        EQUAL(devices_gone, (int)held + 1);
    }
    EQUAL(host.misused, 0);
}

/* ---- A holder takes more ---- */

CASE(a_holder_takes_more_while_it_drains)
{
    int64_t held = 0;
    OBJECT *object = start_with_object();
    CHECK(CALL(try_acquire)(object));
    EQUAL(CALL(close)(object), RUNDOWN_STATUS_OK);
    EQUAL(CALL(acquire)(object), RUNDOWN_STATUS_CLOSED);
    host_cpu = 2;
    EQUAL(CALL(acquire_held)(object), RUNDOWN_STATUS_OK);
    EQUAL(CALL(try_wait)(object, &held), RUNDOWN_STATUS_OUTSTANDING);
    EQUAL(held, 2);
    /* With a completion left, too. */
    EQUAL(CALL(close_then)(object, &completion), RUNDOWN_STATUS_OK);
    EQUAL(CALL(acquire_held_many)(object, 2), RUNDOWN_STATUS_OK);
    CALL(release_many)(object, 3);
    EQUAL(runs, 0);
    CALL(release)(object);
    EQUAL(runs, 1);
    EQUAL(CALL(try_wait)(object, NULL), RUNDOWN_STATUS_OK);
    EQUAL(host.misused, 0);
}
