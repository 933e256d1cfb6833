/* What the last release calls: rundown_close_then, and protection that a holder takes on top. */
#include "objects.h"

#define KIND cache_aware
#define NEW new_cache_aware
#define OBJECT struct rundown
#define CALL(name) rundown_##name
#include "completion.inc"
#undef KIND
#undef NEW
#undef OBJECT
#undef CALL

#define KIND plain
#define NEW new_plain
#define OBJECT struct rundown_ref
#define CALL(name) rundown_ref_##name
#include "completion.inc"
#undef KIND
#undef NEW
#undef OBJECT
#undef CALL

/* ---- The object, the completion and what they guard in one piece of memory, freed by the call ---- */

struct device {
    struct rundown_completion gone;
    struct rundown_ref rundown;
    unsigned frames;
};

static int devices;

static void device_gone(void *context)
{
    struct device *device = (struct device *)context;
    EQUAL(rundown_ref_get_state(&device->rundown), RUNDOWN_STATE_DRAINED);
    memset(device, 0x5A, sizeof *device);
    free(device);
    devices--;
}

static struct device *new_device(void)
{
    struct device *device = (struct device *)calloc(1, sizeof *device);
    CHECK(device != NULL);
    rundown_ref_init(&device->rundown);
    device->gone.run = device_gone;
    device->gone.context = device;
    devices++;
    return device;
}

CASE(the_completion_frees_everything_from_the_last_release)
{
    struct device *device;
    host_start();
    device = new_device();
    EQUAL(rundown_ref_acquire_many(&device->rundown, 2), RUNDOWN_STATUS_OK);
    EQUAL(rundown_ref_close_then(&device->rundown, &device->gone), RUNDOWN_STATUS_OK);
    rundown_ref_release(&device->rundown);
    EQUAL(devices, 1);
    rundown_ref_release(&device->rundown);
    EQUAL(devices, 0);
}

CASE(the_completion_frees_everything_from_the_close)
{
    struct device *device;
    host_start();
    device = new_device();
    EQUAL(rundown_ref_close_then(&device->rundown, &device->gone), RUNDOWN_STATUS_OK);
    EQUAL(devices, 0);
}

/* An object of the platform's allocator goes back there. */
static void free_object(void *object)
{
    EQUAL(rundown_free((struct rundown *)object), RUNDOWN_STATUS_OK);
}

CASE(the_completion_may_give_the_object_back_to_the_allocator)
{
    static struct rundown_completion gone = RUNDOWN_COMPLETION(free_object, NULL);
    struct rundown *object;
    host_start();
    EQUAL(rundown_allocate(HOST_CPUS, 0, &object), RUNDOWN_STATUS_OK);
    gone.context = object;
    host_cpu = 1;
    CHECK(rundown_try_acquire(object));
    EQUAL(rundown_close_then(object, &gone), RUNDOWN_STATUS_OK);
    host_cpu = 2;
    rundown_release(object);
    EQUAL(host.freed, 1);
    EQUAL(host.misused, 0);
}
