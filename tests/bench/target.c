/*
 * A web server of known delay, over HTTP and HTTPS.
 *
 *     target --delay-us 100000 --http 0 --https 0 --certificate chain.pem
 *
 * It answers each request `--delay-us` after the kernel received it, and says in `X-Residence-Us` how long the request
 * was truly with it. Ports of 0 are chosen by the kernel; one line of JSON on standard output says which. It ends when
 * its standard input ends, when its parent is gone, or on a signal.
 *
 * What `X-Residence-Us` is: over HTTP, from the kernel's receive timestamp of the request's last segment until just
 * before the answer is written; over HTTPS, the same for each of our flights, added up: ClientHello received until the
 * server's flight is handed to the kernel, request received until the answer is. The network and the client's own time
 * between the flights are no part of it. Nor can be what comes after the number is written down: encrypting the answer
 * (some 3 us) and the kernel's way through `send` (some 5 to 15 us on loopback).
 *
 * `X-Stamp: kernel` says that the request's time came from the kernel, `clock` that it had none and we read the clock.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#define SPIN_NS 200000LL /* a timer wakes us some 50 us late; what is left to the moment is waited for awake */
#define REQUEST_BYTES 8192
#define EVENTS 64
#define PARENT_MS 1000 /* how often to look whether there is still a parent */

enum kind { LISTENER, CONNECTION, TIMER, STDIN };

struct thing { /* what an event of epoll points to */
    enum kind kind;
    int fd;
    bool secure; /* of a listener */
};

struct connection {
    struct thing thing; /* the first member: a thing of kind CONNECTION is one of these */
    SSL *tls;           /* NULL over HTTP; its BIOs belong to it */
    int64_t stamp_ns;   /* when the kernel received what we read last */
    bool by_kernel;
    int64_t residence_ns; /* of the flights that are over */
    int64_t due_ns;
    struct connection *earlier, *later; /* in the queue of those that wait to be answered */
    size_t length;
    char request[REQUEST_BYTES];
};

static int epoll_fd, timer_fd;
static int64_t delay_ns, armed_for;
static SSL_CTX *context;
static struct connection *first, *last; /* in the order of what is due */

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time); /* the clock of the kernel's timestamps */
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void watch(struct thing *thing) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = thing};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, thing->fd, &event))
        die("epoll_ctl");
}

static void drop(struct connection *connection) {
    close(connection->thing.fd); /* epoll forgets it by this */
    SSL_free(connection->tls);
    free(connection);
}

/* A few hundred bytes on a fresh connection always fit; where they do not, the client is gone. */
static bool put(struct connection *connection, const char *data, size_t length) {
    return send(connection->thing.fd, data, length, MSG_NOSIGNAL) == (ssize_t)length;
}

static bool flush(struct connection *connection) {
    char *data;
    long length = BIO_get_mem_data(SSL_get_wbio(connection->tls), &data);
    if (length <= 0)
        return true;
    bool sent = put(connection, data, (size_t)length);
    (void)BIO_reset(SSL_get_wbio(connection->tls));
    return sent;
}

static void answer(struct connection *connection) {
    char text[256];
    int64_t residence_ns = connection->residence_ns + now_ns() - connection->stamp_ns;
    int length = snprintf(text, sizeof text,
                          "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n"
                          "X-Stamp: %s\r\nX-Residence-Us: %lld\r\n\r\nok",
                          connection->by_kernel ? "kernel" : "clock", (long long)(residence_ns + 500) / 1000);
    if (!connection->tls) {
        put(connection, text, (size_t)length);
    } else if (SSL_write(connection->tls, text, length) > 0) {
        SSL_shutdown(connection->tls); /* our close_notify leaves in the same write */
        flush(connection);
    }
    drop(connection);
}

static void queue(struct connection *connection) {
    struct connection *before = last;
    connection->due_ns = connection->stamp_ns + delay_ns;
    while (before && before->due_ns > connection->due_ns)
        before = before->earlier;
    connection->earlier = before;
    connection->later = before ? before->later : first;
    *(connection->later ? &connection->later->earlier : &last) = connection;
    *(before ? &before->later : &first) = connection;
}

static void answer_due(void) {
    while (first && first->due_ns - now_ns() <= SPIN_NS) {
        struct connection *due = first;
        first = due->later;
        *(first ? &first->earlier : &last) = NULL;
        while (now_ns() < due->due_ns)
            ;
        answer(due);
    }
    if (first && first->due_ns != armed_for) {
        int64_t wake_ns = first->due_ns - SPIN_NS;
        struct itimerspec at = {.it_value = {wake_ns / 1000000000LL, wake_ns % 1000000000LL}};
        if (timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &at, NULL))
            die("timerfd_settime");
        armed_for = first->due_ns;
    }
}

