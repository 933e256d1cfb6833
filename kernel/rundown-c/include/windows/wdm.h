/*
 * wdm.h - as much of it as a driver's code around run-down protection needs.
 *
 * Not a driver kit: types, status codes and macros, and hardly a routine but those of ex_rundown.h. The two
 * pool routines are declared, so that a driver can allocate the buffer that
 * ExInitializeRundownProtectionCacheAware wants; your kernel defines them if it has drivers that do.
 */
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

/* Atomically adds one; returns the sum. A full barrier. */
FORCEINLINE LONG InterlockedIncrement(_Inout_ LONG volatile *Addend)
{
    return __atomic_add_fetch(Addend, 1, __ATOMIC_SEQ_CST);
}

FORCEINLINE LONG InterlockedDecrement(_Inout_ LONG volatile *Addend)
{
    return __atomic_sub_fetch(Addend, 1, __ATOMIC_SEQ_CST);
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
