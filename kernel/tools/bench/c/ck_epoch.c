/* Sections of Concurrency Kit's ck_epoch. One global epoch; each thread has a record of its own, which
 * must outlive the thread: an unregistered record stays in the epoch's list, to be recycled. */
#include <ck_epoch.h>
#include <stdint.h>
#include <stdlib.h>

static ck_epoch_t epoch;
static __thread ck_epoch_record_t *own;

__attribute__((constructor)) static void initialise(void) { ck_epoch_init(&epoch); }

void peer_ck_enter(void)
{
    own = ck_epoch_recycle(&epoch, NULL);
    if (own != NULL)
        return;
    own = aligned_alloc(CK_MD_CACHELINE, (sizeof(*own) + CK_MD_CACHELINE - 1) / CK_MD_CACHELINE * CK_MD_CACHELINE);
    if (own == NULL)
        abort();
    ck_epoch_register(&epoch, own, NULL);
}

void peer_ck_leave(void) { ck_epoch_unregister(own); }

void peer_ck_pairs(uint64_t pairs)
{
    ck_epoch_record_t *record = own;

    while (pairs--) {
        ck_epoch_begin(record, NULL);
        __asm__ volatile("" ::: "memory");
        ck_epoch_end(record, NULL);
    }
}