/* What `recv` gives, with the kernel's receive timestamp beside it. */
static ssize_t receive(struct connection *connection, char *into, size_t size) {
    char control[CMSG_SPACE(sizeof(struct timespec))];
    struct iovec part = {into, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t length = recvmsg(connection->thing.fd, &message, MSG_DONTWAIT);
    if (length <= 0)
        return length;
    connection->by_kernel = false;
    for (struct cmsghdr *each = CMSG_FIRSTHDR(&message); each; each = CMSG_NXTHDR(&message, each))
        if (each->cmsg_level == SOL_SOCKET && each->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec time;
            memcpy(&time, CMSG_DATA(each), sizeof time);
            connection->stamp_ns = time.tv_sec * 1000000000LL + time.tv_nsec;
            connection->by_kernel = true;
        }
    if (!connection->by_kernel)
        connection->stamp_ns = now_ns();
    return length;
}

/* Go on with TLS; false where the connection is of no more use. */
static bool decrypt(struct connection *connection, const char *data, int length) {
    SSL *tls = connection->tls;
    ERR_clear_error();
    BIO_write(SSL_get_rbio(tls), data, length);
    if (!SSL_is_init_finished(tls)) {
        int result = SSL_accept(tls);
        bool fine = result == 1 || SSL_get_error(tls, result) == SSL_ERROR_WANT_READ;
        if (BIO_ctrl_pending(SSL_get_wbio(tls))) {
            connection->residence_ns += now_ns() - connection->stamp_ns;
            fine = flush(connection) && fine; /* an alert too, where it went wrong */
        }
        if (!fine || result != 1)
            return fine;
    }
    size_t room = sizeof connection->request - connection->length, got = 0;
    if (SSL_read_ex(tls, connection->request + connection->length, room, &got))
        connection->length += got;
    else if (SSL_get_error(tls, 0) != SSL_ERROR_WANT_READ)
        return false;
    return true;
}

static void on_readable(struct connection *connection) {
    ssize_t length;
    bool fine = true;
    if (connection->tls) {
        static char data[65536];
        length = receive(connection, data, sizeof data);
        if (length > 0)
            fine = decrypt(connection, data, (int)length);
    } else {
        size_t room = sizeof connection->request - connection->length;
        length = receive(connection, connection->request + connection->length, room);
        if (length > 0)
            connection->length += (size_t)length;
    }
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (length <= 0 || !fine) {
        drop(connection);
        return;
    }
    /* A request with a body would be answered at the end of its head; nobody sends us one. */
    if (memmem(connection->request, connection->length, "\r\n\r\n", 4)) {
        /* Nothing more is read from it, so that nothing but its answer can end it. */
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, connection->thing.fd, NULL);
        queue(connection);
    } else if (connection->length == sizeof connection->request) {
        drop(connection);
    }
}

static void on_connection(struct thing *listener) {
    int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return; /* it was gone again; the next one comes with the next event */
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        die("calloc");
    connection->thing = (struct thing){CONNECTION, fd, listener->secure};
    if (listener->secure) {
        connection->tls = SSL_new(context);
        SSL_set_bio(connection->tls, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
        SSL_set_accept_state(connection->tls);
    }
    watch(&connection->thing);
}

static int listen_on(struct thing *listener, const char *host, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t length = sizeof address;
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
        fprintf(stderr, "--host is no IPv4 address: %s\n", host);
        exit(2);
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    /* What is accepted inherits both; set here, even data that comes before `accept` has its timestamp. */
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096) ||
        getsockname(fd, (struct sockaddr *)&address, &length))
        die("listen");
    listener->fd = fd;
    watch(listener);
    return ntohs(address.sin_port);
}

static void prepare_tls(const char *certificate) {
    context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 0); /* tickets would be one more flight, and save a later handshake */
    if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, certificate, SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        fprintf(stderr, "--certificate holds no certificate with its key: %s\n", certificate);
        exit(2);
    }
}

int main(int count, char **words) {
    static const struct option options[] = {{"delay-us", required_argument, NULL, 'd'},
                                            {"http", required_argument, NULL, 'p'},
                                            {"https", required_argument, NULL, 's'},
                                            {"certificate", required_argument, NULL, 'c'},
                                            {"host", required_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *host = "127.0.0.1", *certificate = NULL;
    int http = -1, https = -1, option;
    while ((option = getopt_long(count, words, "", options, NULL)) != -1) {
        if (option == 'd')
            delay_ns = atoll(optarg) * 1000LL;
        else if (option == 'p')
            http = atoi(optarg);
        else if (option == 's')
            https = atoi(optarg);
        else if (option == 'c')
            certificate = optarg;
        else if (option == 'h')
            host = optarg;
        else
            return 2;
    }
    if ((http < 0 && https < 0) || (https >= 0 && !certificate)) {
        fprintf(stderr, "use: target --delay-us N [--http PORT] [--https PORT --certificate PEM] [--host ADDRESS]\n");
        return 2;
    }

    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    pid_t parent = getppid();

    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (epoll_fd < 0 || timer_fd < 0)
        die("epoll and timerfd");
    struct thing timer = {TIMER, timer_fd, false}, input = {STDIN, STDIN_FILENO, false};
    struct thing plain = {LISTENER, -1, false}, secure = {LISTENER, -1, true};
    watch(&timer);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &input};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event); /* a file cannot be watched: then the parent counts */
    if (https >= 0)
        prepare_tls(certificate);
    http = http < 0 ? 0 : listen_on(&plain, host, http);
    https = https < 0 ? 0 : listen_on(&secure, host, https);
    printf("{\"http\": %d, \"https\": %d}\n", http, https);
    fflush(stdout);

    while (getppid() == parent) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(epoll_fd, events, EVENTS, PARENT_MS);
        if (ready < 0 && errno != EINTR)
            die("epoll_wait");
        answer_due();
        for (int at = 0; at < ready; at++) {
            struct thing *thing = events[at].data.ptr;
            char ignored[4096];
            if (thing->kind == CONNECTION)
                on_readable((struct connection *)thing);
            else if (thing->kind == LISTENER)
                on_connection(thing);
            else if (read(thing->fd, ignored, sizeof ignored) <= 0 && thing->kind == STDIN)
                return 0;
            answer_due(); /* a handshake takes half a millisecond: look after each event */
        }
    }
    return 0;
}
