/* Every function and every error of rundown.h but for the platform's (platform.c). What both variants do
 * alike is in api.inc. */
#include "objects.h"

#define KIND cache_aware
#define NEW new_cache_aware
#define OBJECT struct rundown
#define CALL(name) rundown_##name
#include "api.inc"
#undef KIND
#undef NEW
#undef OBJECT
#undef CALL

#define KIND plain
#define NEW new_plain
#define OBJECT struct rundown_ref
#define CALL(name) rundown_ref_##name
#include "api.inc"

/* ---- Memory ---- */

CASE(layout_is_what_the_constants_say)
{
    struct rundown_layout needed;
    for (size_t slots = 1; slots < 300; slots++) {
        EQUAL(rundown_layout_for(slots, &needed), RUNDOWN_STATUS_OK);
        EQUAL(needed.size, RUNDOWN_SIZE(slots));
        EQUAL(needed.alignment, RUNDOWN_ALIGNMENT);
    }
}

CASE(layout_without_slots_or_with_too_many)
{
    struct rundown_layout needed = {7, 7};
    EQUAL(rundown_layout_for(0, &needed), RUNDOWN_STATUS_NO_SLOTS);
    EQUAL(rundown_layout_for((size_t)-1, &needed), RUNDOWN_STATUS_TOO_MANY_SLOTS);
    EQUAL(rundown_layout_for((size_t)-1 / 128, &needed), RUNDOWN_STATUS_TOO_MANY_SLOTS);
    EQUAL(needed.size, 7);
    EQUAL(needed.alignment, 7);
}

__attribute__((aligned(RUNDOWN_ALIGNMENT))) static char block[RUNDOWN_SIZE(4) + RUNDOWN_ALIGNMENT];

/* Neither of them makes an object there. */
static void refused(char *memory, size_t size, size_t slots, enum rundown_status status)
{
    struct rundown *object = (struct rundown *)(void *)block;
    memset(block, 0x11, sizeof block);
    EQUAL(rundown_init(memory, size, slots, &object), status);
    CHECK(object == NULL);
    object = (struct rundown *)(void *)block;
    EQUAL(rundown_init_closed(memory, size, slots, &object), status);
    CHECK(object == NULL);
    for (size_t i = 0; i < sizeof block; i++)
        EQUAL(block[i], 0x11);
}

CASE(init_in_misaligned_memory)
{
    for (size_t off = 1; off < RUNDOWN_ALIGNMENT; off++)
        refused(block + off, RUNDOWN_SIZE(4), 4, RUNDOWN_STATUS_MISALIGNED);
}

CASE(init_in_too_little_memory)
{
    refused(block, RUNDOWN_SIZE(4) - 1, 4, RUNDOWN_STATUS_TOO_SMALL);
    refused(block, 0, 1, RUNDOWN_STATUS_TOO_SMALL);
    refused(NULL, RUNDOWN_SIZE(4), 4, RUNDOWN_STATUS_TOO_SMALL);
}

CASE(init_without_slots_or_with_too_many)
{
    refused(block, sizeof block, 0, RUNDOWN_STATUS_NO_SLOTS);
    refused(block, sizeof block, (size_t)-1, RUNDOWN_STATUS_TOO_MANY_SLOTS);
}

CASE(init_leaves_the_bytes_behind_the_object_alone)
{
    struct rundown *object;
    memset(block, 0x11, sizeof block);
    EQUAL(rundown_init(block, RUNDOWN_SIZE(4), 4, &object), RUNDOWN_STATUS_OK);
    CHECK((void *)object == block);
    CHECK(rundown_try_acquire(object));
    rundown_release(object);
    EQUAL(rundown_wait(object), RUNDOWN_STATUS_OK);
    for (size_t i = RUNDOWN_SIZE(4); i < sizeof block; i++)
        EQUAL(block[i], 0x11);
}

CASE(static_initialisers_of_the_plain_variant)
{
    static struct rundown_ref zero;
    static struct rundown_ref open = RUNDOWN_REF_OPEN;
    static struct rundown_ref closed = RUNDOWN_REF_CLOSED;
    EQUAL(rundown_ref_get_state(&zero), RUNDOWN_STATE_OPEN);
    EQUAL(rundown_ref_get_state(&open), RUNDOWN_STATE_OPEN);
    EQUAL(rundown_ref_get_state(&closed), RUNDOWN_STATE_RUN_DOWN);
    CHECK(!rundown_ref_try_acquire(&closed));
    EQUAL(rundown_ref_open(&closed), RUNDOWN_STATUS_OK);
    CHECK(rundown_ref_try_acquire(&closed));
    EQUAL(sizeof(struct rundown_ref), 16);
}

