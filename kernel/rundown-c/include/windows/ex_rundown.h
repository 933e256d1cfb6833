/*
 * ex_rundown.h - run-down protection under its documented Windows names, on rundown.h.
 *
 * The eight routines on an EX_RUNDOWN_REF and the eleven on a PEX_RUNDOWN_REF_CACHE_AWARE, with the
 * signatures of the public driver documentation, and two that have no description there: one
 * reserved (ExInitializeRundownProtectionCacheAwareEx), one only declared
 * (ExCleanupRundownProtectionCacheAware). Source compatible, not binary compatible: recompile.
 * (Remove locks, whose references have tags, are in wdm.h.) What differs from Windows:
 *
 *  - Acquire and release are legal in any context, NMI included. Wait needs a context in which the
 *    platform's `sleep` may be called.
 *  - The routines return no errors, so an illegal call goes to the platform's `misuse` and changes
 *    nothing: completing or re-initialising without a wait before, too small a buffer, unknown
 *    flags, freeing or cleaning up while protection is held, releasing more than was acquired. Two
 *    exceptions: protection acquired during ExCleanupRundownProtectionCacheAware may make it
 *    illegal and leave the object closed; and on a cache-aware object, one release too many is
 *    counted, and reported when the object closes or drains.
 *  - A PoolType is ignored. The memory is the platform's, and must be resident.
 *  - An EX_RUNDOWN_REF is opaque, and 16 bytes: the word of Windows, and room for a completion
 *    (rundown_ref_close_then), which Windows does not have. So code that stores one as a pointer,
 *    overlays it, or counts on its size, does not fit. At most 4194303 protections are held of one;
 *    beyond that, acquire returns FALSE.
 *  - It has no member Count, and there is no EX_RUNDOWN_ACTIVE: Windows' headers have them, its
 *    documentation does not. Write instead:
 *        EX_RUNDOWN_REF Ref = { .Count = EX_RUNDOWN_ACTIVE };   EX_RUNDOWN_REF Ref = {RUNDOWN_REF_CLOSED};
 *        EX_RUNDOWN_REF Ref = { 0 };                            EX_RUNDOWN_REF Ref = {RUNDOWN_REF_OPEN};
 *    The first is born run down: ExReInitializeRundownProtection opens it. Zeroed memory is open.
 */
#ifndef EX_RUNDOWN_H
#define EX_RUNDOWN_H

#include "../rundown.h"

/* Types and names of the documentation that the signatures need. */

typedef unsigned char BOOLEAN;
typedef uint32_t ULONG;
typedef size_t SIZE_T;
typedef uintptr_t ULONG_PTR;
typedef void *PVOID;

#ifndef VOID
#define VOID void
#endif
#ifndef TRUE
#define TRUE 1
#endif
#ifndef FALSE
#define FALSE 0
#endif
#ifndef NTAPI
#define NTAPI
#endif
#ifndef FORCEINLINE
#define FORCEINLINE static inline
#endif

/* Annotations of the source-code annotation language (SAL): nothing to these compilers. */
#ifndef _In_
#define _In_
#define _In_opt_
#define _Out_
#define _Out_opt_
#define _Inout_
#define _Inout_opt_
#define _Must_inspect_result_
#define _Use_decl_annotations_
#define _Function_class_(name)
#define _IRQL_requires_(irql)
#define _IRQL_requires_max_(irql)
#define _IRQL_requires_min_(irql)
#define _IRQL_requires_same_
#endif

/* The documented pool types that a driver may name. */
typedef enum _POOL_TYPE {
    NonPagedPool = 0,
    NonPagedPoolExecute = 0,
    PagedPool = 1,
    NonPagedPoolCacheAligned = 4,
    PagedPoolCacheAligned = 5,
    NonPagedPoolNx = 512,
    NonPagedPoolNxCacheAligned = 516
} POOL_TYPE;

/* 16 bytes, 8-byte aligned. */
typedef struct _EX_RUNDOWN_REF {
    struct rundown_ref Opaque;
} EX_RUNDOWN_REF, *PEX_RUNDOWN_REF;

typedef struct _EX_RUNDOWN_REF_CACHE_AWARE EX_RUNDOWN_REF_CACHE_AWARE, *PEX_RUNDOWN_REF_CACHE_AWARE;

