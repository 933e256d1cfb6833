/* Read-side sections of liburcu, flavour "bp" (threads register themselves), inlined into the loop.
 * (_LGPL_SOURCE: for code under an LGPL-compatible licence, as this is.) */
#define _LGPL_SOURCE
#include <stdint.h>
#include <urcu/urcu-bp.h>

void peer_urcu_bp_pairs(uint64_t pairs)
{
    while (pairs--) {
        urcu_bp_read_lock();
        __asm__ volatile("" ::: "memory");
        urcu_bp_read_unlock();
    }
}
