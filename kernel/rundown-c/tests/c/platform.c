/* A program's platform: when it is supplied, and without one; misuse and panics. */
#include "host.h"

CASE(platform_may_be_set_once)
{
    static struct rundown_platform other;
    host_start();
    other = host_platform();
    other.cpu_count = 99;
    EQUAL(rundown_set_platform(&other), RUNDOWN_STATUS_PLATFORM_IN_USE);
    EQUAL(rundown_cpu_count(), HOST_CPUS);
}

CASE(platform_with_half_of_a_pair_or_of_another_version)
{
    struct rundown_platform platforms[6];
    for (int i = 0; i < 6; i++)
        platforms[i] = host_platform();
    platforms[0].sleep = NULL;
    platforms[1].wake = NULL;
    platforms[2].allocate = NULL;
    platforms[3].free = NULL;
    platforms[4].size -= sizeof(void *);
    platforms[5].size += sizeof(void *);
    for (int i = 0; i < 6; i++)
        EQUAL(rundown_set_platform(&platforms[i]), RUNDOWN_STATUS_PLATFORM_INVALID);
    /* None of them was taken. */
    host_start();
}

static void use_one_object(void)
{
    struct rundown *object = new_object(false);
    EQUAL(rundown_cpu_count(), 1);
    CHECK(rundown_try_acquire(object));
    rundown_release(object);
    EQUAL(rundown_wait(object), RUNDOWN_STATUS_OK);
}

CASE(platform_may_lend_nothing)
{
    static struct rundown_platform nothing;
    nothing.size = sizeof nothing;
    EQUAL(rundown_set_platform(&nothing), RUNDOWN_STATUS_OK);
    use_one_object();
}

CASE(without_a_platform_everything_spins_and_then_it_comes_too_late)
{
    use_one_object();
    host_table = host_platform();
    EQUAL(rundown_set_platform(&host_table), RUNDOWN_STATUS_PLATFORM_IN_USE);
}

/* Pauses, and after the tenth time lets the waiter go. */
static struct rundown *released_by_pause;
static int pauses;

static void pause_and_release(void)
{
    if (++pauses == 10)
        rundown_release(released_by_pause);
}

CASE(a_waiter_that_spins_pauses)
{
    struct rundown_platform platform = host_platform();
    platform.sleep = NULL;
    platform.wake = NULL;
    platform.pause = pause_and_release;
    host_lend(platform);
    released_by_pause = new_object(false);
    CHECK(rundown_try_acquire(released_by_pause));
    EQUAL(rundown_wait(released_by_pause), RUNDOWN_STATUS_OK);
    EQUAL(pauses, 10);
}

/* The argument that a waiter passed to its platform. */
static struct rundown_waiting given;

static void sleep_that_releases(const struct rundown_waiting *waiting, bool (*ready)(void *), void *state)
{
    given = *waiting;
    CHECK(!ready(state));
    if (!waiting->has_deadline)
        rundown_release((struct rundown *)waiting->object);
    while (!ready(state)) {
    }
}

CASE(a_sleeper_knows_the_object_and_the_deadline)
{
    struct rundown_platform platform = host_platform();
    struct rundown *object;
    uint64_t deadline;
    platform.sleep = sleep_that_releases;
    host_lend(platform);
    object = new_object(false);
    CHECK(rundown_try_acquire(object));
    deadline = host_now() + 1000000;
    EQUAL(rundown_wait_deadline(object, deadline, NULL), RUNDOWN_STATUS_OUTSTANDING);
    CHECK(given.has_deadline && given.deadline == deadline);
    EQUAL(given.object, (uintptr_t)object);
    EQUAL(rundown_wait(object), RUNDOWN_STATUS_OK);
    CHECK(!given.has_deadline && given.deadline == 0);
    EQUAL(given.object, (uintptr_t)object);
}

static struct rundown_ref over_released;

static void over_release(void)
{
    rundown_ref_init(&over_released);
    rundown_ref_release(&over_released);
}

/* The text for over_release: the misuse, and then the place, in one line. */
static void panic_of_over_release(const char *text)
{
    CHECK(strstr(text, "rundown: 1 released but 0 held") == text);
    CHECK(strstr(text, "misuse.rs:") != NULL);
    CHECK(strchr(text, '\n') == NULL);
    host_panic(text);
}

static void over_release_with_panic(void)
{
    struct rundown_platform platform = host_platform();
    platform.misuse = NULL;
    platform.panic = panic_of_over_release;
    host_lend(platform);
    over_release();
}

CASE(misuse_without_a_function_panics_and_a_panic_without_one_traps)
{
    int status = ending_of(over_release_with_panic);
    CHECK(WIFEXITED(status));
    EQUAL(WEXITSTATUS(status), 3);
    status = ending_of(over_release);
    CHECK(WIFSIGNALED(status));
    EQUAL(WTERMSIG(status), SIGILL);
}

CASE(an_illegal_call_is_misuse_and_a_text_that_is_too_long_is_cut_off)
{
    char name[1000];
    host_start();
    rundown_illegal_call("Unload", &host, RUNDOWN_STATUS_OUTSTANDING);
    EQUAL(host.misuse.object, (uintptr_t)&host);
    CHECK(strstr(host.misuse_text, rundown_status_text(RUNDOWN_STATUS_OUTSTANDING)) != NULL);
    host_was_illegal("Unload");
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = 0;
    rundown_illegal_call(name, &host, 0);
    EQUAL(strlen(host.misuse_text), 255);
}

CASE(every_status_has_a_text_of_its_own)
{
    for (int status = 0; status <= RUNDOWN_STATUS_GENERATION_OVER; status++)
        for (int other = -1; other < status; other++)
            CHECK(strcmp(rundown_status_text(status), rundown_status_text(other)) != 0);
    EQUAL(strcmp(rundown_status_text(-1), rundown_status_text(1000)), 0);
}
