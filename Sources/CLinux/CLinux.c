#define _GNU_SOURCE
#include "CLinux.h"
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

const uint32_t linux_epollin = EPOLLIN, linux_epollout = EPOLLOUT, linux_epollerr = EPOLLERR,
               linux_epollhup = EPOLLHUP, linux_epollrdhup = EPOLLRDHUP;
const int linux_sol_socket = SOL_SOCKET, linux_so_reuseaddr = SO_REUSEADDR,
          linux_ipproto_tcp = IPPROTO_TCP, linux_tcp_nodelay = TCP_NODELAY,
          linux_tcp_notsent_lowat = TCP_NOTSENT_LOWAT,
          linux_ipproto_ipv6 = IPPROTO_IPV6, linux_ipv6_v6only = IPV6_V6ONLY;

// glibc passes the arguments of main to the functions of .init_array; Swift's CommandLine reads
// /proc/self/cmdline, which is not there in every container.
static int argument_count;
static char **arguments;

__attribute__((constructor)) static void keep_arguments(int count, char **values) {
    argument_count = count;
    arguments = values;
}

int linux_argument_count(void) { return argument_count; }

const char *linux_argument(int index) { return arguments[index]; }

const char *linux_environment_entry(int index) { return environ[index]; }

int linux_affinity_count(void) {
    // A mask as large as the kernel's: with fewer bits sched_getaffinity fails with EINVAL.
    for (int cores = 1024; cores <= 1 << 20; cores *= 2) {
        cpu_set_t *set = CPU_ALLOC(cores);
        if (set == NULL) return 0;
        size_t bytes = CPU_ALLOC_SIZE(cores);
        int found = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (found > 0) return found;
    }
    return 0;
}

int linux_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

int linux_epoll_ctl(int epoll, int operation, int descriptor, uint32_t events, uint64_t tag) {
    struct epoll_event event = {.events = events, .data.u64 = tag};
    return epoll_ctl(epoll, operation, descriptor, &event);
}

int linux_epoll_wait(int epoll, linux_ready *ready, int capacity, int milliseconds) {
    struct epoll_event events[256];
    int count = epoll_wait(epoll, events, capacity < 256 ? capacity : 256, milliseconds);
    for (int i = 0; i < count; i++) ready[i] = (linux_ready){events[i].events, events[i].data.u64};
    return count;
}

int linux_poll(void *entries, uint64_t count, uint64_t nanoseconds) {
    struct timespec time = {(time_t)(nanoseconds / 1000000000), (long)(nanoseconds % 1000000000)};
    return ppoll(entries, count, &time, NULL);
}

int linux_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

void linux_eventfd_signal(int event) { (void)!write(event, &(uint64_t){1}, sizeof(uint64_t)); }

void linux_eventfd_clear(int event) { (void)!read(event, &(uint64_t){0}, sizeof(uint64_t)); }

int linux_accept(int listener, void *address, uint32_t *address_bytes) {
    return accept4(listener, address, address_bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int linux_tcp_socket(int family) {
    return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

int linux_set_option(int socket, int level, int option, int value) {
    return setsockopt(socket, level, option, &value, sizeof value);
}

long linux_getrandom(void *target, uint64_t bytes) { return getrandom(target, bytes, 0); }

void linux_name_thread(const char *name) { prctl(PR_SET_NAME, name); }

void linux_forbid_dumps(void) { prctl(PR_SET_DUMPABLE, 0); }

uint64_t linux_file_system_magic(const char *path) {
    struct statfs status;
    return statfs(path, &status) == 0 ? (uint64_t)status.f_type & 0xFFFFFFFFu : 0;
}

void linux_return_large_blocks(void) {
    mallopt(M_MMAP_THRESHOLD, 256 << 10);
    mallopt(M_TRIM_THRESHOLD, 2 << 20);
}
