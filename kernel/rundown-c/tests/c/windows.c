/* The promises of the public documentation of Windows' drivers: of run-down protection, of its
 * memory, of remove locks; and a kernel for the driver in driver.c. The calls under test are made
 * by their Windows names only (but for a cancel, which Windows does not have).
 * EX(AcquireRundownProtection) is ExAcquireRundownProtection or its ...CacheAware form. */
#include "driver.c"

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

/* From the call of Wait on nothing is granted; it returns when all that was granted before is
 * released, in whatever portions; and a re-initialization begins the contract anew, completed or
 * not. Acquire and release up to DISPATCH_LEVEL: the platform's functions check the level. */
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
        EX(WaitForRundownProtectionRelease)(RunRef); /* Again, completed or not: immediately. */
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
    /* Held protection is still held. */
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

/* ---- Memory ---- */

CASE(initialize_takes_the_size_that_sizeof_returned_and_no_less)
{
    host_start();
    const SIZE_T Size = ExSizeOfRundownProtectionCacheAware(), Least = RUNDOWN_SIZE(HOST_CPUS);
    char *buffer = (char *)aligned_alloc(RUNDOWN_ALIGNMENT, Size + 257);
    CHECK(buffer != NULL);
    /* However the buffer is aligned, and nothing outside it is touched. */
    for (size_t off = 0; off < 256; off += 8) {
        PEX_RUNDOWN_REF_CACHE_AWARE RunRef = (PEX_RUNDOWN_REF_CACHE_AWARE)(PVOID)(buffer + off);
        memset(buffer, 0x11, Size + 256);
        /* The least is enough where the buffer begins aligned, and nowhere else. */
        ExInitializeRundownProtectionCacheAware(RunRef, off % RUNDOWN_ALIGNMENT ? Least : Least - 1);
        host_was_illegal("ExInitializeRundownProtectionCacheAware");
        ExInitializeRundownProtectionCacheAware(RunRef, Size);
        EQUAL(host.misused, 0);
        host_cpu = off % HOST_CPUS;
        CHECK(ExAcquireRundownProtectionCacheAware(RunRef) == TRUE);
        ExReleaseRundownProtectionCacheAware(RunRef);
        ExWaitForRundownProtectionReleaseCacheAware(RunRef);
        for (size_t i = 0; i < Size + 256; i++)
            if (i < off || i >= off + Size)
                EQUAL(buffer[i], 0x11);
    }
    ExInitializeRundownProtectionCacheAware((PEX_RUNDOWN_REF_CACHE_AWARE)(PVOID)(buffer + 16), 15);
    host_was_illegal("ExInitializeRundownProtectionCacheAware");
}

CASE(allocate_and_free_up_to_apc_level)
{
    host_start();
    host_level = APC_LEVEL;
    PEX_RUNDOWN_REF_CACHE_AWARE RunRef =
        ExAllocateCacheAwareRundownProtection(NonPagedPoolNx, 0x74736554);
    CHECK(RunRef != NULL);
    EQUAL(host.tag, 0x74736554);
    CHECK(ExAcquireRundownProtectionCacheAware(RunRef) == TRUE);
    ExFreeCacheAwareRundownProtection(RunRef);
    host_was_illegal("ExFreeCacheAwareRundownProtection");
    EQUAL(host.freed, 0);
    ExReleaseRundownProtectionCacheAware(RunRef);
    ExFreeCacheAwareRundownProtection(RunRef);
    EQUAL(host.freed, 1);
    host.out_of_memory = true;
    CHECK(ExAllocateCacheAwareRundownProtection(NonPagedPoolNx, 0) == NULL);
    EQUAL(host.misused, 0);
}

/* The two that the documentation does not describe. At a level where nothing may block or allocate,
 * as the other ways to make an object in memory that is there. */
CASE(initialize_ex_and_cleanup)
{
    PEX_RUNDOWN_REF_CACHE_AWARE RunRef;
    host_start();
    host_level = DISPATCH_LEVEL;
    RunRef = (PEX_RUNDOWN_REF_CACHE_AWARE)malloc(ExSizeOfRundownProtectionCacheAware());
    /* No flag is documented. */
    ExInitializeRundownProtectionCacheAwareEx(RunRef, 1);
    host_was_illegal("ExInitializeRundownProtectionCacheAwareEx");
    ExInitializeRundownProtectionCacheAwareEx(RunRef, 0);
    CHECK(ExAcquireRundownProtectionCacheAware(RunRef) == TRUE);
    ExCleanupRundownProtectionCacheAware(RunRef);
    host_was_illegal("ExCleanupRundownProtectionCacheAware");
    /* Nothing has changed: it is still open. */
    CHECK(ExAcquireRundownProtectionCacheAware(RunRef) == TRUE);
    ExReleaseRundownProtectionCacheAware(RunRef);
    ExReleaseRundownProtectionCacheAware(RunRef);
    ExCleanupRundownProtectionCacheAware(RunRef);
    EQUAL(host.misused, 0);
    CHECK(ExAcquireRundownProtectionCacheAware(RunRef) == FALSE);
}

