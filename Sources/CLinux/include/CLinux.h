// What Swift's Glibc module does not export: epoll, eventfd, accept4, prctl's thread name, the
// scheduler's affinity, and the arguments and environment of main.
// Thin wrappers without any logic.
#pragma once
#include <stdint.h>

/// One ready descriptor, as epoll_event but without its packed layout.
typedef struct {
    uint32_t events;
    uint64_t tag;
} linux_ready;

extern const uint32_t linux_epollin, linux_epollout, linux_epollerr, linux_epollhup,
    linux_epollrdhup;

int linux_epoll_create(void);
/// `operation`: 1 add, 2 delete, 3 modify, as EPOLL_CTL_*.
int linux_epoll_ctl(int epoll, int operation, int descriptor, uint32_t events, uint64_t tag);
/// Waits at most `milliseconds` (-1: no timeout); fills at most `capacity` (1...256) entries.
int linux_epoll_wait(int epoll, linux_ready *ready, int capacity, int milliseconds);
/// ppoll(2): waits at most `nanoseconds` for one of `count` entries of type struct pollfd.
int linux_poll(void *entries, uint64_t count, uint64_t nanoseconds);
int linux_eventfd(void);
/// Adds 1 to an eventfd, which makes it readable; one whose counter is full is readable already.
void linux_eventfd_signal(int event);
/// Takes an eventfd's counter, so that it is not readable until the next signal.
void linux_eventfd_clear(int event);
/// accept4 with SOCK_NONBLOCK and SOCK_CLOEXEC.
int linux_accept(int listener, void *address, uint32_t *address_bytes);
/// socket(2) for TCP, non-blocking and close-on-exec.
int linux_tcp_socket(int family);
int linux_set_option(int socket, int level, int option, int value);
extern const int linux_sol_socket, linux_so_reuseaddr, linux_ipproto_tcp, linux_tcp_nodelay,
    linux_tcp_notsent_lowat,
    linux_ipproto_ipv6, linux_ipv6_v6only;
/// getrandom(2); returns the bytes filled or -1.
long linux_getrandom(void *target, uint64_t bytes);
/// Names the calling thread; the kernel keeps at most 15 bytes.
void linux_name_thread(const char *name);
/// PR_SET_DUMPABLE 0: no core dump, and nobody but root may trace this process.
void linux_forbid_dumps(void);
/// The magic number of the file system at `path` (linux/magic.h), or 0 on failure.
uint64_t linux_file_system_magic(const char *path);
/// The arguments of main, its name first, as glibc passed them; they live as long as the process.
int linux_argument_count(void);
const char *linux_argument(int index);
/// The entry of the environment with this index, such as `HOME=/root`; NULL behind the last one.
const char *linux_environment_entry(int index);
/// The cores that the calling thread may run on (sched_getaffinity), or 0 on failure.
int linux_affinity_count(void);
/// Makes the allocator map blocks of 256 KiB and more on their own, so that they are given back to
/// the system when they are freed. By default glibc stops doing so after the first large block.
void linux_return_large_blocks(void);
