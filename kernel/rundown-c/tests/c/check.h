/* Named test cases. A program runs the one that its command line names, in a process of its own: so
 * each may set a platform, and one that hangs or crashes fails alone. C11 and C++17. */
#ifndef CHECK_H
#define CHECK_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Seconds after which a case has failed by hanging. */
#define CASE_DEADLINE 120

struct test_case {
    const char *name;
    void (*run)(void);
    struct test_case *next;
};

static struct test_case *all_cases;

/* A test: CASE(name) { ... }. The harness reads the names from the source. */
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

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);   \
            _exit(1);                                                                 \
        }                                                                             \
    } while (0)

/* Two integers that must be equal; says what they are. */
#define EQUAL(left, right) check_equal(__FILE__, __LINE__, #left, (long long)(left), (long long)(right))

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
    if (argc != 2) {
        fprintf(stderr, "usage: %s <case>\n", argv[0]);
        return 2;
    }
    while (found && strcmp(found->name, argv[1]) != 0)
        found = found->next;
    if (!found) {
        fprintf(stderr, "no case %s\n", argv[1]);
        return 2;
    }
    alarm(CASE_DEADLINE);
    found->run();
    return 0;
}

#endif