/* Replacements of initialisers that name members. */
CASE(a_static_reference_is_open_or_run_down)
{
    static EX_RUNDOWN_REF Open = {RUNDOWN_REF_OPEN};
    static EX_RUNDOWN_REF RunDown = {RUNDOWN_REF_CLOSED};
    CHECK(ExAcquireRundownProtection(&Open) == TRUE);
    CHECK(ExAcquireRundownProtection(&RunDown) == FALSE);
    ExReInitializeRundownProtection(&RunDown);
    CHECK(ExAcquireRundownProtection(&RunDown) == TRUE);
    EQUAL(sizeof(EX_RUNDOWN_REF), 16);
}

/* ---- Remove locks ---- */

static IO_REMOVE_LOCK remove_lock;
static int request, removal;

static void *remove_in_a_thread(void *argument)
{
    EQUAL(IoAcquireRemoveLock(&remove_lock, &removal), STATUS_SUCCESS);
    IoReleaseRemoveLockAndWait(&remove_lock, &removal);
    __atomic_store_n(&host.returned, 1, __ATOMIC_RELEASE);
    return argument;
}

CASE(release_and_wait_refuses_new_references_and_waits_for_the_others)
{
    pthread_t owner;
    host_start();
    IoInitializeRemoveLock(&remove_lock, 0x6C6D6572, 1, 0);
    EQUAL(rundown_ref_acquire_many(&remove_lock.Opaque, 4194303), RUNDOWN_STATUS_OK);
    EQUAL(IoAcquireRemoveLock(&remove_lock, &request), STATUS_INSUFFICIENT_RESOURCES);
    rundown_ref_release_many(&remove_lock.Opaque, 4194303);
    EQUAL(IoAcquireRemoveLock(&remove_lock, &request), STATUS_SUCCESS);
    EQUAL(IoAcquireRemoveLock(&remove_lock, NULL), STATUS_SUCCESS);
    IoReleaseRemoveLock(&remove_lock, NULL);
    owner = host_spawn(remove_in_a_thread, NULL);
    host_await_sleepers(1);
    EQUAL(IoAcquireRemoveLock(&remove_lock, &request), STATUS_DELETE_PENDING);
    EQUAL(host_linger(), 0);
    IoReleaseRemoveLock(&remove_lock, &request);
    pthread_join(owner, NULL);
    EQUAL(host.misused, 0);
}

/* ---- A driver: loaded, sent requests, also while its table is replaced, and unloaded ---- */

static int blocks;

PVOID ExAllocatePool2(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag)
{
    EQUAL(Flags, POOL_FLAG_NON_PAGED);
    CHECK(Tag != 0);
    __atomic_add_fetch(&blocks, 1, __ATOMIC_RELAXED);
    /* 16 bytes, as the documentation of the pool has it, and no more: an odd multiple. */
    char *block = (char *)aligned_alloc(256, ((NumberOfBytes + 16 + 255) / 256) * 256);
    CHECK(block != NULL);
    memset(block + 16, 0, NumberOfBytes);
    return block + 16;
}

VOID ExFreePoolWithTag(PVOID P, ULONG Tag)
{
    CHECK(Tag != 0);
    __atomic_sub_fetch(&blocks, 1, __ATOMIC_RELAXED);
    /* A use after this shall see nonsense. */
    memset(P, 0x5A, sizeof(ULONG));
    free((char *)P - 16);
}

static int served, stop;

static void *use_the_driver(void *argument)
{
    host_cpu = 1;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        ULONG value;
        if (NT_SUCCESS(TableLookup(63, &value))) {
            EQUAL(value % 63, 0);
            __atomic_add_fetch(&served, 1, __ATOMIC_RELAXED);
        }
    }
    return argument;
}

CASE(a_driver_loads_serves_and_unloads)
{
    static DRIVER_OBJECT driver;
    UNICODE_STRING path = {0, 0, NULL};
    pthread_t user;
    ULONG value = 0;
    host_start();
    CHECK(NT_SUCCESS(DriverEntry(&driver, &path)));
    EQUAL(TableLookup(7, &value), STATUS_SUCCESS);
    EQUAL(value, 7);
    EQUAL(TableReplace(3), STATUS_SUCCESS);
    EQUAL(TableLookup(7, &value), STATUS_SUCCESS);
    EQUAL(value, 21);
    CHECK(DeviceRequest(5) == TRUE);
    /* Another CPU looks up in the table while it is replaced. */
    user = host_spawn(use_the_driver, NULL);
    for (ULONG round = 1; round < 1000 || __atomic_load_n(&served, __ATOMIC_RELAXED) == 0; round++)
        EQUAL(TableReplace(round), STATUS_SUCCESS);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    pthread_join(user, NULL);
    driver.DriverUnload(&driver);
    CHECK(DeviceRequest(5) == FALSE);
    EQUAL(blocks, 0);
    EQUAL(host.misused, 0);
}