CASE(the_plain_variant_can_be_full)
{
    const uint32_t capacity = (1u << 22) - 1;
    struct rundown_ref *object = new_plain(false);
    EQUAL(rundown_ref_capacity(object), capacity);
    EQUAL(rundown_ref_acquire_many(object, capacity - 1), RUNDOWN_STATUS_OK);
    EQUAL(rundown_ref_acquire_many(object, 2), RUNDOWN_STATUS_FULL);
    CHECK(!rundown_ref_try_acquire_many(object, UINT32_MAX));
    EQUAL(rundown_ref_acquire(object), RUNDOWN_STATUS_OK);
    EQUAL(rundown_ref_acquire(object), RUNDOWN_STATUS_FULL);
    CHECK(!rundown_ref_try_acquire(object));
    EQUAL(rundown_ref_acquire_held(object), RUNDOWN_STATUS_FULL);
    EQUAL(rundown_ref_racy_held(object), capacity);
    rundown_ref_release_many(object, capacity);
    EQUAL(rundown_ref_wait(object), RUNDOWN_STATUS_OK);
}

CASE(a_slot_can_be_full)
{
    enum { SLOTS = 4096 };
    __attribute__((aligned(RUNDOWN_ALIGNMENT))) static char memory[RUNDOWN_SIZE(SLOTS)];
    struct rundown *object;
    host_start();
    EQUAL(rundown_init(memory, sizeof memory, SLOTS, &object), RUNDOWN_STATUS_OK);
    EQUAL(rundown_capacity(object), (1ull << 59) / SLOTS);
    for (uint64_t held = 0; held < rundown_capacity(object); held += UINT32_MAX)
        EQUAL(rundown_acquire_many(object, UINT32_MAX), RUNDOWN_STATUS_OK);
    EQUAL(rundown_acquire(object), RUNDOWN_STATUS_FULL);
    EQUAL(rundown_acquire_held(object), RUNDOWN_STATUS_FULL);
    /* Another slot has room. */
    host_cpu = 1;
    EQUAL(rundown_acquire(object), RUNDOWN_STATUS_OK);
    EQUAL(host.misused, 0);
}

CASE(allocate_and_free)
{
    struct rundown *object;
    host_start();
    EQUAL(rundown_allocate(3, 0x1234, &object), RUNDOWN_STATUS_OK);
    EQUAL(host.size, RUNDOWN_SIZE(3));
    EQUAL(host.alignment, RUNDOWN_ALIGNMENT);
    EQUAL(host.tag, 0x1234);
    CHECK(rundown_try_acquire(object));
    rundown_release(object);
    EQUAL(rundown_wait(object), RUNDOWN_STATUS_OK);
    EQUAL(rundown_free(object), RUNDOWN_STATUS_OK);
    EQUAL(host.allocated, 1);
    EQUAL(host.freed, 1);
    EQUAL(host.freed_size, RUNDOWN_SIZE(3));
}

CASE(allocate_without_slots_or_with_too_many)
{
    struct rundown *object = (struct rundown *)(void *)block;
    host_start();
    EQUAL(rundown_allocate(0, 0, &object), RUNDOWN_STATUS_NO_SLOTS);
    CHECK(object == NULL);
    EQUAL(rundown_allocate((size_t)-1, 0, &object), RUNDOWN_STATUS_TOO_MANY_SLOTS);
    EQUAL(host.allocated, 0);
}

static void *no_memory(size_t size, size_t alignment, uint32_t tag)
{
    (void)size, (void)alignment, (void)tag;
    return NULL;
}

CASE(allocate_when_there_is_no_memory)
{
    struct rundown *object = (struct rundown *)(void *)block;
    struct rundown_platform platform = host_platform();
    platform.allocate = no_memory;
    host_lend(platform);
    EQUAL(rundown_allocate(1, 0, &object), RUNDOWN_STATUS_NO_MEMORY);
    CHECK(object == NULL);
}

static void *misaligned_memory(size_t size, size_t alignment, uint32_t tag)
{
    (void)tag;
    CHECK(size + alignment / 2 <= sizeof block);
    host.allocated++;
    return block + alignment / 2;
}

static void take_misaligned_memory_back(void *memory, size_t size)
{
    CHECK(memory == block + RUNDOWN_ALIGNMENT / 2);
    host.freed++;
    host.freed_size = size;
}

