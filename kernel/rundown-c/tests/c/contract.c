/* What the public documentation of Windows' drivers promises of run-down protection, a sentence a test. The
 * calls under test are made by their Windows names only (but for a cancel, which Windows does not have).
 * EX(AcquireRundownProtection) is ExAcquireRundownProtection or its ...CacheAware form. */
#include "levels.h"

#if PLAIN
#define RUNDOWN PEX_RUNDOWN_REF
#define EX(routine) Ex##routine
#define EX_COUNT(routine) Ex##routine##Ex
#define CANCEL(RunRef) rundown_ref_cancel(&(RunRef)->Opaque, NULL)
#else
#define RUNDOWN PEX_RUNDOWN_REF_CACHE_AWARE
#define EX(routine) Ex##routine##CacheAware
#define EX_COUNT(routine) Ex##routine##CacheAwareEx
#define CANCEL(RunRef) rundown_cancel(ExpRundownObject(RunRef), NULL)
#endif

static RUNDOWN start_with_object(void)
{
    start();
#if PLAIN
    static EX_RUNDOWN_REF RunRef;
    ExInitializeRundownProtection(&RunRef);
    return &RunRef;
#else
    return ExAllocateCacheAwareRundownProtection(NonPagedPoolNx, 0x6E775230);
#endif
}

/* An owner that waits in a thread of its own. */
struct owner {
    RUNDOWN RunRef;
    pthread_t thread;
    int returned;
};

static void *wait_in_a_thread(void *argument)
{
    struct owner *owner = (struct owner *)argument;
    EX(WaitForRundownProtectionRelease)(owner->RunRef);
    __atomic_store_n(&owner->returned, 1, __ATOMIC_RELEASE);
    return NULL;
}

/* Returns when the owner has called Wait and sleeps in it. */
static void call_wait(struct owner *owner, RUNDOWN RunRef)
{
    const int before = host.slept;
    owner->RunRef = RunRef;
    owner->returned = 0;
    owner->thread = host_spawn(wait_in_a_thread, owner);
    host_await_sleepers(before + 1);
}

static bool has_returned(struct owner *owner)
{
    host_linger();
    return __atomic_load_n(&owner->returned, __ATOMIC_ACQUIRE);
}

CASE(initialize_sets_the_count_to_zero)
{
    RUNDOWN RunRef = start_with_object();
    EX(WaitForRundownProtectionRelease)(RunRef);
    EQUAL(host.slept, 0);
}

static void *access_in_a_thread(void *argument)
{
    RUNDOWN RunRef = (RUNDOWN)argument;
    CHECK(EX(AcquireRundownProtection)(RunRef) == TRUE);
    EX(ReleaseRundownProtection)(RunRef);
    return NULL;
}

CASE(protection_does_not_serialize_accesses)
{
    RUNDOWN RunRef = start_with_object();
    CHECK(EX(AcquireRundownProtection)(RunRef) == TRUE);
    /* The other access begins and ends while this one lasts. */
    host_join(host_spawn(access_in_a_thread, RunRef));
    EX(ReleaseRundownProtection)(RunRef);
    EQUAL(host.slept, 0);
    EQUAL(host.misused, 0);
}

CASE(after_the_call_of_wait_no_further_request_is_granted)
{
    RUNDOWN RunRef = start_with_object();
    /* After a re-initialization, the contract begins anew. */
    for (int life = 0; life < 2; life++) {
        struct owner owner;
        CHECK(EX(AcquireRundownProtection)(RunRef) == TRUE);
        call_wait(&owner, RunRef);
        CHECK(EX(AcquireRundownProtection)(RunRef) == FALSE);
        CHECK(EX_COUNT(AcquireRundownProtection)(RunRef, 2) == FALSE);
        CHECK(!has_returned(&owner));
        EX(ReleaseRundownProtection)(RunRef);
        host_join(owner.thread);
        CHECK(EX(AcquireRundownProtection)(RunRef) == FALSE);
        EX(ReInitializeRundownProtection)(RunRef);
    }
}

CASE(wait_returns_when_all_earlier_grants_are_released)
{
    struct owner owner;
    RUNDOWN RunRef = start_with_object();
    CHECK(EX(AcquireRundownProtection)(RunRef) == TRUE);
    CHECK(EX_COUNT(AcquireRundownProtection)(RunRef, 2) == TRUE);
    call_wait(&owner, RunRef);
    EX(ReleaseRundownProtection)(RunRef);
    CHECK(!has_returned(&owner));
    EX(ReleaseRundownProtection)(RunRef);
    CHECK(!has_returned(&owner));
    EX(ReleaseRundownProtection)(RunRef);
    host_join(owner.thread);
    CHECK(owner.returned);
}

CASE(wait_returns_at_once_if_nothing_is_held)
{
    RUNDOWN RunRef = start_with_object();
    CHECK(EX(AcquireRundownProtection)(RunRef) == TRUE);
    EX(ReleaseRundownProtection)(RunRef);
    EX(WaitForRundownProtectionRelease)(RunRef);
    EQUAL(host.slept, 0);
    EQUAL(host.misused, 0);
    CHECK(EX(AcquireRundownProtection)(RunRef) == FALSE);
}

CASE(waiting_again_has_no_effect_and_is_no_error)
{
    RUNDOWN RunRef = start_with_object();
    EX(WaitForRundownProtectionRelease)(RunRef);
    EX(WaitForRundownProtectionRelease)(RunRef);
    EQUAL(host.slept, 0);
    EQUAL(host.misused, 0);
    CHECK(EX(AcquireRundownProtection)(RunRef) == FALSE);
}

