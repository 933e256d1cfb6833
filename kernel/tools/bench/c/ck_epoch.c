/* Sections of Concurrency Kit's ck_epoch. One global epoch; each thread has a record of its own, which
 * must outlive the thread: an unregistered record stays in the epoch's list, to be recycled. */
#include <ck_epoch.h>
#include <stdint.h>
#include <stdlib.h>

static ck_epoch_t epoch;

__attribute__((constructor)) static void initialise(void) { ck_epoch_init(&epoch); }

void *peer_ck_enter(void)
{
    ck_epoch_record_t *record = ck_epoch_recycle(&epoch, NULL);

    if (record != NULL)
        return record;
    record = aligned_alloc(CK_MD_CACHELINE, (sizeof(*record) + CK_MD_CACHELINE - 1) / CK_MD_CACHELINE * CK_MD_CACHELINE);
    if (record == NULL)
        abort();
    ck_epoch_register(&epoch, record, NULL);
    return record;
}

void peer_ck_leave(void *record) { ck_epoch_unregister(record); }

void peer_ck_pairs(void *record, uint64_t pairs)
{
    while (pairs--) {
        ck_epoch_begin(record, NULL);
        __asm__ volatile("" ::: "memory");
        ck_epoch_end(record, NULL);
    }
}
