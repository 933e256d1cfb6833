/* Read-side sections of liburcu, inlined into the loop as its users have them; compiled once for each
 * flavour. (_LGPL_SOURCE: for code under an LGPL-compatible licence, as this is.) */
#define _LGPL_SOURCE
#include <stdint.h>
#ifdef BP /* threads register themselves */
#include <urcu/urcu-bp.h>
#define PEER(name) peer_bp_##name
#define URCU(name) urcu_bp_##name
#else
#include <urcu/urcu-memb.h>
#define PEER(name) peer_memb_##name
#define URCU(name) urcu_memb_##name
#endif

void PEER(enter)(void) { URCU(register_thread)(); }

void PEER(leave)(void) { URCU(unregister_thread)(); }

void PEER(pairs)(uint64_t pairs)
{
    while (pairs--) {
        URCU(read_lock)();
        __asm__ volatile("" ::: "memory");
        URCU(read_unlock)();
    }
}
