/* A driver as its author would write it from the public documentation: nothing in this file knows
 * that there is no Windows below. It owns a table that every CPU reads and that is replaced while
 * they do, behind cache-aware run-down protection in memory of its own, and a device that is
 * stopped by the unload, behind plain run-down protection. */
#include <ntddk.h>

#define TABLE_TAG 'lbaT'
#define TABLE_ENTRIES 64

typedef struct _TABLE {
    ULONG Entry[TABLE_ENTRIES];
} TABLE, *PTABLE;

static PTABLE Table;
static PEX_RUNDOWN_REF_CACHE_AWARE TableRundown;

static EX_RUNDOWN_REF DeviceRundown;

DRIVER_INITIALIZE DriverEntry;
static DRIVER_UNLOAD DriverUnload;

static PTABLE TableCreate(_In_ ULONG Factor)
{
    ULONG Key;
    PTABLE NewTable = (PTABLE)ExAllocatePool2(POOL_FLAG_NON_PAGED, sizeof(TABLE), TABLE_TAG);

    if (NewTable != NULL)
        for (Key = 0; Key < TABLE_ENTRIES; Key++)
            NewTable->Entry[Key] = Key * Factor;
    return NewTable;
}

_Use_decl_annotations_
NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    SIZE_T Size = ExSizeOfRundownProtectionCacheAware();

    UNREFERENCED_PARAMETER(RegistryPath);
    PAGED_CODE();

    Table = TableCreate(1);
    TableRundown =
        (PEX_RUNDOWN_REF_CACHE_AWARE)ExAllocatePool2(POOL_FLAG_NON_PAGED, Size, TABLE_TAG);
    if (Table == NULL || TableRundown == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    ExInitializeRundownProtectionCacheAware(TableRundown, Size);

    ExInitializeRundownProtection(&DeviceRundown);
    DriverObject->DriverUnload = DriverUnload;
    return STATUS_SUCCESS;
}

_Use_decl_annotations_
static VOID DriverUnload(PDRIVER_OBJECT DriverObject)
{
    UNREFERENCED_PARAMETER(DriverObject);
    PAGED_CODE();

    ExWaitForRundownProtectionRelease(&DeviceRundown);
    ExRundownCompleted(&DeviceRundown);
    ExWaitForRundownProtectionReleaseCacheAware(TableRundown);
    ExRundownCompletedCacheAware(TableRundown);
    ExFreePoolWithTag(Table, TABLE_TAG);
    ExFreePoolWithTag(TableRundown, TABLE_TAG);
}

/* Looks a key up in the table that is in force. */
static NTSTATUS TableLookup(_In_ ULONG Key, _Out_ ULONG *Value)
{
    if (Key >= TABLE_ENTRIES)
        return STATUS_INVALID_PARAMETER;
    if (!ExAcquireRundownProtectionCacheAware(TableRundown))
        return STATUS_DELETE_PENDING;

    *Value = Table->Entry[Key];
    ExReleaseRundownProtectionCacheAware(TableRundown);
    return STATUS_SUCCESS;
}

/* Puts another table in force; each value in it is Factor times its key. */
static NTSTATUS TableReplace(_In_ ULONG Factor)
{
    PTABLE OldTable;
    PTABLE NewTable = TableCreate(Factor);

    if (NewTable == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;

    ExWaitForRundownProtectionReleaseCacheAware(TableRundown);
    OldTable = Table;
    Table = NewTable;
    ExReInitializeRundownProtectionCacheAware(TableRundown);

    ExFreePoolWithTag(OldTable, TABLE_TAG);
    return STATUS_SUCCESS;
}

/* A burst of requests to the device; refused when it is stopped. */
static BOOLEAN DeviceRequest(_In_ ULONG Requests)
{
    if (!ExAcquireRundownProtectionEx(&DeviceRundown, Requests))
        return FALSE;
    ExReleaseRundownProtectionEx(&DeviceRundown, Requests);
    return TRUE;
}
