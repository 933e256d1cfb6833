/* What the public documentation of Windows' drivers promises of memory for run-down protection, and of remove
 * locks. The calls under test are made by their Windows names only. */
#include "levels.h"

/* ---- Memory ---- */

CASE(initialize_takes_the_size_that_sizeof_returned)
{
    SIZE_T Size;
    char *buffer;
    start();
    Size = ExSizeOfRundownProtectionCacheAware();
    buffer = (char *)malloc(Size + 256);
    CHECK(buffer != NULL);
    /* However the buffer is aligned, and nothing outside it is touched. */
    for (size_t off = 0; off < 256; off += 8) {
        PEX_RUNDOWN_REF_CACHE_AWARE RunRef = (PEX_RUNDOWN_REF_CACHE_AWARE)(PVOID)(buffer + off);
        memset(buffer, 0x11, Size + 256);
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
    free(buffer);
}

CASE(initialize_with_a_smaller_size_is_illegal)
{
    __attribute__((aligned(RUNDOWN_ALIGNMENT)))
    static char buffer[RUNDOWN_SIZE(HOST_CPUS) + RUNDOWN_ALIGNMENT];
    PEX_RUNDOWN_REF_CACHE_AWARE aligned = (PEX_RUNDOWN_REF_CACHE_AWARE)(PVOID)buffer;
    PEX_RUNDOWN_REF_CACHE_AWARE unaligned = (PEX_RUNDOWN_REF_CACHE_AWARE)(PVOID)(buffer + 16);
    start();
    ExInitializeRundownProtectionCacheAware(aligned, ExSizeOfRundownProtectionCacheAware() / 2);
    was_illegal("ExInitializeRundownProtectionCacheAware");
    ExInitializeRundownProtectionCacheAware(unaligned, 15);
    was_illegal("ExInitializeRundownProtectionCacheAware");
    /* Enough for an aligned buffer, and for no other. */
    ExInitializeRundownProtectionCacheAware(unaligned, RUNDOWN_SIZE(HOST_CPUS));
    was_illegal("ExInitializeRundownProtectionCacheAware");
    ExInitializeRundownProtectionCacheAware(aligned, RUNDOWN_SIZE(HOST_CPUS));
    EQUAL(host.misused, 0);
}

CASE(allocate_stands_for_sizeof_and_initialize)
{
    PEX_RUNDOWN_REF_CACHE_AWARE RunRef;
    start();
    RunRef = ExAllocateCacheAwareRundownProtection(NonPagedPoolNx, 0x74736554);
    CHECK(RunRef != NULL);
    EQUAL(host.tag, 0x74736554);
    CHECK(ExAcquireRundownProtectionCacheAware(RunRef) == TRUE);
    ExFreeCacheAwareRundownProtection(RunRef);
    was_illegal("ExFreeCacheAwareRundownProtection");
    EQUAL(host.freed, 0);
    ExReleaseRundownProtectionCacheAware(RunRef);
    ExFreeCacheAwareRundownProtection(RunRef);
    EQUAL(host.freed, 1);
    EQUAL(host.misused, 0);
}

CASE(allocate_returns_null_if_it_fails)
{
    struct rundown_platform platform = host_platform();
    platform.allocate = host_no_memory;
    host_lend(platform);
    CHECK(ExAllocateCacheAwareRundownProtection(NonPagedPoolNx, 0) == NULL);
    EQUAL(host.misused, 0);
}

CASE(allocate_free_sizeof_and_initialize_up_to_apc_level)
{
    PEX_RUNDOWN_REF_CACHE_AWARE RunRef;
    SIZE_T Size;
    PVOID buffer;
    EX_RUNDOWN_REF Plain;
    start();
    /* Higher than promised, where the platform's functions fail: these call none that may block. */
    irql = DISPATCH_LEVEL;
    Size = ExSizeOfRundownProtectionCacheAware();
    buffer = malloc(Size);
    ExInitializeRundownProtectionCacheAware((PEX_RUNDOWN_REF_CACHE_AWARE)buffer, Size);
    ExInitializeRundownProtection(&Plain);
    EQUAL(host.allocated, 0);
    /* These call the allocator at the caller's level, and never sleep. */
    irql = APC_LEVEL;
    RunRef = ExAllocateCacheAwareRundownProtection(NonPagedPoolNx, 0);
    CHECK(RunRef != NULL);
    EQUAL(allocator_irql, APC_LEVEL);
    allocator_irql = PASSIVE_LEVEL;
    ExFreeCacheAwareRundownProtection(RunRef);
    EQUAL(allocator_irql, APC_LEVEL);
    EQUAL(host.slept, 0);
    EQUAL(host.misused, 0);
    free(buffer);
}

/* ---- The two that the documentation does not describe ---- */

CASE(initialize_ex_and_cleanup)
{
    PEX_RUNDOWN_REF_CACHE_AWARE RunRef;
    start();
    RunRef = (PEX_RUNDOWN_REF_CACHE_AWARE)malloc(ExSizeOfRundownProtectionCacheAware());
    /* No flag is documented. */
    ExInitializeRundownProtectionCacheAwareEx(RunRef, 1);
    was_illegal("ExInitializeRundownProtectionCacheAwareEx");
    ExInitializeRundownProtectionCacheAwareEx(RunRef, 0);
    CHECK(ExAcquireRundownProtectionCacheAware(RunRef) == TRUE);
    ExCleanupRundownProtectionCacheAware(RunRef);
    was_illegal("ExCleanupRundownProtectionCacheAware");
    /* Nothing has changed: it is still open. */
    CHECK(ExAcquireRundownProtectionCacheAware(RunRef) == TRUE);
    ExReleaseRundownProtectionCacheAware(RunRef);
    ExReleaseRundownProtectionCacheAware(RunRef);
    ExCleanupRundownProtectionCacheAware(RunRef);
    EQUAL(host.misused, 0);
    CHECK(ExAcquireRundownProtectionCacheAware(RunRef) == FALSE);
    free(RunRef);
}

/* ---- Static initialisers: what replaces those that name members ---- */

CASE(a_static_reference_is_open_or_run_down)
{
    static EX_RUNDOWN_REF Zero;
    static EX_RUNDOWN_REF Open = {RUNDOWN_REF_OPEN};
    static EX_RUNDOWN_REF RunDown = {RUNDOWN_REF_CLOSED};
    start();
    CHECK(ExAcquireRundownProtection(&Zero) == TRUE);
    CHECK(ExAcquireRundownProtection(&Open) == TRUE);
    CHECK(ExAcquireRundownProtection(&RunDown) == FALSE);
    ExWaitForRundownProtectionRelease(&RunDown);
    EQUAL(host.slept, 0);
    ExReInitializeRundownProtection(&RunDown);
    CHECK(ExAcquireRundownProtection(&RunDown) == TRUE);
    EQUAL(host.misused, 0);
    EQUAL(sizeof(EX_RUNDOWN_REF), 16);
}

/* ---- Remove locks ---- */

static IO_REMOVE_LOCK remove_lock;
static int request, removal, removed;

static void *remove_in_a_thread(void *argument)
{
    EQUAL(IoAcquireRemoveLock(&remove_lock, &removal), STATUS_SUCCESS);
    IoReleaseRemoveLockAndWait(&remove_lock, &removal);
    __atomic_store_n(&removed, 1, __ATOMIC_RELEASE);
    return argument;
}

CASE(release_and_wait_refuses_new_references_and_waits_for_the_others)
{
    pthread_t owner;
    start();
    IoInitializeRemoveLock(&remove_lock, 0x6C6D6572, 1, 0);
    EQUAL(IoAcquireRemoveLock(&remove_lock, &request), STATUS_SUCCESS);
    EQUAL(IoAcquireRemoveLock(&remove_lock, NULL), STATUS_SUCCESS);
    IoReleaseRemoveLock(&remove_lock, NULL);
    owner = host_spawn(remove_in_a_thread, NULL);
    host_await_sleepers(1);
    EQUAL(IoAcquireRemoveLock(&remove_lock, &request), STATUS_DELETE_PENDING);
    host_linger();
    CHECK(!__atomic_load_n(&removed, __ATOMIC_ACQUIRE));
    IoReleaseRemoveLock(&remove_lock, &request);
    host_join(owner);
    CHECK(removed);
    EQUAL(host.misused, 0);
}

CASE(a_remove_lock_can_be_full)
{
    start();
    IoInitializeRemoveLock(&remove_lock, 0, 0, 0);
    EQUAL(rundown_ref_acquire_many(&remove_lock.Opaque, 4194303), RUNDOWN_STATUS_OK);
    EQUAL(IoAcquireRemoveLock(&remove_lock, &request), STATUS_INSUFFICIENT_RESOURCES);
    rundown_ref_release_many(&remove_lock.Opaque, 4194303);
}
