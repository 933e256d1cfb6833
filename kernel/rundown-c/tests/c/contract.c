/* What the public documentation of Windows' drivers promises of run-down protection. The calls under test are
 * made by their Windows names only (but for a cancel, which Windows does not have).
 * EX(AcquireRundownProtection) is ExAcquireRundownProtection or its ...CacheAware form. */
#include <wdm.h>

#include "host.h"

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
    host_start();
#if PLAIN
    static EX_RUNDOWN_REF RunRef;
    ExInitializeRundownProtection(&RunRef);
    return &RunRef;
#else
    return ExAllocateCacheAwareRundownProtection(NonPagedPoolNx, 0x6E775230);
#endif
}

/* An owner that waits in a thread of its own. */
static RUNDOWN awaited;
static int returned;

static void *wait_in_a_thread(void *argument)
{
    EX(WaitForRundownProtectionRelease)(awaited);
    __atomic_store_n(&returned, 1, __ATOMIC_RELEASE);
    return argument;
}

/* Returns when the owner has called Wait and sleeps in it. */
static pthread_t call_wait(RUNDOWN RunRef)
{
    const int before = host.slept;
    awaited = RunRef;
    returned = 0;
    pthread_t owner = host_spawn(wait_in_a_thread, NULL);
    host_await_sleepers(before + 1);
    return owner;
}

static bool has_returned(void)
{
    host_linger();
    return __atomic_load_n(&returned, __ATOMIC_ACQUIRE);
}

/* From the call of Wait on nothing is granted; it returns when all that was granted before is released, in
 * whatever portions; and a re-initialization begins the contract anew. Acquire and release up to DISPATCH_LEVEL:
 * the platform's functions check the level. */
CASE(wait_refuses_new_requests_and_waits_for_earlier_grants)
{
    RUNDOWN RunRef = start_with_object();
    const int allocated = host.allocated;
    for (int life = 0; life < 2; life++) {
        host_level = DISPATCH_LEVEL;
        CHECK(EX(AcquireRundownProtection)(RunRef) == TRUE);
        CHECK(EX_COUNT(AcquireRundownProtection)(RunRef, 4) == TRUE);
        EX_COUNT(ReleaseRundownProtection)(RunRef, 2);
        pthread_t owner = call_wait(RunRef);
        CHECK(EX(AcquireRundownProtection)(RunRef) == FALSE);
        CHECK(EX_COUNT(AcquireRundownProtection)(RunRef, 2) == FALSE);
        EX_COUNT(ReleaseRundownProtection)(RunRef, 2);
        CHECK(!has_returned());
        /* The last one, with a waiter to wake. */
        EX(ReleaseRundownProtection)(RunRef);
        host_level = PASSIVE_LEVEL;
        host_join(owner);
        CHECK(EX(AcquireRundownProtection)(RunRef) == FALSE);
        EX(ReInitializeRundownProtection)(RunRef);
    }
    EQUAL(host.allocated, allocated);
    EQUAL(host.misused, 0);
}

CASE(wait_returns_at_once_if_nothing_is_held_also_again_and_after_completed)
{
    RUNDOWN RunRef = start_with_object();
    for (int life = 0; life < 4; life++) {
        EX(WaitForRundownProtectionRelease)(RunRef);
        EX(WaitForRundownProtectionRelease)(RunRef);
        /* Optional before a re-initialization. */
        if (life % 2)
            EX(RundownCompleted)(RunRef);
        EX(WaitForRundownProtectionRelease)(RunRef);
        CHECK(EX(AcquireRundownProtection)(RunRef) == FALSE);
        CHECK(EX_COUNT(AcquireRundownProtection)(RunRef, 100) == FALSE);
        EX(ReInitializeRundownProtection)(RunRef);
        CHECK(EX(AcquireRundownProtection)(RunRef) == TRUE);
        EX(ReleaseRundownProtection)(RunRef);
    }
    EQUAL(host.slept, 0);
    EQUAL(host.misused, 0);
}

CASE(completed_and_reinitialize_must_follow_wait)
{
    RUNDOWN RunRef = start_with_object();
    EX(RundownCompleted)(RunRef);
    host_was_illegal("RundownCompleted");
    CHECK(EX(AcquireRundownProtection)(RunRef) == TRUE);
    EX(ReInitializeRundownProtection)(RunRef);
    host_was_illegal("ReInitializeRundownProtection");
    /* What is held is still held. */
    EX(ReleaseRundownProtection)(RunRef);
    EX(WaitForRundownProtectionRelease)(RunRef);
    EX(RundownCompleted)(RunRef);
    EQUAL(host.misused, 0);
}

CASE(wait_does_not_return_because_of_a_cancel)
{
    RUNDOWN RunRef = start_with_object();
    CHECK(EX(AcquireRundownProtection)(RunRef) == TRUE);
    pthread_t owner = call_wait(RunRef);
    EQUAL(CANCEL(RunRef), RUNDOWN_STATUS_OK);
    /* It is open for a moment, until the waiter closes it again. */
    while (EX(AcquireRundownProtection)(RunRef)) {
        EX(ReleaseRundownProtection)(RunRef);
        sched_yield();
    }
    CHECK(!has_returned());
    EX(ReleaseRundownProtection)(RunRef);
    host_join(owner);
    EQUAL(host.misused, 0);
}

CASE(releasing_more_than_was_acquired_is_reported)
{
    RUNDOWN RunRef = start_with_object();
    EX(ReleaseRundownProtection)(RunRef);
    /* Found at the latest now. */
    EX(WaitForRundownProtectionRelease)(RunRef);
    EQUAL(host.misused, 1);
    EQUAL(host.misuse.kind, RUNDOWN_MISUSE_KIND_OVER_RELEASE);
}
