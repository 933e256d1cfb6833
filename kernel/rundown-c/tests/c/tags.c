/* References under tags. Compiled twice: for the library as it is, which ignores them, and with
 * DIAGNOSIS for one with feature `diagnosis`, which lists holders by them and names a wrong one. */
#include "host.h"

#ifndef DIAGNOSIS
#define DIAGNOSIS 0
#endif

/* Their addresses are the tags. */
static int request, reset;

/* The text that the platform was asked to print. */
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

static OBJECT *start(void)
{
    struct rundown_platform platform = host_platform();
    platform.report = host_report;
    platform.tick = host_tick;
    host_lend(platform);
    return new_object(false);
}

/* That a text names a request. */
static void names(const char *text, const void *of)
{
    char tag[32];
    snprintf(tag, sizeof tag, "tag %#zx", (size_t)of);
    CHECK(strstr(text, tag) != NULL);
}

CASE(tagged_references_count_like_others)
{
    OBJECT *object = start();
    EQUAL(CALL(acquire_tagged)(object, 2, &request), RUNDOWN_STATUS_OK);
    EQUAL(CALL(acquire_tagged)(object, 1, NULL), RUNDOWN_STATUS_OK);
    EQUAL(CALL(close)(object), RUNDOWN_STATUS_OK);
    EQUAL(CALL(acquire_tagged)(object, 1, &reset), RUNDOWN_STATUS_CLOSED);
    EQUAL(CALL(acquire_held_tagged)(object, 3, &reset), RUNDOWN_STATUS_OK);
    EQUAL(CALL(racy_held)(object), 6);
    CALL(release_tagged)(object, 3, &reset);
    CALL(release_tagged)(object, 1, &request);
    CALL(release_tagged)(object, 1, &request);
    CALL(release_tagged)(object, 1, NULL);
    EQUAL(CALL(try_wait)(object, NULL), RUNDOWN_STATUS_OK);
    EQUAL(host.misused, 0);
}

CASE(holders_are_listed_by_tag)
{
    struct rundown_holder holders[3], it;
    OBJECT *object = start();
    memset(holders, 0, sizeof holders);
    EQUAL(rundown_has_diagnosis(), DIAGNOSIS);
    host_cpu = 2;
    EQUAL(CALL(acquire_tagged)(object, 2, &request), RUNDOWN_STATUS_OK);
    EQUAL(CALL(acquire_held_tagged)(object, 1, &reset), RUNDOWN_STATUS_OK);
    EQUAL(CALL(racy_holders)(object, NULL, 0), DIAGNOSIS ? 2 : 0);
    EQUAL(CALL(racy_holders)(object, holders, 1), DIAGNOSIS ? 2 : 0);
    EQUAL(holders[1].count, 0);
    CALL(release_tagged)(object, 1, &reset);
    EQUAL(CALL(racy_holders)(object, holders, 3), DIAGNOSIS);
    it = holders[0];
    if (DIAGNOSIS)
        CHECK(it.tag == &request && it.count == 2 && it.cpu == 2 && it.tick == 77);
    CALL(release_tagged)(object, 2, &request);
    EQUAL(CALL(racy_holders)(object, holders, 3), 0);
}

CASE(a_wrong_tag_is_named_and_releases_nevertheless)
{
    OBJECT *object = start();
    EQUAL(CALL(acquire_tagged)(object, 2, &request), RUNDOWN_STATUS_OK);
    CALL(release_tagged)(object, 1, &reset);
    EQUAL(host.misused, DIAGNOSIS);
    if (DIAGNOSIS) {
        EQUAL(host.misuse.kind, RUNDOWN_MISUSE_KIND_WRONG_TAG);
        EQUAL(host.misuse.object, (uintptr_t)object);
        EQUAL(host.misuse.released, 1);
        CHECK(host.misuse.tag == &reset);
        names(host.misuse_text, &reset);
    }
    EQUAL(CALL(racy_held)(object), 1);
}

CASE(a_missed_deadline_lists_the_holders)
{
    OBJECT *object = start();
    /* By another CPU, or the wait would warn of itself. */
    host_cpu = 1;
    EQUAL(CALL(acquire_tagged)(object, 1, &request), RUNDOWN_STATUS_OK);
    host_cpu = 0;
    EQUAL(CALL(wait_deadline)(object, 0, NULL), RUNDOWN_STATUS_OUTSTANDING);
    EQUAL(prints, DIAGNOSIS);
    if (DIAGNOSIS)
        names(printed, &request);
}

CASE(holders_beyond_the_table_are_counted)
{
    OBJECT *object = new_object(false);
    for (int i = 0; i < 1030; i++)
        EQUAL(CALL(acquire_tagged)(object, 1, &request), RUNDOWN_STATUS_OK);
    EQUAL(rundown_unlisted_holders(), DIAGNOSIS ? 6 : 0);
    CALL(release_tagged)(object, 1030, &request);
    EQUAL(rundown_unlisted_holders(), 0);
}
