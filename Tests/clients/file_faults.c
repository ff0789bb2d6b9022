/* Preloaded into a server: one of its file calls fails, and all are written down (F8, F9).
 *
 * FAULT_DIRECTORY   calls on files below it count; the path has no symbolic link in it
 * FAULT_CALL        pwrite, fdatasync or fsync
 * FAULT_NUMBER      which of these calls fails, by whatever thread; from 1
 * FAULT_KIND        EIO or ENOSPC; short: half is written; torn: half is written, and the next
 *                   write finds no space
 * FAULT_LOG         gets a line for each call: name, descriptor, offset, length, result,
 *                   microseconds since 1970, path; that of the fault begins with a star. What a
 *                   write that failed should have written goes to FAULT_LOG.bytes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum kind { KIND_ERROR, KIND_SHORT, KIND_TORN };

static struct {
    const char *directory, *call, *log;
    long number;
    enum kind kind;
    int code;
    int log_descriptor;
} plan;
static atomic_long calls;

__attribute__((constructor)) static void read_plan(void) {
    const char *kind = getenv("FAULT_KIND");
    plan.directory = getenv("FAULT_DIRECTORY");
    plan.call = getenv("FAULT_CALL");
    plan.log = getenv("FAULT_LOG");
    if (!kind || !plan.directory || !plan.call || !plan.log) {
        fprintf(stderr, "file_faults: a variable is missing\n");
        abort();
    }
    plan.number = atol(getenv("FAULT_NUMBER"));
    plan.kind = KIND_ERROR;
    if (!strcmp(kind, "short")) plan.kind = KIND_SHORT;
    if (!strcmp(kind, "torn")) plan.kind = KIND_TORN;
    plan.code = strcmp(kind, "EIO") ? ENOSPC : EIO;
    plan.log_descriptor = open(plan.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* The path of a descriptor, if it is the directory or below it. */
static int is_below(int descriptor, char path[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    size_t prefix = strlen(plan.directory);
    return !strncmp(path, plan.directory, prefix) && (path[prefix] == '/' || !path[prefix]);
}

static void note(int is_fault, const char *name, int descriptor, off_t offset, size_t length,
                 ssize_t result, const char *path) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    char line[PATH_MAX + 200];
    int count = snprintf(line, sizeof line, "%s%s %d %lld %zu %zd %lld %s\n", is_fault ? "*" : "",
                         name, descriptor, (long long)offset, length, result,
                         now.tv_sec * 1000000LL + now.tv_nsec / 1000, path);
    if (syscall(SYS_write, plan.log_descriptor, line, (size_t)count) != count) abort();
}

/* Whether this call is the one that fails, or the one after it. */
static long distance(const char *name) {
    if (strcmp(name, plan.call)) return -1;
    return atomic_fetch_add(&calls, 1) + 1 - plan.number;
}

static void keep(const void *bytes, size_t length) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s.bytes", plan.log);
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (syscall(SYS_write, descriptor, bytes, length) != (long)length) abort();
    syscall(SYS_close, descriptor);
}

static ssize_t write_at(int descriptor, const void *bytes, size_t length, off_t offset) {
    char path[PATH_MAX];
    if (!is_below(descriptor, path)) {
        return syscall(SYS_pwrite64, descriptor, bytes, length, offset);
    }
    long behind = distance("pwrite");
    int fails = (behind == 0 && plan.kind == KIND_ERROR) || (behind == 1 && plan.kind == KIND_TORN);
    if (fails) {
        keep(bytes, length);
        note(1, "pwrite", descriptor, offset, length, -1, path);
        errno = plan.code;
        return -1;
    }
    int is_short = behind == 0 && length > 1;
    ssize_t result =
        syscall(SYS_pwrite64, descriptor, bytes, is_short ? length / 2 : length, offset);
    int code = errno;
    note(is_short && plan.kind == KIND_SHORT, "pwrite", descriptor, offset, length, result, path);
    errno = code;
    return result;
}

ssize_t pwrite(int descriptor, const void *bytes, size_t length, off_t offset) {
    return write_at(descriptor, bytes, length, offset);
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t length, off64_t offset) {
    return write_at(descriptor, bytes, length, offset);
}

static int sync_file(const char *name, long number, int descriptor) {
    char path[PATH_MAX];
    if (!is_below(descriptor, path)) return (int)syscall(number, descriptor);
    if (distance(name) == 0) {
        note(1, name, descriptor, 0, 0, -1, path);
        errno = plan.code;
        return -1;
    }
    int result = (int)syscall(number, descriptor);
    int code = errno;
    note(0, name, descriptor, 0, 0, result, path);
    errno = code;
    return result;
}

int fdatasync(int descriptor) { return sync_file("fdatasync", SYS_fdatasync, descriptor); }

int fsync(int descriptor) { return sync_file("fsync", SYS_fsync, descriptor); }

int close(int descriptor) {
    char path[PATH_MAX];
    if (plan.directory && is_below(descriptor, path)) {
        note(0, "close", descriptor, 0, 0, 0, path);
    }
    return (int)syscall(SYS_close, descriptor);
}
