/* A C kernel's half around driver.c, as freestanding as it gets: no library, no start-up code, no
 * operating system. It is linked with the archive for bare metal, and not run. */
#include <ntifs.h>

#include "driver.c"

void kernel_entry(void);

PVOID ExAllocatePool2(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag)
{
    static unsigned char heap[RUNDOWN_SIZE(64)];
    (void)Flags, (void)Tag;
    return NumberOfBytes <= sizeof heap ? heap : NULL;
}

VOID ExFreePoolWithTag(PVOID P, ULONG Tag)
{
    (void)P, (void)Tag;
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
    .panic = halt,
};

void kernel_entry(void)
{
    static DRIVER_OBJECT driver;
    ULONG Value;
    if (rundown_set_platform(&platform) == RUNDOWN_STATUS_OK && NT_SUCCESS(DriverEntry(&driver, NULL)))
        if (DeviceRequest(1) && NT_SUCCESS(TableReplace(3)) && NT_SUCCESS(TableLookup(2, &Value)))
            driver.DriverUnload(&driver);
    halt("done");
}