CASE(allocate_gives_misaligned_memory_back)
{
    struct rundown *object = (struct rundown *)(void *)block;
    struct rundown_platform platform = host_platform();
    platform.allocate = misaligned_memory;
    platform.free = take_misaligned_memory_back;
    host_lend(platform);
    EQUAL(rundown_allocate(4, 0, &object), RUNDOWN_STATUS_MISALIGNED);
    CHECK(object == NULL);
    EQUAL(host.allocated, 1);
    EQUAL(host.freed, 1);
    EQUAL(host.freed_size, RUNDOWN_SIZE(4));
}

CASE(allocate_and_free_without_an_allocator)
{
    struct rundown *object;
    EQUAL(rundown_allocate(1, 0, &object), RUNDOWN_STATUS_NO_ALLOCATOR);
    CHECK(object == NULL);
    EQUAL(rundown_free(new_cache_aware(false)), RUNDOWN_STATUS_NO_ALLOCATOR);
    EQUAL(rundown_free(NULL), RUNDOWN_STATUS_OK);
}

CASE(free_of_what_is_held_frees_nothing)
{
    struct rundown *object;
    host_start();
    EQUAL(rundown_allocate(2, 0, &object), RUNDOWN_STATUS_OK);
    CHECK(rundown_try_acquire(object));
    EQUAL(rundown_free(object), RUNDOWN_STATUS_OUTSTANDING);
    EQUAL(rundown_close(object), RUNDOWN_STATUS_OK);
    EQUAL(rundown_free(object), RUNDOWN_STATUS_OUTSTANDING);
    EQUAL(host.freed, 0);
    rundown_release(object);
    EQUAL(rundown_free(object), RUNDOWN_STATUS_OK);
    EQUAL(host.freed, 1);
}

CASE(close_all_closes_the_others_if_one_is_over_released)
{
    static struct rundown_ref words[3] = {RUNDOWN_REF_OPEN, RUNDOWN_REF_CLOSED, RUNDOWN_REF_OPEN};
    __attribute__((aligned(RUNDOWN_ALIGNMENT))) static char memory[3][RUNDOWN_SIZE(2)];
    struct rundown_ref *plain[3];
    struct rundown *cache_aware[3];
    host_start();
    for (int i = 0; i < 3; i++) {
        plain[i] = &words[i];
        EQUAL(rundown_init(memory[i], sizeof memory[i], 2, &cache_aware[i]), RUNDOWN_STATUS_OK);
    }
    rundown_release(cache_aware[0]);
    rundown_close_all(cache_aware, 3);
    EQUAL(host.misused, 1);
    rundown_ref_close_all(plain, 3);
    EQUAL(host.misused, 1);
    for (int i = 0; i < 3; i++) {
        EQUAL(rundown_get_state(cache_aware[i]), RUNDOWN_STATE_DRAINED);
        EQUAL(rundown_ref_get_state(plain[i]), i == 1 ? RUNDOWN_STATE_RUN_DOWN : RUNDOWN_STATE_DRAINED);
    }
}

/* ---- A counter per CPU ---- */

CASE(counts_are_per_cpu_and_may_be_negative)
{
    int64_t counts[HOST_CPUS + 1];
    struct rundown *object;
    host_start();
    object = new_cache_aware(false);
    host_cpu = 1;
    CHECK(rundown_try_acquire_many(object, 5));
    host_cpu = 3;
    rundown_release_many(object, 2);
    EQUAL(rundown_racy_counts(object, counts, HOST_CPUS), HOST_CPUS);
    EQUAL(counts[0], 0);
    EQUAL(counts[1], 5);
    EQUAL(counts[2], 0);
    EQUAL(counts[3], -2);
    EQUAL(rundown_racy_held(object), 3);
    rundown_release_many(object, 3);
    EQUAL(rundown_wait(object), RUNDOWN_STATUS_OK);
}

CASE(counts_fill_no_more_than_the_room)
{
    int64_t counts[2] = {77, 77};
    struct rundown *object;
    host_start();
    object = new_cache_aware(false);
    EQUAL(rundown_racy_counts(object, counts, 1), HOST_CPUS);
    EQUAL(counts[0], 0);
    EQUAL(counts[1], 77);
    EQUAL(rundown_racy_counts(object, NULL, 0), HOST_CPUS);
}

CASE(a_cpu_index_out_of_range_is_harmless)
{
    struct rundown *object;
    host_start();
    object = new_cache_aware(false);
    host_cpu = (size_t)-1;
    CHECK(rundown_try_acquire(object));
    host_cpu = 1000003;
    rundown_release(object);
    EQUAL(rundown_racy_held(object), 0);
    EQUAL(rundown_wait(object), RUNDOWN_STATUS_OK);
    EQUAL(host.misused, 0);
}
