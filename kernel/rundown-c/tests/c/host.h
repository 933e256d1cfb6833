/* What the programs share: named test cases, and the services that a hosted program supplies to rundown, on
 * POSIX threads: what a kernel would write with its own means. C11 and C++17. */
#ifndef HOST_H
#define HOST_H

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rundown.h>

/* ---- Cases ---- */

/* Seconds after which a case has failed by hanging. */
#define CASE_DEADLINE 120

struct test_case {
    const char *name;
    void (*run)(void);
    struct test_case *next;
};

static struct test_case *all_cases;

/* A test: CASE(name) { ... }. The harness reads the names from the source. A program runs the one that its
 * command line names, in a process of its own: so each may set a platform, and one that hangs or crashes fails
 * alone. */
#define CASE(case_name)                                                               \
    static void case_name(void);                                                      \
    __attribute__((constructor)) static void register_##case_name(void)               \
    {                                                                                 \
        static struct test_case entry;                                                \
        entry.name = #case_name;                                                      \
        entry.run = case_name;                                                        \
        entry.next = all_cases;                                                       \
        all_cases = &entry;                                                           \
    }                                                                                 \
    static void case_name(void)

/* Two integers that must be equal; says what they are. */
#define EQUAL(left, right) check_equal(__FILE__, __LINE__, #left, (long long)(left), (long long)(right))
#define CHECK(condition) EQUAL(!!(condition), 1)

static inline void check_equal(const char *file, int line, const char *what, long long left,
                               long long right)
{
    if (left != right) {
        fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", file, line, what, left, right);
        _exit(1);
    }
}

int main(int argc, char **argv)
{
    const struct test_case *found = all_cases;
    while (found && (argc != 2 || strcmp(found->name, argv[1]) != 0))
        found = found->next;
    if (!found) {
        fprintf(stderr, "usage: %s <case>\n", argv[0]);
        return 2;
    }
    alarm(CASE_DEADLINE);
    found->run();
    return 0;
}

/* ---- The platform ---- */

#define HOST_CPUS 4

/* Which "CPU" a thread is on, and its level of interrupts by Windows' numbers: above 1 (APC_LEVEL) it must not
 * block or allocate. Each test sets its own. */
static __thread size_t host_cpu;
static __thread int host_level;

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
    CHECK(host_level <= 1);
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
    CHECK(host_level <= 1);
    __atomic_add_fetch(&host.allocated, 1, __ATOMIC_RELAXED);
    host.size = size;
    host.alignment = alignment;
    host.tag = tag;
    EQUAL(posix_memalign(&memory, alignment, size), 0);
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
    CHECK(host_level <= 1);
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
    EQUAL(pthread_create(&thread, NULL, run, argument), 0);
    return thread;
}

static inline void host_join(pthread_t thread)
{
    EQUAL(pthread_join(thread, NULL), 0);
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

/* That the last routine was refused as an illegal call, and by its name. */
static inline void host_was_illegal(const char *routine)
{
    EQUAL(host.misused, 1);
    EQUAL(host.misuse.kind, RUNDOWN_MISUSE_KIND_ILLEGAL_CALL);
    CHECK(strstr(host.misuse_text, routine) != NULL);
    host.misused = 0;
}

#endif
