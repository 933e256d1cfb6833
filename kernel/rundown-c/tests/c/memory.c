/* The memory of objects, and how much they can count. */
#include "host.h"

__attribute__((aligned(RUNDOWN_ALIGNMENT))) static char block[RUNDOWN_SIZE(4) + RUNDOWN_ALIGNMENT];

/* Left over from an earlier call. */
static struct rundown *const old = (struct rundown *)(void *)block;

static void block_is_untouched_from(size_t start)
{
    for (size_t i = start; i < sizeof block; i++)
        EQUAL(block[i], 0x11);
}

/* Neither of them makes an object there. */
static void refused(char *memory, size_t size, size_t slots, enum rundown_status status)
{
    struct rundown *object = old;
    EQUAL(rundown_init(memory, size, slots, &object), status);
    CHECK(object == NULL);
    object = old;
    EQUAL(rundown_init_closed(memory, size, slots, &object), status);
    CHECK(object == NULL);
    block_is_untouched_from(0);
}

CASE(init_keeps_to_memory_that_fits)
{
    struct rundown *object;
    memset(block, 0x11, sizeof block);
    refused(block + 1, RUNDOWN_SIZE(4), 4, RUNDOWN_STATUS_MISALIGNED);
    refused(block + 64, RUNDOWN_SIZE(4), 4, RUNDOWN_STATUS_MISALIGNED);
    refused(block, RUNDOWN_SIZE(4) - 1, 4, RUNDOWN_STATUS_TOO_SMALL);
    refused(NULL, RUNDOWN_SIZE(4), 4, RUNDOWN_STATUS_TOO_SMALL);
    refused(block, sizeof block, 0, RUNDOWN_STATUS_NO_SLOTS);
    refused(block, sizeof block, (size_t)-1, RUNDOWN_STATUS_TOO_MANY_SLOTS);
    EQUAL(rundown_init(block, RUNDOWN_SIZE(4), 4, &object), RUNDOWN_STATUS_OK);
    CHECK(object == old);
    EQUAL(rundown_wait(object), RUNDOWN_STATUS_OK);
    block_is_untouched_from(RUNDOWN_SIZE(4));
}

CASE(objects_can_be_full)
{
    static struct rundown_ref word = RUNDOWN_REF_OPEN, *plain = &word;
    struct rundown *object = new_object(false);
    EQUAL(rundown_ref_capacity(plain), 4194303);
    EQUAL(rundown_ref_acquire_many(plain, 4194303), RUNDOWN_STATUS_OK);
    EQUAL(rundown_ref_acquire(plain), RUNDOWN_STATUS_FULL);
    EQUAL(rundown_ref_acquire_held(plain), RUNDOWN_STATUS_FULL);
    EQUAL(rundown_capacity(object), (1ull << 59) / HOST_CPUS);
}

/* An object of the platform's allocator goes back there. */
static void free_object(void *object)
{
    EQUAL(rundown_free((struct rundown *)object), RUNDOWN_STATUS_OK);
}

CASE(allocate_and_free_also_in_the_completion)
{
    struct rundown_completion gone = RUNDOWN_COMPLETION(free_object, NULL);
    struct rundown *object;
    host_start();
    EQUAL(rundown_allocate(3, 0x1234, &object), RUNDOWN_STATUS_OK);
    EQUAL(host.size, RUNDOWN_SIZE(3));
    EQUAL(host.alignment, RUNDOWN_ALIGNMENT);
    EQUAL(host.tag, 0x1234);
    CHECK(rundown_try_acquire(object));
    EQUAL(rundown_free(object), RUNDOWN_STATUS_OUTSTANDING);
    gone.context = object;
    EQUAL(rundown_close_then(object, &gone), RUNDOWN_STATUS_OK);
    EQUAL(host.freed, 0);
    host_cpu = 2;
    rundown_release(object);
    EQUAL(host.allocated, 1);
    EQUAL(host.freed, 1);
    EQUAL(host.freed_size, RUNDOWN_SIZE(3));
}

/* First nothing, then memory that is half a pair of cache lines off. */
static void *bad_memory(size_t size, size_t alignment, uint32_t tag)
{
    (void)tag;
    CHECK(size + alignment / 2 <= sizeof block);
    return host.allocated++ == 0 ? NULL : block + alignment / 2;
}

static void take_bad_memory_back(void *memory, size_t size)
{
    CHECK(memory == block + RUNDOWN_ALIGNMENT / 2);
    EQUAL(size, RUNDOWN_SIZE(4));
    host.freed++;
}

CASE(allocate_fails_and_makes_nothing)
{
    const struct {
        size_t slots;
        enum rundown_status status;
        int allocated, freed;
    } rows[] = {
        {0, RUNDOWN_STATUS_NO_SLOTS, 0, 0},
        {(size_t)-1, RUNDOWN_STATUS_TOO_MANY_SLOTS, 0, 0},
        {1, RUNDOWN_STATUS_NO_MEMORY, 1, 0},
        {4, RUNDOWN_STATUS_MISALIGNED, 2, 1},
    };
    struct rundown_platform platform = host_platform();
    platform.allocate = bad_memory;
    platform.free = take_bad_memory_back;
    host_lend(platform);
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        struct rundown *object = old;
        EQUAL(rundown_allocate(rows[row].slots, 0, &object), rows[row].status);
        CHECK(object == NULL);
        EQUAL(host.allocated, rows[row].allocated);
        EQUAL(host.freed, rows[row].freed);
    }
}

CASE(allocate_and_free_without_an_allocator)
{
    struct rundown *object = old;
    EQUAL(rundown_allocate(1, 0, &object), RUNDOWN_STATUS_NO_ALLOCATOR);
    CHECK(object == NULL);
    EQUAL(rundown_free(new_object(false)), RUNDOWN_STATUS_NO_ALLOCATOR);
    EQUAL(rundown_free(NULL), RUNDOWN_STATUS_OK);
}
