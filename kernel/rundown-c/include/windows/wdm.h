/*
 * wdm.h - as much of it as a driver's code around run-down protection needs.
 *
 * Not a driver kit: types, status codes and macros, and hardly a routine but those of ex_rundown.h
 * and of remove locks. The two pool routines are declared, for drivers that allocate the buffer of
 * ExInitializeRundownProtectionCacheAware; your kernel defines them if it has such drivers. */
#ifndef _WDMDDK_
#define _WDMDDK_

#include "ex_rundown.h"

typedef int32_t LONG, NTSTATUS;
typedef ULONG *PULONG;
typedef uint16_t USHORT;
typedef uint64_t ULONG64, POOL_FLAGS;
typedef unsigned char UCHAR, KIRQL;
typedef uint16_t WCHAR, *PWCH;

#define PASSIVE_LEVEL 0
#define APC_LEVEL 1
#define DISPATCH_LEVEL 2

#define NT_SUCCESS(Status) (((NTSTATUS)(Status)) >= 0)
#define STATUS_SUCCESS ((NTSTATUS)0x00000000)
#define STATUS_INVALID_PARAMETER ((NTSTATUS)0xC000000D)
#define STATUS_DELETE_PENDING ((NTSTATUS)0xC0000056)
#define STATUS_INSUFFICIENT_RESOURCES ((NTSTATUS)0xC000009A)
#define STATUS_DEVICE_NOT_READY ((NTSTATUS)0xC00000A3)

#define UNREFERENCED_PARAMETER(P) ((void)(P))
#define PAGED_CODE() ((void)0)

#define POOL_FLAG_NON_PAGED 0x0000000000000040ULL
#define POOL_FLAG_PAGED 0x0000000000000100ULL

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Remove locks ----
 *
 * IO_REMOVE_LOCK by the documentation, on a struct rundown_ref: a reference has a tag, which is
 * NULL or any value that tells one use from another, and is released under the same. The library
 * reports a wrong tag (to the platform's `misuse`) if it was built with feature `diagnosis`, as
 * Windows does in checked builds; otherwise tags are ignored. Different from Windows:
 *  - The pool tag, the minutes and the high-water mark of IoInitializeRemoveLock are ignored: a
 *    holder that keeps its reference too long is found by rundown_ref_racy_holders.
 *  - Acquire and release are legal in any context, NMI included.
 *  - With 4194303 references held, acquire returns STATUS_INSUFFICIENT_RESOURCES. */
typedef struct _IO_REMOVE_LOCK {
    struct rundown_ref Opaque;
} IO_REMOVE_LOCK, *PIO_REMOVE_LOCK;

FORCEINLINE VOID IoInitializeRemoveLock(_Out_ PIO_REMOVE_LOCK Lock, _In_ ULONG AllocateTag,
                                        _In_ ULONG MaxLockedMinutes, _In_ ULONG HighWatermark)
{
    UNREFERENCED_PARAMETER(AllocateTag);
    UNREFERENCED_PARAMETER(MaxLockedMinutes);
    UNREFERENCED_PARAMETER(HighWatermark);
    rundown_ref_init(&Lock->Opaque);
}

/* STATUS_SUCCESS, or STATUS_DELETE_PENDING once IoReleaseRemoveLockAndWait has been called. */
FORCEINLINE NTSTATUS IoAcquireRemoveLock(_Inout_ PIO_REMOVE_LOCK RemoveLock, _In_opt_ PVOID Tag)
{
    switch (rundown_ref_acquire_tagged(&RemoveLock->Opaque, 1, Tag)) {
    case RUNDOWN_STATUS_OK:
        return STATUS_SUCCESS;
    case RUNDOWN_STATUS_FULL:
        return STATUS_INSUFFICIENT_RESOURCES;
    default:
        return STATUS_DELETE_PENDING;
    }
}

FORCEINLINE VOID IoReleaseRemoveLock(_Inout_ PIO_REMOVE_LOCK RemoveLock, _In_opt_ PVOID Tag)
{
    rundown_ref_release_tagged(&RemoveLock->Opaque, 1, Tag);
}

/* PASSIVE_LEVEL. For a caller that holds a reference under this tag: refuses new ones, releases it,
 * and returns when all others are released. */
FORCEINLINE VOID IoReleaseRemoveLockAndWait(_Inout_ PIO_REMOVE_LOCK RemoveLock, _In_opt_ PVOID Tag)
{
    rundown_ref_close(&RemoveLock->Opaque);
    rundown_ref_release_tagged(&RemoveLock->Opaque, 1, Tag);
    while (rundown_ref_wait(&RemoveLock->Opaque) == RUNDOWN_STATUS_CANCELLED) {
    }
}

PVOID ExAllocatePool2(_In_ POOL_FLAGS Flags, _In_ SIZE_T NumberOfBytes, _In_ ULONG Tag);
VOID ExFreePoolWithTag(_In_ PVOID P, _In_ ULONG Tag);

#ifdef __cplusplus
}
#endif

typedef struct _UNICODE_STRING {
    USHORT Length;
    USHORT MaximumLength;
    PWCH Buffer;
} UNICODE_STRING, *PUNICODE_STRING;

typedef struct _DRIVER_OBJECT DRIVER_OBJECT, *PDRIVER_OBJECT;
typedef VOID DRIVER_UNLOAD(PDRIVER_OBJECT DriverObject);
typedef DRIVER_UNLOAD *PDRIVER_UNLOAD;
typedef NTSTATUS DRIVER_INITIALIZE(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath);

/* Of the documented members, the one that teardown begins with. */
struct _DRIVER_OBJECT {
    PDRIVER_UNLOAD DriverUnload;
};

#endif
