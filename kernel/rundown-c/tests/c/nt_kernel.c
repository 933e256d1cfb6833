/* A kernel for driver.c: loads it, sends requests, also while its table is replaced, and unloads it. Its side
 * of the bargain is a platform (host.h) and the two pool routines. */
#include "driver.h"

#include "host.h"

/* ---- Pool ---- */

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

/* ---- The driver's life ---- */

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

CASE(loads_serves_and_unloads)
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
    EQUAL(TableLookup(64, &value), STATUS_INVALID_PARAMETER);
    CHECK(DeviceBeginBurst(1) == TRUE);
    DeviceEndRequest();
    DeviceStop();
    CHECK(DeviceBeginBurst(1) == FALSE);
    DeviceStart();
    CHECK(DeviceBeginBurst(1) == TRUE);
    DeviceEndRequest();
    /* Another CPU looks up in the table while it is replaced. */
    user = host_spawn(use_the_driver, NULL);
    for (ULONG round = 1; round < 1000 || __atomic_load_n(&served, __ATOMIC_RELAXED) == 0; round++)
        EQUAL(TableReplace(round), STATUS_SUCCESS);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    host_join(user);
    driver.DriverUnload(&driver);
    EQUAL(blocks, 0);
    EQUAL(host.misused, 0);
}
