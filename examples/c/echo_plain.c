// A plain echo server on epoll: one thread, level-triggered, one buffer per client.
//
// Build:  cc -O2 -Wall -Wextra -o echo_plain echo_plain.c
// Usage:  ./echo_plain 127.0.0.1:8080
// Needs:  Linux.
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 1024, BUFFER_BYTES = 16 * 1024, EVENTS = 256, ACCEPT_PAUSE_MS = 50 };

struct client {
  int fd;
  uint32_t waits_for;  // EPOLLIN, or EPOLLOUT while the client does not read
  size_t begin, end;   // the part of `buffer` that is still to be written
  char buffer[BUFFER_BYTES];
};

static int epoll, listener;

// `client` is null for the listener.
static void watch(int operation, int fd, uint32_t events, struct client *client) {
  struct epoll_event event = {.events = events, .data.ptr = client};
  if (epoll_ctl(epoll, operation, fd, &event) != 0) err(1, "epoll_ctl");
}

static int listen_on(const char *text) {
  char host[64], port[6];
  struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM}, *address;
  if ((sscanf(text, "[%63[^]]]:%5[0-9]", host, port) != 2 &&
       sscanf(text, "%63[^:]:%5[0-9]", host, port) != 2) ||
      getaddrinfo(host, port, &hints, &address) != 0) {
    errx(2, "'%s' is no address: write 127.0.0.1:8080 or [::1]:8080", text);
  }
  int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (fd < 0 || bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
    err(1, "listen on %s", text);
  }
  freeaddrinfo(address);
  return fd;
}

// Accepts the clients that wait. Returns false if the system refused one.
static bool accept_clients(void) {
  for (int turn = 0; turn < BACKLOG; turn++) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
    if (fd < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
    if (fd < 0) return errno == EAGAIN;
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL) {
      close(fd);
      return false;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    client->fd = fd;
    client->waits_for = EPOLLIN;
    watch(EPOLL_CTL_ADD, fd, EPOLLIN, client);
  }
  return true;
}

// Writes what is pending. Returns what to wait for next; 0 means that the client is gone.
static uint32_t flush(struct client *c) {
  while (c->begin < c->end) {
    ssize_t n = write(c->fd, c->buffer + c->begin, c->end - c->begin);
    if (n < 0) return errno == EAGAIN ? EPOLLOUT : 0;
    c->begin += n;
  }
  return EPOLLIN;
}

// Each write comes before the next read, so the server does not read from a client that does not
// read.
static void serve(struct client *c) {
  uint32_t next = flush(c);
  if (next == EPOLLIN) {
    ssize_t n = read(c->fd, c->buffer, sizeof c->buffer);
    c->begin = 0;
    c->end = n > 0 ? n : 0;
    // Zero is FIN. Everything is read and written by then, so closing sends FIN and not a reset.
    next = n == 0 || (n < 0 && errno != EAGAIN) ? 0 : flush(c);
  }
  if (next == 0) {
    // close(2) also does this, but not while another process holds a duplicate of the socket.
    watch(EPOLL_CTL_DEL, c->fd, 0, NULL);
    close(c->fd);
    free(c);
  } else if (next != c->waits_for) {
    c->waits_for = next;
    watch(EPOLL_CTL_MOD, c->fd, next, c);
  }
}

int main(int count, char **arguments) {
  if (count != 2) errx(2, "usage: %s ADDRESS:PORT", arguments[0]);
  signal(SIGPIPE, SIG_IGN);
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;  // the usual soft limit is 1024
  setrlimit(RLIMIT_NOFILE, &limit);
  listener = listen_on(arguments[1]);
  epoll = epoll_create1(EPOLL_CLOEXEC);
  watch(EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
  warnx("listening on %s", arguments[1]);

  for (bool accepts = true;;) {
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(epoll, events, EVENTS, accepts ? -1 : ACCEPT_PAUSE_MS);
    if (!accepts) {
      accepts = true;
      watch(EPOLL_CTL_MOD, listener, EPOLLIN, NULL);
    }
    for (int i = 0; i < ready; i++) {
      if (events[i].data.ptr != NULL) {
        serve(events[i].data.ptr);
      } else if (!accept_clients()) {
        // Without a free descriptor, the listener stays readable, and watching it would spin.
        warn("accept, tried again in %d ms at most", ACCEPT_PAUSE_MS);
        accepts = false;
        watch(EPOLL_CTL_MOD, listener, 0, NULL);
      }
    }
  }
}
