/* A kernel for driver.c: loads it, sends requests from several threads, unloads it. Its side of the
 * bargain is a platform (host.h) and the two pool routines. */
#include "driver.h"

#include "host.h"

#define CPUS 3

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

static DRIVER_OBJECT driver;
/* How many threads have had an answer of the table, and how many of the device: the test goes on until all
 * have had both. */
static int served;
static int stop;

static void load(void)
{
    UNICODE_STRING path = {0, 0, NULL};
    host_start();
    CHECK(NT_SUCCESS(DriverEntry(&driver, &path)));
    CHECK(driver.DriverUnload != NULL);
}

static void unload(void)
{
    driver.DriverUnload(&driver);
    EQUAL(blocks, 0);
    EQUAL(host.misused, 0);
}

/* Counts the first time. */
static void served_by(bool *before)
{
    if (!*before)
        __atomic_add_fetch(&served, 1, __ATOMIC_RELAXED);
    *before = true;
}

/* Looks up in the table, and has the device work. */
static void *use_the_driver(void *argument)
{
    bool found = false, worked = false;
    host_cpu = (size_t)argument;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        ULONG value;
        if (NT_SUCCESS(TableLookup(63, &value))) {
            EQUAL(value % 63, 0);
            served_by(&found);
        }
        if (DeviceBeginBurst(8)) {
            for (int i = 0; i < 8; i++)
                DeviceEndRequest();
            served_by(&worked);
        }
    }
    return NULL;
}

CASE(loads_serves_and_unloads)
{
    ULONG value = 0;
    load();
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
    unload();
}

CASE(serves_all_cpus_while_its_table_is_replaced_and_its_device_stopped)
{
    pthread_t threads[CPUS];
    load();
    for (size_t cpu = 0; cpu < CPUS; cpu++)
        threads[cpu] = host_spawn(use_the_driver, (void *)cpu);
    for (ULONG round = 0; round < 1000 || __atomic_load_n(&served, __ATOMIC_RELAXED) < 2 * CPUS;
         round++) {
        EQUAL(TableReplace(1 + round % 1000), STATUS_SUCCESS);
        DeviceStop();
        DeviceStart();
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < CPUS; i++)
        host_join(threads[i]);
    unload();
}