/* Reports what is illegal, under the routine's name. */
#define EXP_RUNDOWN_CHECK(object, status)                                              \
    do {                                                                               \
        enum rundown_status Result = (status);                                         \
        if (Result != RUNDOWN_STATUS_OK)                                               \
            rundown_illegal_call(__func__, (object), Result);                          \
    } while (0)

/* ---- Plain: by value ----
 *
 * Acquire: TRUE if protection was acquired, the whole Count; FALSE if the run down has begun.
 * RundownCompleted: after a wait. ReInitialize: after a wait, completed or not. The same below. */

/* <= APC_LEVEL (here: any). The structure must not be in use yet. */
FORCEINLINE VOID ExInitializeRundownProtection(_Out_ PEX_RUNDOWN_REF RunRef)
{
    rundown_ref_init(&RunRef->Opaque);
}

_Must_inspect_result_
FORCEINLINE BOOLEAN ExAcquireRundownProtection(_Inout_ PEX_RUNDOWN_REF RunRef)
{
    return rundown_ref_try_acquire(&RunRef->Opaque) ? TRUE : FALSE;
}

_Must_inspect_result_
FORCEINLINE BOOLEAN ExAcquireRundownProtectionEx(_Inout_ PEX_RUNDOWN_REF RunRef, _In_ ULONG Count)
{
    return rundown_ref_try_acquire_many(&RunRef->Opaque, Count) ? TRUE : FALSE;
}

FORCEINLINE VOID ExReleaseRundownProtection(_Inout_ PEX_RUNDOWN_REF RunRef)
{
    rundown_ref_release(&RunRef->Opaque);
}

FORCEINLINE VOID ExReleaseRundownProtectionEx(_Inout_ PEX_RUNDOWN_REF RunRef, _In_ ULONG Count)
{
    rundown_ref_release_many(&RunRef->Opaque, Count);
}

/* <= APC_LEVEL. A rundown_ref_cancel meanwhile is overruled: this routine cannot say that the
 * object is in use again, so it closes it again. */
FORCEINLINE VOID ExWaitForRundownProtectionRelease(_Inout_ PEX_RUNDOWN_REF RunRef)
{
    while (rundown_ref_wait(&RunRef->Opaque) == RUNDOWN_STATUS_CANCELLED) {
    }
}

FORCEINLINE VOID ExRundownCompleted(_Out_ PEX_RUNDOWN_REF RunRef)
{
    EXP_RUNDOWN_CHECK(RunRef, rundown_ref_complete(&RunRef->Opaque));
}

FORCEINLINE VOID ExReInitializeRundownProtection(_Inout_ PEX_RUNDOWN_REF RunRef)
{
    EXP_RUNDOWN_CHECK(RunRef, rundown_ref_reinit(&RunRef->Opaque, NULL));
}

/* ---- Cache-aware: a counter per CPU ---- */

/* The object in a caller's buffer, which need not be aligned: it starts at the first address that
 * is. ExSizeOfRundownProtectionCacheAware has room for that. */
FORCEINLINE struct rundown *ExpRundownObject(_In_ PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware)
{
    const ULONG_PTR Mask = RUNDOWN_ALIGNMENT - 1;
    return (struct rundown *)(((ULONG_PTR)RunRefCacheAware + Mask) & ~Mask);
}

/* An object with a slot for each CPU, or NULL. <= APC_LEVEL. */
_Must_inspect_result_
FORCEINLINE PEX_RUNDOWN_REF_CACHE_AWARE ExAllocateCacheAwareRundownProtection(
    _In_ POOL_TYPE PoolType, _In_ ULONG PoolTag)
{
    struct rundown *Object;
    (void)PoolType;
    if (rundown_allocate(rundown_cpu_count(), PoolTag, &Object) != RUNDOWN_STATUS_OK)
        return NULL;
    return (PEX_RUNDOWN_REF_CACHE_AWARE)(PVOID)Object;
}

/* Only what ExAllocateCacheAwareRundownProtection returned. <= APC_LEVEL. */
FORCEINLINE VOID ExFreeCacheAwareRundownProtection(
    _Inout_ PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware)
{
    EXP_RUNDOWN_CHECK(RunRefCacheAware, rundown_free(ExpRundownObject(RunRefCacheAware)));
}

