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

static RUNDOWN start(void)
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
static void *wait_in_a_thread(void *RunRef)
{
    EX(WaitForRundownProtectionRelease)((RUNDOWN)RunRef);
    __atomic_store_n(&host.returned, 1, __ATOMIC_RELEASE);
    return NULL;
}

/* Returns when the owner has called Wait and sleeps in it. */
static pthread_t call_wait(RUNDOWN RunRef)
{
    const int before = host.slept;
    host.returned = 0;
    pthread_t owner = host_spawn(wait_in_a_thread, RunRef);
    host_await_sleepers(before + 1);
    return owner;
}

/* From the call of Wait on nothing is granted; it returns when all that was granted before is released, in
 * whatever portions; and a re-initialization begins the contract anew, completed or not. Acquire and release up to
 * DISPATCH_LEVEL: the platform's functions check the level. */
CASE(wait_refuses_new_requests_and_waits_for_earlier_grants)
{
    RUNDOWN RunRef = start();
    const int allocated = host.allocated;
    for (int generation = 0; generation < 2; generation++) {
        host_level = DISPATCH_LEVEL;
        CHECK(EX(AcquireRundownProtection)(RunRef) == TRUE);
        CHECK(EX_COUNT(AcquireRundownProtection)(RunRef, 4) == TRUE);
        EX_COUNT(ReleaseRundownProtection)(RunRef, 2);
        pthread_t owner = call_wait(RunRef);
        CHECK(EX(AcquireRundownProtection)(RunRef) == FALSE);
        CHECK(EX_COUNT(AcquireRundownProtection)(RunRef, 2) == FALSE);
        EX_COUNT(ReleaseRundownProtection)(RunRef, 2);
        EQUAL(host_linger(), 0);
        /* The last one, with a waiter to wake. */
        EX(ReleaseRundownProtection)(RunRef);
        host_level = PASSIVE_LEVEL;
        pthread_join(owner, NULL);
        if (generation == 0)
            EX(RundownCompleted)(RunRef);
        CHECK(EX(AcquireRundownProtection)(RunRef) == FALSE);
        EX(ReInitializeRundownProtection)(RunRef);
    }
    EQUAL(host.allocated, allocated);
    EQUAL(host.misused, 0);
}

CASE(completed_and_reinitialize_must_follow_wait)
{
    RUNDOWN RunRef = start();
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
    RUNDOWN RunRef = start();
    CHECK(EX(AcquireRundownProtection)(RunRef) == TRUE);
    pthread_t owner = call_wait(RunRef);
    EQUAL(CANCEL(RunRef), RUNDOWN_STATUS_OK);
    /* It is open for a moment, until the waiter closes it again. */
    while (EX(AcquireRundownProtection)(RunRef)) {
        EX(ReleaseRundownProtection)(RunRef);
        sched_yield();
    }
    EQUAL(host_linger(), 0);
    EX(ReleaseRundownProtection)(RunRef);
    pthread_join(owner, NULL);
    EQUAL(host.misused, 0);
}
