/* The services that a hosted program supplies to rundown, on POSIX threads: what a kernel would write
 * with its own means. */
#ifndef HOST_H
#define HOST_H

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rundown.h>

#include "check.h"

#define HOST_CPUS 4

/* Which "CPU" a thread is on. Each test sets its own. */
static __thread size_t host_cpu;

static pthread_mutex_t host_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t host_rung = PTHREAD_COND_INITIALIZER;

/* What happened so far. */
static struct {
    int slept, woken, allocated, freed, paused, misused;
    size_t size, alignment, freed_size;
    uint32_t tag;
    struct rundown_misuse misuse;
    char misuse_text[256];
} host;

static size_t host_cpu_index(void)
{
    return host_cpu;
}

static uint64_t host_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void host_sleep(const struct rundown_waiting *waiting, bool (*ready)(void *state), void *state)
{
    __atomic_add_fetch(&host.slept, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&host_lock);
    while (!ready(state)) {
        if (waiting->has_deadline) {
            /* By the condition's own clock, a millisecond at a time. */
            struct timespec soon;
            clock_gettime(CLOCK_REALTIME, &soon);
            soon.tv_nsec += 1000000;
            soon.tv_sec += soon.tv_nsec / 1000000000;
            soon.tv_nsec %= 1000000000;
            pthread_cond_timedwait(&host_rung, &host_lock, &soon);
        } else {
            pthread_cond_wait(&host_rung, &host_lock);
        }
    }
    pthread_mutex_unlock(&host_lock);
}

static void host_wake(uintptr_t object)
{
    (void)object;
    __atomic_add_fetch(&host.woken, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&host_lock);
    pthread_cond_broadcast(&host_rung);
    pthread_mutex_unlock(&host_lock);
}

static void *host_allocate(size_t size, size_t alignment, uint32_t tag)
{
    void *memory = NULL;
    __atomic_add_fetch(&host.allocated, 1, __ATOMIC_RELAXED);
    host.size = size;
    host.alignment = alignment;
    host.tag = tag;
    if (posix_memalign(&memory, alignment, size) != 0)
        return NULL;
    return memset(memory, 0xA5, size);
}

/* Of a system that is out of memory. */
static inline void *host_no_memory(size_t size, size_t alignment, uint32_t tag)
{
    (void)size, (void)alignment, (void)tag;
    return NULL;
}

static void host_free(void *memory, size_t size)
{
    __atomic_add_fetch(&host.freed, 1, __ATOMIC_RELAXED);
    host.freed_size = size;
    /* A use after this shall see nonsense. */
    memset(memory, 0x5A, size);
    free(memory);
}

static void host_misuse(const struct rundown_misuse *what)
{
    host.misuse = *what;
    snprintf(host.misuse_text, sizeof host.misuse_text, "%s", what->text);
    __atomic_add_fetch(&host.misused, 1, __ATOMIC_RELAXED);
}

static void host_panic(const char *text)
{
    fprintf(stderr, "panic: %s\n", text);
    _exit(3);
}

/* The whole table. Tests may change it before they hand it over. */
static struct rundown_platform host_platform(void)
{
    struct rundown_platform platform;
    memset(&platform, 0, sizeof platform);
    platform.size = sizeof platform;
    platform.cpu_count = HOST_CPUS;
    platform.cpu_index = host_cpu_index;
    platform.sleep = host_sleep;
    platform.wake = host_wake;
    platform.allocate = host_allocate;
    platform.free = host_free;
    platform.now = host_now;
    platform.misuse = host_misuse;
    platform.panic = host_panic;
    return platform;
}

/* It must live for ever. */
static struct rundown_platform host_table;

static void host_lend(struct rundown_platform platform)
{
    host_table = platform;
    EQUAL(rundown_set_platform(&host_table), RUNDOWN_STATUS_OK);
}

static inline void host_start(void)
{
    host_lend(host_platform());
}

static inline pthread_t host_spawn(void *(*run)(void *), void *argument)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, run, argument) == 0);
    return thread;
}

static inline void host_join(pthread_t thread)
{
    CHECK(pthread_join(thread, NULL) == 0);
}

/* Returns when so many calls of `sleep` have begun: the waits that they belong to have begun, however busy
 * the machine is. */
static inline void host_await_sleepers(int count)
{
    while (__atomic_load_n(&host.slept, __ATOMIC_RELAXED) < count)
        sched_yield();
}

/* Gives the others time to do what they must not do: to return from a wait, for example. */
static inline void host_linger(void)
{
    const struct timespec time = {0, 20 * 1000 * 1000};
    nanosleep(&time, NULL);
}

#endif
