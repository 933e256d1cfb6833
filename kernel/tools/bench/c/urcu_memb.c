/* Read-side sections of liburcu, flavour "memb", inlined into the loop as its users have them.
 * (_LGPL_SOURCE: for code under an LGPL-compatible licence, as this is.) */
#define _LGPL_SOURCE
#include <stdint.h>
#include <urcu/urcu-memb.h>

void peer_urcu_memb_enter_thread(void) { urcu_memb_register_thread(); }

void peer_urcu_memb_leave_thread(void) { urcu_memb_unregister_thread(); }

void peer_urcu_memb_pairs(uint64_t pairs)
{
    while (pairs--) {
        urcu_memb_read_lock();
        __asm__ volatile("" ::: "memory");
        urcu_memb_read_unlock();
    }
}
