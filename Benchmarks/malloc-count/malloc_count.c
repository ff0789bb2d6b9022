// Counts the calls of the system allocator by thread, for LD_PRELOAD. SIGUSR2 writes one line per
// thread, "NAME CALLS", to the file that MALLOC_COUNT_FILE names. Two such counts with a known
// number of requests between them give calls per request.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

// Threads that are counted separately; further ones share the last entry.
#define THREADS_MAX 256
static struct {
    atomic_ulong calls;
    pid_t thread;
} counts[THREADS_MAX];
static atomic_int threads;
static __thread int slot __attribute__((tls_model("initial-exec"))) = -1;

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static void count(void) {
    if (slot < 0) {
        int taken = atomic_fetch_add(&threads, 1);
        slot = taken < THREADS_MAX ? taken : THREADS_MAX - 1;
        counts[slot].thread = (pid_t)syscall(SYS_gettid);
    }
    atomic_fetch_add_explicit(&counts[slot].calls, 1, memory_order_relaxed);
}

void *malloc(size_t size) { return count(), __libc_malloc(size); }
void *calloc(size_t number, size_t size) { return count(), __libc_calloc(number, size); }
void *realloc(void *block, size_t size) { return count(), __libc_realloc(block, size); }
void *memalign(size_t alignment, size_t size) { return count(), __libc_memalign(alignment, size); }
void *aligned_alloc(size_t alignment, size_t size) {
    return count(), __libc_memalign(alignment, size);
}
int posix_memalign(void **target, size_t alignment, size_t size) {
    count();
    *target = __libc_memalign(alignment, size);
    return *target ? 0 : 12;
}

static void dump(int number) {
    (void)number;
    const char *path = getenv("MALLOC_COUNT_FILE");
    int file = path ? open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600) : -1;
    if (file < 0) return;
    int known = atomic_load(&threads);
    for (int i = 0; i < known && i < THREADS_MAX; i++) {
        char comm[64], name[32] = "ended", line[96];
        snprintf(comm, sizeof comm, "/proc/self/task/%d/comm", counts[i].thread);
        int source = open(comm, O_RDONLY);
        if (source >= 0) {
            ssize_t length = read(source, name, sizeof name - 1);
            name[length > 0 ? length - 1 : 0] = 0;
            close(source);
        }
        int length = snprintf(line, sizeof line, "%s %lu\n", name, atomic_load(&counts[i].calls));
        if (write(file, line, (size_t)length) < 0) break;
    }
    close(file);
}

__attribute__((constructor)) static void start(void) { signal(SIGUSR2, dump); }
