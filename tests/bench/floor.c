/*
 * The least that a check can cost: a client of epoll and OpenSSL, and nothing else.
 *
 *     echo 1000 | floor --port 8080 [--authority ca.pem] [--path /] [--expect text] [--in-flight 200]
 *
 * For each number on standard input it makes so many checks of 127.0.0.1 and prints one line of JSON: how many, how
 * many were fine (status 200, and `--expect` somewhere in the answer), the CPU-seconds that they took of this process
 * by getrusage, and the seconds by the clock. Each check is a new connection, a full handshake with a verified chain
 * and address where there is an authority, and an answer that is read to its end.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define ANSWER_BYTES 16384
#define EVENTS 64
#define PATIENCE_MS 30000 /* a server that says nothing for so long will not */

struct check {
    int fd;
    SSL *tls;
    bool asked;
    size_t length;
    char answer[ANSWER_BYTES];
};

static const char *host = "127.0.0.1", *expected;
static char request[1024];
static int request_length, epoll_fd;
static struct sockaddr_in address = {.sin_family = AF_INET};
static SSL_CTX *context;
static long left, running, fine, told;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void start(struct check *check) {
    int on = 1;
    check->asked = false;
    check->length = 0;
    check->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (check->fd < 0)
        die("socket");
    if (connect(check->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)
        die("connect");
    if (context) {
        /* Finished and request are two writes: the second must not wait for the first one's acknowledgement. */
        setsockopt(check->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        check->tls = SSL_new(context);
        SSL_set_fd(check->tls, check->fd);
        SSL_set_connect_state(check->tls);
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = check};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, check->fd, &event))
        die("epoll_ctl");
    left--;
    running++;
}

static void end(struct check *check) {
    if (check->length >= 12 && !memcmp(check->answer, "HTTP/1.", 7) && !memcmp(check->answer + 9, "200", 3) &&
        (!expected || memmem(check->answer, check->length, expected, strlen(expected))))
        fine++;
    else if (!told++) /* one is enough to see what is wrong */
        fprintf(stderr, "not fine: %.*s\n", (int)check->length, check->answer);
    close(check->fd);
    SSL_free(check->tls);
    check->tls = NULL;
    running--;
    if (left)
        start(check);
}

/* As `read`: 0 at the end, -1 where it broke, -2 where there is nothing yet. */
static int more(struct check *check, char *into, size_t room) {
    if (!check->tls) {
        ssize_t got = recv(check->fd, into, room, 0);
        return got < 0 && errno == EAGAIN ? -2 : (int)got;
    }
    int got = SSL_read(check->tls, into, (int)room);
    if (got > 0)
        return got;
    int error = SSL_get_error(check->tls, got);
    return error == SSL_ERROR_WANT_READ ? -2 : error == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

static void go_on(struct check *check, unsigned events) {
    if (!check->asked) {
        if (!(events & (EPOLLOUT | EPOLLERR)) && !check->tls)
            return;
        if (check->tls) {
            ERR_clear_error();
            int result = SSL_do_handshake(check->tls);
            if (result != 1 && SSL_get_error(check->tls, result) == SSL_ERROR_WANT_READ)
                return;
            if (result != 1) {
                end(check);
                return;
            }
        }
        int sent = check->tls ? SSL_write(check->tls, request, request_length)
                              : (int)send(check->fd, request, (size_t)request_length, MSG_NOSIGNAL);
        if (sent != request_length) {
            end(check);
            return;
        }
        check->asked = true;
        if (!check->tls)
            return; /* the answer cannot be here yet */
    }
    for (;;) {
        size_t room = sizeof check->answer - check->length;
        int got = room ? more(check, check->answer + check->length, room) : -1;
        if (got == -2)
            return;
        if (got <= 0) {
            end(check);
            return;
        }
        check->length += (size_t)got;
    }
}

static double seconds(struct timeval time) { return (double)time.tv_sec + (double)time.tv_usec / 1e6; }

static double cpu_s(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

static double wall_s(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void prepare_tls(const char *authority) {
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF); /* many servers end without close_notify */
    if (SSL_CTX_load_verify_locations(context, authority, NULL) != 1) {
        fprintf(stderr, "--authority holds no certificate: %s\n", authority);
        exit(2);
    }
    X509_VERIFY_PARAM_set1_ip_asc(SSL_CTX_get0_param(context), host);
}

int main(int count, char **words) {
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"authority", required_argument, NULL, 'a'},
                                            {"path", required_argument, NULL, 'u'},
                                            {"expect", required_argument, NULL, 'e'},
                                            {"in-flight", required_argument, NULL, 'n'},
                                            {NULL, 0, NULL, 0}};
    const char *path = "/";
    long in_flight = 200;
    int option;
    while ((option = getopt_long(count, words, "", options, NULL)) != -1) {
        if (option == 'p')
            address.sin_port = htons((uint16_t)atoi(optarg));
        else if (option == 'a')
            prepare_tls(optarg);
        else if (option == 'u')
            path = optarg;
        else if (option == 'e')
            expected = optarg;
        else if (option == 'n')
            in_flight = atol(optarg);
        else
            return 2;
    }
    inet_pton(AF_INET, host, &address.sin_addr);
    if (!address.sin_port || in_flight < 1) {
        fprintf(stderr, "use: floor --port N [--authority PEM] [--path P] [--expect TEXT] [--in-flight N]\n");
        return 2;
    }
    /* To a client of 1.0 nobody sends chunks, so the answer ends where the connection does. */
    request_length = snprintf(request, sizeof request,
                              "GET %s HTTP/1.0\r\nHost: %s\r\nUser-Agent: floor\r\nAccept: */*\r\n"
                              "Accept-Encoding: identity\r\nConnection: close\r\n\r\n",
                              path, host);
    signal(SIGPIPE, SIG_IGN);
    struct check *checks = calloc((size_t)in_flight, sizeof *checks);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!checks || epoll_fd < 0)
        die("starting");

    long wanted;
    while (scanf("%ld", &wanted) == 1) {
        double cpu_before = cpu_s(), wall_before = wall_s();
        left = wanted;
        fine = 0;
        for (long at = 0; at < in_flight && left; at++)
            start(&checks[at]);
        while (running) {
            struct epoll_event events[EVENTS];
            int ready = epoll_wait(epoll_fd, events, EVENTS, PATIENCE_MS);
            if (ready == 0) {
                fprintf(stderr, "%ld checks have no answer after %d s\n", running, PATIENCE_MS / 1000);
                return 1;
            }
            for (int at = 0; at < ready; at++)
                go_on(events[at].data.ptr, events[at].events);
        }
        printf("{\"checks\": %ld, \"fine\": %ld, \"cpu_s\": %.6f, \"wall_s\": %.6f}\n", wanted, fine,
               cpu_s() - cpu_before, wall_s() - wall_before);
        fflush(stdout);
    }
    return 0;
}