CASE(completed_must_follow_wait)
{
    RUNDOWN RunRef = start_with_object();
    EX(RundownCompleted)(RunRef);
    was_illegal("RundownCompleted");
    CHECK(EX(AcquireRundownProtection)(RunRef) == TRUE);
    EX(ReleaseRundownProtection)(RunRef);
    EX(WaitForRundownProtectionRelease)(RunRef);
    EX(RundownCompleted)(RunRef);
    EQUAL(host.misused, 0);
}

CASE(after_completed_waits_return_at_once_and_acquire_returns_false)
{
    RUNDOWN RunRef = start_with_object();
    EX(WaitForRundownProtectionRelease)(RunRef);
    EX(RundownCompleted)(RunRef);
    EX(WaitForRundownProtectionRelease)(RunRef);
    EX(WaitForRundownProtectionRelease)(RunRef);
    EQUAL(host.slept, 0);
    EQUAL(host.misused, 0);
    CHECK(EX(AcquireRundownProtection)(RunRef) == FALSE);
    CHECK(EX_COUNT(AcquireRundownProtection)(RunRef, 1) == FALSE);
}

CASE(reinitialize_must_follow_wait)
{
    RUNDOWN RunRef = start_with_object();
    CHECK(EX(AcquireRundownProtection)(RunRef) == TRUE);
    EX(ReInitializeRundownProtection)(RunRef);
    was_illegal("ReInitializeRundownProtection");
    /* What is held is still held. */
    EX(ReleaseRundownProtection)(RunRef);
    EQUAL(host.misused, 0);
    EX(WaitForRundownProtectionRelease)(RunRef);
    EX(ReInitializeRundownProtection)(RunRef);
    EQUAL(host.misused, 0);
}

CASE(completed_before_reinitialize_is_optional)
{
    RUNDOWN RunRef = start_with_object();
    for (int life = 0; life < 10; life++) {
        EX(WaitForRundownProtectionRelease)(RunRef);
        if (life % 2)
            EX(RundownCompleted)(RunRef);
        EX(ReInitializeRundownProtection)(RunRef);
        CHECK(EX(AcquireRundownProtection)(RunRef) == TRUE);
        EX(ReleaseRundownProtection)(RunRef);
    }
    EQUAL(host.misused, 0);
}

CASE(counts_of_ex_and_other_calls_mix_freely)
{
    struct owner owner;
    RUNDOWN RunRef = start_with_object();
    CHECK(EX_COUNT(AcquireRundownProtection)(RunRef, 4) == TRUE);
    EX(ReleaseRundownProtection)(RunRef);
    CHECK(EX(AcquireRundownProtection)(RunRef) == TRUE);
    EX_COUNT(ReleaseRundownProtection)(RunRef, 2);
    call_wait(&owner, RunRef);
    EX(ReleaseRundownProtection)(RunRef);
    CHECK(!has_returned(&owner));
    EX_COUNT(ReleaseRundownProtection)(RunRef, 1);
    host_join(owner.thread);
    EQUAL(host.misused, 0);
}

CASE(the_count_grows_only_if_acquire_returns_true)
{
    RUNDOWN RunRef = start_with_object();
    EX(WaitForRundownProtectionRelease)(RunRef);
    CHECK(EX_COUNT(AcquireRundownProtection)(RunRef, 100) == FALSE);
    EX(WaitForRundownProtectionRelease)(RunRef);
    EX(ReInitializeRundownProtection)(RunRef);
    EX(WaitForRundownProtectionRelease)(RunRef);
    EQUAL(host.slept, 0);
}

CASE(acquire_and_release_up_to_dispatch_level)
{
    struct owner owner;
    int allocated;
    RUNDOWN RunRef = start_with_object();
    allocated = host.allocated;
    irql = DISPATCH_LEVEL;
    CHECK(EX(AcquireRundownProtection)(RunRef) == TRUE);
    CHECK(EX_COUNT(AcquireRundownProtection)(RunRef, 2) == TRUE);
    EX_COUNT(ReleaseRundownProtection)(RunRef, 2);
    call_wait(&owner, RunRef);
    CHECK(EX(AcquireRundownProtection)(RunRef) == FALSE);
    /* The last one, too, with a waiter to wake. The platform's functions check the level. */
    EX(ReleaseRundownProtection)(RunRef);
    irql = PASSIVE_LEVEL;
    host_join(owner.thread);
    EQUAL(host.allocated, allocated);
}

CASE(wait_does_not_return_because_of_a_cancel)
{
    struct owner owner;
    RUNDOWN RunRef = start_with_object();
    CHECK(EX(AcquireRundownProtection)(RunRef) == TRUE);
    call_wait(&owner, RunRef);
    EQUAL(CANCEL(RunRef), RUNDOWN_STATUS_OK);
    /* It is open for a moment, until the waiter closes it again. */
    while (EX(AcquireRundownProtection)(RunRef)) {
        EX(ReleaseRundownProtection)(RunRef);
        sched_yield();
    }
    CHECK(!has_returned(&owner));
    EX(ReleaseRundownProtection)(RunRef);
    host_join(owner.thread);
    EQUAL(host.misused, 0);
}

CASE(releasing_more_than_was_acquired_is_reported)
{
    RUNDOWN RunRef = start_with_object();
    CHECK(EX(AcquireRundownProtection)(RunRef) == TRUE);
    EX(ReleaseRundownProtection)(RunRef);
    EX(ReleaseRundownProtection)(RunRef);
    /* Found at the latest now. */
    EX(WaitForRundownProtectionRelease)(RunRef);
    EQUAL(host.misused, 1);
    EQUAL(host.misuse.kind, RUNDOWN_MISUSE_KIND_OVER_RELEASE);
}
