/* References under tags. Compiled twice: for the library as it is, which ignores them, and with DIAGNOSIS
 * for one with feature `diagnosis`, which lists holders by them and names a wrong one. */
#include "objects.h"

#ifndef DIAGNOSIS
#define DIAGNOSIS 0
#endif

/* Their addresses are the tags. */
static int request, reset;

CASE(the_library_says_what_it_is)
{
    EQUAL(rundown_has_diagnosis(), DIAGNOSIS);
    EQUAL(rundown_unlisted_holders(), 0);
}

/* What the platform was asked to print. */
static char printed[1024];
static int prints;

static void host_report(const char *text)
{
    prints++;
    snprintf(printed, sizeof printed, "%s", text);
}

static uint64_t host_tick(void)
{
    return 77;
}

static void start(void)
{
    struct rundown_platform platform = host_platform();
    platform.report = host_report;
    platform.tick = host_tick;
    host_lend(platform);
}

#define KIND cache_aware
#define NEW new_cache_aware
#define OBJECT struct rundown
#define CALL(name) rundown_##name
#include "tags.inc"
#undef KIND
#undef NEW
#undef OBJECT
#undef CALL

#define KIND plain
#define NEW new_plain
#define OBJECT struct rundown_ref
#define CALL(name) rundown_ref_##name
#include "tags.inc"

CASE(an_object_that_is_freed_is_listed_no_more)
{
    struct rundown *object;
    start();
    EQUAL(rundown_allocate(1, 0, &object), RUNDOWN_STATUS_OK);
    EQUAL(rundown_acquire_tagged(object, 1, &request), RUNDOWN_STATUS_OK);
    rundown_release_tagged(object, 1, &request);
    EQUAL(rundown_free(object), RUNDOWN_STATUS_OK);
    EQUAL(prints, 0);
    EQUAL(rundown_unlisted_holders(), 0);
}

CASE(holders_beyond_the_table_are_counted)
{
    struct rundown_ref *object = new_plain(false);
    for (int i = 0; i < 1030; i++)
        EQUAL(rundown_ref_acquire_tagged(object, 1, &request), RUNDOWN_STATUS_OK);
    EQUAL(rundown_unlisted_holders(), DIAGNOSIS ? 6 : 0);
    EQUAL(rundown_ref_racy_holders(object, NULL, 0), DIAGNOSIS ? 1024 : 0);
    rundown_ref_release_tagged(object, 1030, &request);
    EQUAL(rundown_unlisted_holders(), 0);
    EQUAL(rundown_ref_racy_holders(object, NULL, 0), 0);
    EQUAL(rundown_ref_wait(object), RUNDOWN_STATUS_OK);
}
