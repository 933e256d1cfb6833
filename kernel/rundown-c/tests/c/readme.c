/* The kernel around the README's example, which is compiled beside this. */
#include "host.h"

struct card {
    unsigned frames;
};

struct card_files {
    struct rundown_ref rundown;
    struct rundown_completion gone;
};

/* The example's. */
bool card_files_close(struct card_files *files);
bool card_plug(struct card *plugged);
bool card_poll(unsigned *frames);
struct card *card_swap(struct card *plugged);

/* Declarations that it needs. */
size_t my_cpu(void);
void my_panic(const char *text);
void my_free(void *memory);

size_t my_cpu(void)
{
    return host_cpu;
}

void my_panic(const char *text)
{
    host_panic(text);
}

static int freed;

void my_free(void *memory)
{
    free(memory);
    freed++;
}

static struct card cards[2] = {{1}, {2}};
static int stop;

static void *poll_it(void *argument)
{
    unsigned frames = 0;
    host_cpu = (size_t)argument;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
        if (card_poll(&frames))
            CHECK(frames == 1 || frames == 2);
    return NULL;
}

CASE(polls_while_the_card_is_swapped)
{
    pthread_t threads[3];
    struct card *in = &cards[0];
    CHECK(card_plug(in));
    for (size_t cpu = 0; cpu < 3; cpu++)
        threads[cpu] = host_spawn(poll_it, (void *)cpu);
    for (int swaps = 0; swaps < 10000; swaps++) {
        struct card *other = in == &cards[0] ? &cards[1] : &cards[0];
        CHECK(card_swap(other) == in);
        /* It is ours alone. */
        in->frames = 0;
        in->frames = in == &cards[0] ? 1 : 2;
        in = other;
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

CASE(the_file_that_is_closed_last_frees_them)
{
    struct card_files *files = (struct card_files *)calloc(1, sizeof *files);
    CHECK(files != NULL);
    rundown_ref_init(&files->rundown);
    CHECK(rundown_ref_try_acquire(&files->rundown));
    CHECK(card_files_close(files));
    EQUAL(freed, 0);
    rundown_ref_release(&files->rundown);
    EQUAL(freed, 1);
}