/* In bytes, for a buffer of any alignment. <= APC_LEVEL. */
FORCEINLINE SIZE_T ExSizeOfRundownProtectionCacheAware(VOID)
{
    return RUNDOWN_SIZE(rundown_cpu_count()) + RUNDOWN_ALIGNMENT - 1;
}

/* RunRefSize is what ExSizeOfRundownProtectionCacheAware returned. <= APC_LEVEL. */
FORCEINLINE VOID ExInitializeRundownProtectionCacheAware(
    _Out_ PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware, _In_ SIZE_T RunRefSize)
{
    struct rundown *Object = ExpRundownObject(RunRefCacheAware);
    const SIZE_T Skipped = (ULONG_PTR)Object - (ULONG_PTR)RunRefCacheAware;
    const SIZE_T Left = RunRefSize > Skipped ? RunRefSize - Skipped : 0;
    EXP_RUNDOWN_CHECK(RunRefCacheAware, rundown_init(Object, Left, rundown_cpu_count(), &Object));
}

/* Reserved in the documentation. Here: the same, in a buffer of
 * ExSizeOfRundownProtectionCacheAware() bytes. Flags must be 0: none is documented. */
FORCEINLINE VOID ExInitializeRundownProtectionCacheAwareEx(
    _Out_ PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware, _In_ ULONG Flags)
{
    if (Flags == 0)
        ExInitializeRundownProtectionCacheAware(
            RunRefCacheAware, ExSizeOfRundownProtectionCacheAware());
    else
        rundown_illegal_call(__func__, RunRefCacheAware, RUNDOWN_STATUS_BAD_FLAGS);
}

/* Declared, but not documented. Here: the end of an object in the caller's buffer. Nothing may
 * be held; an acquire afterwards, while the buffer still exists, is refused. */
FORCEINLINE VOID ExCleanupRundownProtectionCacheAware(
    _Inout_ PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware)
{
    struct rundown *Object = ExpRundownObject(RunRefCacheAware);
    /* The look before keeps what is held from being closed. */
    EXP_RUNDOWN_CHECK(RunRefCacheAware, rundown_racy_held(Object) > 0
                                            ? RUNDOWN_STATUS_OUTSTANDING
                                            : rundown_try_wait(Object, NULL));
}

_Must_inspect_result_
FORCEINLINE BOOLEAN ExAcquireRundownProtectionCacheAware(
    _Inout_ PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware)
{
    return rundown_try_acquire(ExpRundownObject(RunRefCacheAware)) ? TRUE : FALSE;
}

_Must_inspect_result_
FORCEINLINE BOOLEAN ExAcquireRundownProtectionCacheAwareEx(
    _Inout_ PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware, _In_ ULONG Count)
{
    return rundown_try_acquire_many(ExpRundownObject(RunRefCacheAware), Count) ? TRUE : FALSE;
}

FORCEINLINE VOID ExReleaseRundownProtectionCacheAware(
    _Inout_ PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware)
{
    rundown_release(ExpRundownObject(RunRefCacheAware));
}

FORCEINLINE VOID ExReleaseRundownProtectionCacheAwareEx(
    _Inout_ PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware, _In_ ULONG Count)
{
    rundown_release_many(ExpRundownObject(RunRefCacheAware), Count);
}

/* <= APC_LEVEL. About rundown_cancel as ExWaitForRundownProtectionRelease. */
FORCEINLINE VOID ExWaitForRundownProtectionReleaseCacheAware(
    _Inout_ PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware)
{
    while (rundown_wait(ExpRundownObject(RunRefCacheAware)) == RUNDOWN_STATUS_CANCELLED) {
    }
}

FORCEINLINE VOID ExRundownCompletedCacheAware(_Inout_ PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware)
{
    EXP_RUNDOWN_CHECK(RunRefCacheAware, rundown_complete(ExpRundownObject(RunRefCacheAware)));
}

FORCEINLINE VOID ExReInitializeRundownProtectionCacheAware(
    _Inout_ PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware)
{
    EXP_RUNDOWN_CHECK(RunRefCacheAware, rundown_reinit(ExpRundownObject(RunRefCacheAware), NULL));
}

#endif
