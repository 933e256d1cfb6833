/* Shared by the programs: named test cases; the services that a hosted program supplies to rundown,
 * on POSIX threads, as a kernel would by its own means; and a program's variant. C11 and C++17. */
#ifndef HOST_H
#define HOST_H

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
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

/* A test: CASE(name) { ... }. A program runs all, or the one that its command line names, each in a
 * process of its own: so each may set a platform, and one that hangs or crashes fails alone. */
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

/* Runs it in a child; returns how that ended, as waitpid says. */
static int ending_of(void (*run)(void))
{
    int status;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(CASE_DEADLINE);
        run();
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}

int main(int argc, char **argv)
{
    int passed = 0, failed = 0;
    for (const struct test_case *it = all_cases; it; it = it->next) {
        if (argc > 1 && strcmp(it->name, argv[1]) != 0)
            continue;
        const int status = ending_of(it->run);
        *(status ? &failed : &passed) += 1;
        if (status)
            fprintf(stderr, "%s failed (waitpid: %#x)\n", it->name, (unsigned)status);
    }
    return failed > 0 || passed == 0;
}

/* ---- The platform ---- */

#define HOST_CPUS 4

/* Which "CPU" a thread is on, and its level of interrupts by Windows' numbers: above 1 (APC_LEVEL)
 * it must not block or allocate. Each test sets its own. */
static __thread size_t host_cpu;
static __thread int host_level;

static pthread_mutex_t host_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t host_rung = PTHREAD_COND_INITIALIZER;

/* Counts so far. `returned`: waits, where a test counts them. */
static struct {
    int slept, woken, returned, allocated, freed, misused;
    bool out_of_memory;
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
            pthread_mutex_unlock(&host_lock);
            usleep(1000);
            pthread_mutex_lock(&host_lock);
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
    if (host.out_of_memory)
        return NULL;
    host.size = size;
    host.alignment = alignment;
    host.tag = tag;
    EQUAL(posix_memalign(&memory, alignment, size), 0);
    return memset(memory, 0xA5, size);
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

/* Returns when `count` calls of `sleep` have begun, and with them their waits, however busy the
 * machine is. */
static inline void host_await_sleepers(int count)
{
    while (__atomic_load_n(&host.slept, __ATOMIC_RELAXED) < count)
        sched_yield();
}

/* Gives waits time to return that must not; how many have, by now. */
static inline int host_linger(void)
{
    usleep(20 * 1000);
    return __atomic_load_n(&host.returned, __ATOMIC_ACQUIRE);
}

/* That the last routine was refused as an illegal call, and by its name. */
static inline void host_was_illegal(const char *routine)
{
    EQUAL(host.misused, 1);
    EQUAL(host.misuse.kind, RUNDOWN_MISUSE_KIND_ILLEGAL_CALL);
    CHECK(strstr(host.misuse_text, routine) != NULL);
    host.misused = 0;
}

/* ---- The variant: a struct rundown_ref if PLAIN is 1, else a struct rundown. Its calls are CALL(name). ---- */

#if PLAIN
#define OBJECT struct rundown_ref
#define CALL(name) rundown_ref_##name
#else
#define OBJECT struct rundown
#define CALL(name) rundown_##name
#endif

/* In static memory; one at a time. */
static inline OBJECT *new_object(bool closed)
{
#if PLAIN
    static struct rundown_ref object;
    (closed ? rundown_ref_init_closed : rundown_ref_init)(&object);
    return &object;
#else
    __attribute__((aligned(RUNDOWN_ALIGNMENT))) static char memory[RUNDOWN_SIZE(HOST_CPUS)];
    struct rundown *object;
    EQUAL((closed ? rundown_init_closed : rundown_init)(memory, sizeof memory, HOST_CPUS, &object),
          RUNDOWN_STATUS_OK);
    return object;
#endif
}

/* With the whole platform. */
static inline OBJECT *start_with_object(void)
{
    host_start();
    return new_object(false);
}

#endif
