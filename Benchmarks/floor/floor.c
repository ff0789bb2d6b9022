// The floor: the cost of a gRPC response in C on libnghttp2 when nothing is decoded or stored.
//
// One thread, epoll, one recv and one send per connection and tick. Each request is read as any
// gRPC server must read it: path and content type are compared, the message is collected in one
// buffer and its frame checked. The response is a constant TrackResponse with gRPC trailers.
// Options, settings and windows of nghttp2 are those of the service, header fields are not copied,
// and streams are reused, so that any additional cost is that of the service itself. nghttp2 uses
// its default allocator.
//
// With a LOG_FILE, whose blocks are written already, the requests of a tick are followed by 4 KiB
// and an fdatasync there, on the same thread: what no durable server is below.
//
// Usage: floor PORT RESPONSE_FILE [LOG_FILE] (a gRPC frame: 5 bytes of prefix and the message).
// Listens on 127.0.0.1.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define SEND_BYTES (64 * 1024)
#define RESPONSE_MAX 4096
#define REQUEST_MAX 512
#define PREFIX_BYTES 5
#define FIELD(n, v)                                                                                \
    {(uint8_t *)n, (uint8_t *)v, sizeof n - 1, sizeof v - 1,                                       \
     NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE}

// Bytes of the log file that are written over in turn.
#define LOG_BYTES (16 << 20)
#define LOG_BLOCK_BYTES 4096

static int log_file = -1, has_requests;
static uint8_t response[RESPONSE_MAX];
static size_t response_bytes;
static nghttp2_nv headers[] = {FIELD(":status", "200"), FIELD("content-type", "application/grpc")};
static nghttp2_nv trailers[] = {FIELD("grpc-status", "0")};

// A request while it is being read; reused through a free list.
struct request {
    struct request *next;
    int is_track, is_grpc;
    size_t bytes;
    uint8_t message[REQUEST_MAX];
};
static struct request *free_requests;

struct connection {
    int socket;
    nghttp2_session *session;
    uint8_t out[SEND_BYTES * 2];
    size_t out_bytes;
};

static ssize_t read_response(nghttp2_session *session, int32_t stream, uint8_t *target,
                             size_t space, uint32_t *flags, nghttp2_data_source *source,
                             void *user) {
    (void)source, (void)user;
    if (space < response_bytes) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    memcpy(target, response, response_bytes);
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    nghttp2_submit_trailer(session, stream, trailers, 1);
    return (ssize_t)response_bytes;
}

static int headers_began(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
    (void)user;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    struct request *request = free_requests;
    if (request) free_requests = request->next;
    else request = malloc(sizeof *request);
    request->is_track = request->is_grpc = 0;
    request->bytes = 0;
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, request);
    return 0;
}

static int header_received(nghttp2_session *session, const nghttp2_frame *frame,
                           const uint8_t *name, size_t name_bytes, const uint8_t *value,
                           size_t value_bytes, uint8_t flags, void *user) {
    (void)flags, (void)user;
    static const char path[] = "/profiles.v1.Profiles/Track", type[] = "application/grpc";
    struct request *request = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!request) return 0;
    if (name_bytes == 5 && !memcmp(name, ":path", 5))
        request->is_track = value_bytes == sizeof path - 1 && !memcmp(value, path, value_bytes);
    else if (name_bytes == 12 && !memcmp(name, "content-type", 12))
        request->is_grpc = value_bytes >= sizeof type - 1 && !memcmp(value, type, sizeof type - 1);
    return 0;
}

// Whether the request is one whole gRPC message for Track.
static int is_whole(const struct request *request) {
    if (!request->is_track || !request->is_grpc || request->bytes < PREFIX_BYTES ||
        request->message[0])
        return 0;
    uint32_t length;
    memcpy(&length, request->message + 1, sizeof length);
    return ntohl(length) == request->bytes - PREFIX_BYTES;
}

static int frame_received(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
    (void)user;
    if ((frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) ||
        !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    struct request *request = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!request) return 0;
    if (!is_whole(request))
        return nghttp2_submit_rst_stream(session, 0, frame->hd.stream_id, NGHTTP2_PROTOCOL_ERROR);
    has_requests = 1;
    nghttp2_data_provider provider = {.read_callback = read_response};
    return nghttp2_submit_response(session, frame->hd.stream_id, headers, 2, &provider);
}

