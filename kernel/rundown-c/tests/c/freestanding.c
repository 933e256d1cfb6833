/* A C kernel's half around driver.c, as freestanding as it gets: no library, no start-up code, no operating
 * system. Both are linked with the archive for bare metal, and not run. */
#include <ntifs.h>

#include "driver.h"

void kernel_entry(void);

static unsigned char heap[RUNDOWN_SIZE(64)];

static size_t cpu_index(void)
{
    return 0;
}

static void *allocate(size_t size, size_t alignment, uint32_t tag)
{
    (void)alignment, (void)tag;
    return size <= sizeof heap ? heap : NULL;
}

static void deallocate(void *memory, size_t size)
{
    (void)memory, (void)size;
}

static void halt(const char *text)
{
    (void)text;
    for (;;)
        __asm__ volatile("cli; hlt");
}

PVOID ExAllocatePool2(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag)
{
    (void)Flags;
    return allocate(NumberOfBytes, 16, Tag);
}

VOID ExFreePoolWithTag(PVOID P, ULONG Tag)
{
    deallocate(P, Tag);
}

static const struct rundown_platform platform = {
    .size = sizeof(struct rundown_platform),
    .cpu_count = 4,
    .cpu_index = cpu_index,
    .allocate = allocate,
    .free = deallocate,
    .panic = halt,
};

void kernel_entry(void)
{
    static DRIVER_OBJECT driver;
    if (rundown_set_platform(&platform) == RUNDOWN_STATUS_OK && NT_SUCCESS(DriverEntry(&driver, NULL)))
        driver.DriverUnload(&driver);
    halt("done");
}
