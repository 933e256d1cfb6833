/* A C kernel's half, as freestanding as it gets: no library, no start-up code, no operating system.
 * It is linked with the archive for bare metal, and is not run. Every routine is referenced, so that
 * the link shows that nothing is missing. */
#include <ntifs.h>

void kernel_entry(void);
int exercise(void);

static size_t cpu_index(void)
{
    return 0;
}

static void *allocate(size_t size, size_t alignment, uint32_t tag)
{
    __attribute__((aligned(RUNDOWN_ALIGNMENT))) static unsigned char heap[RUNDOWN_SIZE(4)];
    (void)alignment;
    (void)tag;
    return size <= sizeof heap ? heap : NULL;
}

static void deallocate(void *memory, size_t size)
{
    (void)memory;
    (void)size;
}

static void halt(const char *text)
{
    (void)text;
    for (;;)
        __asm__ volatile("cli; hlt");
}

static const struct rundown_platform platform = {
    .size = sizeof(struct rundown_platform),
    .cpu_count = 4,
    .cpu_index = cpu_index,
    .allocate = allocate,
    .free = deallocate,
    .panic = halt,
};

int exercise(void)
{
    static EX_RUNDOWN_REF plain;
    static IO_REMOVE_LOCK lock;
    static unsigned char buffer[RUNDOWN_SIZE(4) + RUNDOWN_ALIGNMENT];
    PEX_RUNDOWN_REF_CACHE_AWARE own = (PEX_RUNDOWN_REF_CACHE_AWARE)(PVOID)buffer;
    PEX_RUNDOWN_REF_CACHE_AWARE pool;

    if (rundown_set_platform(&platform) != RUNDOWN_STATUS_OK)
        return 1;

    ExInitializeRundownProtection(&plain);
    if (!ExAcquireRundownProtection(&plain) || !ExAcquireRundownProtectionEx(&plain, 2))
        return 2;
    ExReleaseRundownProtection(&plain);
    ExReleaseRundownProtectionEx(&plain, 2);
    ExWaitForRundownProtectionRelease(&plain);
    ExRundownCompleted(&plain);
    ExReInitializeRundownProtection(&plain);

    IoInitializeRemoveLock(&lock, 0, 0, 0);
    if (!NT_SUCCESS(IoAcquireRemoveLock(&lock, &lock)) || !NT_SUCCESS(IoAcquireRemoveLock(&lock, NULL)))
        return 4;
    IoReleaseRemoveLock(&lock, NULL);
    IoReleaseRemoveLockAndWait(&lock, &lock);

    ExInitializeRundownProtectionCacheAware(own, ExSizeOfRundownProtectionCacheAware());
    ExInitializeRundownProtectionCacheAwareEx(own, 0);
    pool = ExAllocateCacheAwareRundownProtection(NonPagedPoolNx, 1);
    if (!pool || !ExAcquireRundownProtectionCacheAware(pool) ||
        !ExAcquireRundownProtectionCacheAwareEx(pool, 2))
        return 3;
    ExReleaseRundownProtectionCacheAware(pool);
    ExReleaseRundownProtectionCacheAwareEx(pool, 2);
    ExWaitForRundownProtectionReleaseCacheAware(pool);
    ExRundownCompletedCacheAware(pool);
    ExReInitializeRundownProtectionCacheAware(pool);
    ExFreeCacheAwareRundownProtection(pool);
    ExCleanupRundownProtectionCacheAware(own);
    return 0;
}

void kernel_entry(void)
{
    (void)exercise();
    halt("done");
}