static int data_received(nghttp2_session *session, uint8_t flags, int32_t stream,
                         const uint8_t *bytes, size_t count, void *user) {
    (void)flags, (void)user;
    nghttp2_session_consume(session, stream, count);
    struct request *request = nghttp2_session_get_stream_user_data(session, stream);
    if (!request) return 0;
    if (count > REQUEST_MAX - request->bytes)
        return nghttp2_submit_rst_stream(session, 0, stream, NGHTTP2_REFUSED_STREAM);
    memcpy(request->message + request->bytes, bytes, count);
    request->bytes += count;
    return 0;
}

static int stream_closed(nghttp2_session *session, int32_t stream, uint32_t error, void *user) {
    (void)error, (void)user;
    struct request *request = nghttp2_session_get_stream_user_data(session, stream);
    if (!request) return 0;
    request->next = free_requests;
    free_requests = request;
    return 0;
}

static void drop(struct connection *connection) {
    nghttp2_session_del(connection->session);
    close(connection->socket);
    free(connection);
}

static void sync_requests(void) {
    static uint8_t block[LOG_BLOCK_BYTES];
    static off_t offset;
    if (log_file < 0 || !has_requests) return;
    has_requests = 0;
    if (pwrite(log_file, block, sizeof block, offset) != sizeof block || fdatasync(log_file)) {
        perror("log file");
        exit(1);
    }
    offset = (offset + LOG_BLOCK_BYTES) % LOG_BYTES;
}

// Returns 0 when the connection has ended.
static int flush(struct connection *connection) {
    for (;;) {
        while (connection->out_bytes < SEND_BYTES) {
            const uint8_t *bytes;
            ssize_t count = nghttp2_session_mem_send(connection->session, &bytes);
            if (count <= 0) break;
            memcpy(connection->out + connection->out_bytes, bytes, (size_t)count);
            connection->out_bytes += (size_t)count;
        }
        if (connection->out_bytes == 0) return 1;
        ssize_t sent =
            send(connection->socket, connection->out, connection->out_bytes, MSG_NOSIGNAL);
        if (sent < 0) return errno == EAGAIN;
        memmove(connection->out, connection->out + sent, connection->out_bytes - (size_t)sent);
        connection->out_bytes -= (size_t)sent;
        if (connection->out_bytes > 0) return 1;
    }
}

int main(int argc, char **argv) {
    if (argc != 3 && argc != 4)
        return fprintf(stderr, "usage: floor PORT RESPONSE_FILE [LOG_FILE]\n"), 2;
    signal(SIGPIPE, SIG_IGN);
    FILE *file = fopen(argv[2], "rb");
    if (!file) return perror(argv[2]), 2;
    response_bytes = fread(response, 1, sizeof response, file);
    fclose(file);
    if (argc == 4 && (log_file = open(argv[3], O_WRONLY)) < 0) return perror(argv[3]), 2;

    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(argv[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 128))
        return perror("bind"), 1;

    nghttp2_session_callbacks *callbacks;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, headers_began);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, header_received);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, stream_closed);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, frame_received);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, data_received);
    nghttp2_option *option;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);

    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    static uint8_t input[64 * 1024];
    for (;;) {
        struct epoll_event ready[64];
        int count = epoll_wait(epoll, ready, 64, -1);
        for (int i = 0; i < count; i++) {
            struct connection *connection = ready[i].data.ptr;
            if (!connection) {
                int accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (accepted < 0) continue;
                setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                connection = calloc(1, sizeof *connection);
                connection->socket = accepted;
                nghttp2_session_server_new2(&connection->session, callbacks, connection, option);
                nghttp2_settings_entry settings[] = {
                    {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 100},
                    {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 256 * 1024},
                    {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 16 * 1024},
                    {9, 1}};
                nghttp2_submit_settings(connection->session, 0, settings, 4);
                nghttp2_session_set_local_window_size(connection->session, 0, 0, 4 << 20);
                struct epoll_event added = {.events = EPOLLIN, .data.ptr = connection};
                epoll_ctl(epoll, EPOLL_CTL_ADD, accepted, &added);
                if (!flush(connection)) drop(connection);
                continue;
            }
            ssize_t received = recv(connection->socket, input, sizeof input, 0);
            if (received == 0 || (received < 0 && errno != EAGAIN)) {
                drop(connection);
                continue;
            }
            if (received > 0 && nghttp2_session_mem_recv(connection->session, input,
                                                         (size_t)received) != received) {
                drop(connection);
                continue;
            }
            sync_requests();
            if (!flush(connection) || (!nghttp2_session_want_read(connection->session) &&
                                       !nghttp2_session_want_write(connection->session)))
                drop(connection);
        }
    }
}
