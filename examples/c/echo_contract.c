// Echo server on epoll that speaks docs/CONTRACT.md: one thread, one buffer per connection.
//
// Build:  cc -O2 -Wall -Wextra -o echo_contract echo_contract.c
// Usage:  ./echo_contract [--listen 127.0.0.1:8080]... [--announce text|json] [--drain 5s] ...
// Needs:  Linux.
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum { BACKLOG = 1024, ACCEPT_PAUSE_MS = 200, EVENTS = 256, LISTENERS = 16, TEXT = 80 };

// What epoll watches. A connection begins with a source, so that a pointer to one finds the other.
struct source {
  enum { LISTENER, CONNECTION, SIGNALS, STDIN } kind;
  int fd;
};

struct connection {
  struct source source;
  struct connection *previous, *next;
  uint32_t waits_for;        // EPOLLIN, or EPOLLOUT while the client does not read
  bool finishing, fin_sent;  // after the stop: FIN follows the pending bytes
  size_t begin, end;         // the part of `buffer` that is still to be written
  char buffer[];
};

static struct addrinfo *addresses[LISTENERS];
static int address_count;
static bool json, stop_on_stdin_eof, dual_stack;
static long buffer_bytes = 4096;
static long long drain_ms = 5000;
static char unsupported[256];  // something that was asked for and that this server does not offer

static int epoll;
static struct source listeners[LISTENERS];
static struct connection *connections;
static unsigned long long open_count, served_count;
static bool stopping;
static long long accept_again_ms = -1;  // -1: the listeners are watched

static long long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void watch(int operation, struct source *source, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = source};
  if (epoll_ctl(epoll, operation, source->fd, &event) != 0) err(1, "epoll_ctl");
}

// Connections. Each write comes before the next read, which bounds a connection's memory.

static void open_connection(int fd) {
  struct connection *c = calloc(1, sizeof *c + buffer_bytes);
  if (c == NULL) {
    close(fd);
    return;
  }
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  c->source = (struct source){CONNECTION, fd};
  c->waits_for = EPOLLIN;
  c->next = connections;
  if (connections != NULL) connections->previous = c;
  connections = c;
  open_count++;
  served_count++;
  watch(EPOLL_CTL_ADD, &c->source, EPOLLIN);
}

static void close_connection(struct connection *c) {
  // close(2) also does this, but not while another process holds a duplicate of the socket.
  watch(EPOLL_CTL_DEL, &c->source, 0);
  close(c->source.fd);
  *(c->previous != NULL ? &c->previous->next : &connections) = c->next;
  if (c->next != NULL) c->next->previous = c->previous;
  free(c);
  open_count--;
}

// Writes what is pending. Returns what to wait for next; 0 means that the connection has ended.
static uint32_t flush(struct connection *c) {
  while (c->begin < c->end) {
    ssize_t n = write(c->source.fd, c->buffer + c->begin, c->end - c->begin);
    if (n < 0) return errno == EAGAIN ? EPOLLOUT : 0;
    c->begin += n;
  }
  if (c->finishing && !c->fin_sent) {
    if (shutdown(c->source.fd, SHUT_WR) != 0) return 0;  // the client has reset it
    c->fin_sent = true;
  }
  return EPOLLIN;
}

// Reads once, after everything is written. Returns 0 if the connection has ended.
static uint32_t fill(struct connection *c) {
  ssize_t n = read(c->source.fd, c->buffer, buffer_bytes);
  // Zero is FIN. Nothing is left to read or write, so closing sends FIN and not a reset.
  if (n == 0 || (n < 0 && errno != EAGAIN)) return 0;
  c->begin = 0;
  c->end = n < 0 || c->fin_sent ? 0 : n;  // input after our FIN is dropped
  return EPOLLIN;
}

static void wait_or_close(struct connection *c, uint32_t next) {
  if (next == 0) {
    close_connection(c);
  } else if (next != c->waits_for) {
    c->waits_for = next;
    watch(EPOLL_CTL_MOD, &c->source, next);
  }
}

// Continues with a connection that is ready to read or to write.
static void go_on(struct connection *c) {
  uint32_t next = flush(c);
  if (next == EPOLLIN) next = fill(c);
  if (next == EPOLLIN) next = flush(c);
  wait_or_close(c, next);
}

// After the stop: echoes what has arrived by now, then sends FIN.
static void finish(struct connection *c) {
  uint32_t next = c->begin == c->end ? fill(c) : EPOLLIN;
  c->finishing = true;
  if (next == EPOLLIN) next = flush(c);
  wait_or_close(c, next);
}

// Accepts the clients that wait. Returns false if the system refused one.
static bool take_queue(int listener) {
  for (int turn = 0; turn <= BACKLOG; turn++) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      open_connection(fd);
    } else if (errno == EAGAIN) {
      return true;
    } else if (errno != EINTR && errno != ECONNABORTED) {
      warn("accept, tried again in %d ms", ACCEPT_PAUSE_MS);
      return false;
    }
  }
  return true;
}

static void watch_listeners(uint32_t events) {
  for (int i = 0; i < address_count; i++) watch(EPOLL_CTL_MOD, &listeners[i], events);
}

// Without a free descriptor, a listener stays readable, and watching it would spin. So it is not
// watched for a while, and then tried again even if no client arrives.
static void on_client(int listener) {
  if (take_queue(listener)) return;
  watch_listeners(0);
  accept_again_ms = now_ms() + ACCEPT_PAUSE_MS;
}

static void text_of(const struct sockaddr *address, socklen_t size, char text[TEXT]) {
  char host[64] = "?", port[8] = "?";
  getnameinfo(address, size, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
  snprintf(text, TEXT, address->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static int bind_listener(const struct addrinfo *address) {
  char text[TEXT];
  text_of(address->ai_addr, address->ai_addrlen, text);
  if (strncmp(text, "127.", 4) != 0 && strncmp(text, "[::1]", 5) != 0) {
    fprintf(stderr, "warning: other hosts can reach %s, an open echo server\n", text);
  }
  int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
  // With SO_REUSEADDR, connections in TIME_WAIT do not hold the port. With SO_REUSEPORT, a second
  // server could start on the same port.
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  int v6_only = !dual_stack;
  if (address->ai_family == AF_INET6) {
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only);
  }
  if (fd < 0 || bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
    err(1, "listen on %s", text);
  }
  return fd;
}

static void lacks(const char *what, int length, const char *name) {
  snprintf(unsupported, sizeof unsupported, "c-epoll has no %s %.*s", what, length, name);
}

static void add_listener(const char *text) {
  static const char *const others[] = {"udp:", "unix:", "unixgram:", "cpu:"};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    size_t length = strlen(others[i]);
    if (strncmp(text, others[i], length) == 0) {
      lacks("listeners of kind", length - 1, text);
      return;
    }
  }
  char host[64], port[6], more;
  const char *bare = strncmp(text, "tcp:", 4) == 0 ? text + 4 : text;
  const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                                 .ai_socktype = SOCK_STREAM};
  if ((sscanf(bare, "[%63[^]]]:%5[0-9]%c", host, port, &more) != 2 &&
       sscanf(bare, "%63[^]:[]:%5[0-9]%c", host, port, &more) != 2) ||
      atoi(port) > UINT16_MAX || address_count == LISTENERS ||
      getaddrinfo(host, port, &hints, &addresses[address_count]) != 0) {
    errx(2, "--listen '%s': write 127.0.0.1:8080, or [::1]:0 for any free port; at most %d times",
         text, LISTENERS);
  }
  address_count++;
}

static long long parse_drain(const char *text) {
  unsigned value;
  char unit[3], more;
  bool is_form = sscanf(text, "%6u%2[ms]%c", &value, unit, &more) == 2;
  if (is_form && strcmp(unit, "ms") == 0) return value;
  if (is_form && strcmp(unit, "s") == 0) return value * 1000LL;
  errx(2, "--drain: write a duration, such as 5s or 500ms");
}

static void parse_options(int count, char **arguments) {
  static const struct option known[] = {
      {"listen", 1, NULL, 'l'},  {"announce", 1, NULL, 'a'}, {"flavor", 1, NULL, 'f'},
      {"driver", 1, NULL, 'd'},  {"workers", 1, NULL, 'w'},  {"buffer", 1, NULL, 'b'},
      {"drain", 1, NULL, 't'},   {"stop-on-stdin-eof", 0, NULL, 's'},
      {"capability", 1, NULL, 'c'}, {"dual-stack", 0, NULL, '6'}, {0}};
  char *end;
  for (int option; (option = getopt_long(count, arguments, "", known, NULL)) != -1;) {
    switch (option) {
      case 'l': add_listener(optarg); break;
      case 'a':
        json = strcmp(optarg, "json") == 0;
        if (!json && strcmp(optarg, "text") != 0) errx(2, "--announce: write text or json");
        break;
      case 'f':
        if (strcmp(optarg, "default") != 0) errx(2, "--flavor: write default, the only one");
        break;
      case 'd':
        if (strcmp(optarg, "epoll") != 0) lacks("driver", 64, optarg);
        break;
      case 'w':
        if (strcmp(optarg, "1") != 0) errx(2, "--workers: it has one thread by nature: write 1");
        break;
      case 'b':
        buffer_bytes = strtol(optarg, &end, 10);
        if (*end == '\0' && buffer_bytes >= 1 && buffer_bytes <= 16 << 20) break;
        errx(2, "--buffer: write 1 to 16777216");
      case 't': drain_ms = parse_drain(optarg); break;
      case 's': stop_on_stdin_eof = true; break;
      case '6': dual_stack = true; break;
      case 'c': lacks("capability", 64, optarg); break;
      default: exit(2);  // getopt has printed what is wrong
    }
  }
  if (optind < count) errx(2, "'%s' is no option: write it after --listen", arguments[optind]);
  if (address_count == 0) add_listener("127.0.0.1:8080");
}

static void say_unsupported(void) {
  warnx("%s", unsupported);
  fputs("{\"unsupported\":\"", stdout);
  for (const char *c = unsupported; *c != '\0'; c++) {
    printf((unsigned char)*c < ' ' || *c == '"' || *c == '\\' ? "\\u%04x" : "%c", *c);
  }
  puts("\"}");
}

static void announce(void) {
  struct utsname system;
  uname(&system);
  if (json) fputs("{\"ready\":1,\"listeners\":[", stdout);
  for (int i = 0; i < address_count; i++) {
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    char text[TEXT];
    getsockname(listeners[i].fd, (struct sockaddr *)&bound, &size);
    text_of((struct sockaddr *)&bound, size, text);
    const char *form = !json ? "Server listening on %s\n" : i == 0 ? "\"tcp:%s\"" : ",\"tcp:%s\"";
    printf(form, text);
  }
  const char *form = "],\"backend\":\"c-epoll\",\"runtime\":\"%s %s\",\"model\":\"readiness\","
                     "\"driver\":\"epoll\",\"flavor\":\"default\",\"workers\":1,"
                     "\"capabilities\":[]}\n";
  if (json) printf(form, system.sysname, system.release);
  fflush(stdout);
  warnx("%s %s, model readiness, driver epoll, 1 worker", system.sysname, system.release);
}

// Waits for events until `moment_ms` at most (-1 means without limit), and handles them. Returns
// true if the server was told to stop.
static bool turn(long long moment_ms) {
  long long left_ms = moment_ms - now_ms();
  struct epoll_event events[EVENTS];
  int count = epoll_wait(epoll, events, EVENTS, moment_ms < 0 ? -1 : left_ms < 0 ? 0 : left_ms);
  bool told_to_stop = false;
  for (int i = 0; i < count; i++) {
    struct source *source = events[i].data.ptr;
    struct signalfd_siginfo signal;
    char ignored[256];
    switch (source->kind) {
      case LISTENER: on_client(source->fd); break;
      case CONNECTION: go_on((struct connection *)source); break;
      case SIGNALS:
        if (read(source->fd, &signal, sizeof signal) != sizeof signal) break;
        if (stopping) errx(1, "a second signal; connections cut: %llu", open_count);
        told_to_stop = true;
        break;
      case STDIN:
        if (read(source->fd, ignored, sizeof ignored) > 0) break;
        epoll_ctl(epoll, EPOLL_CTL_DEL, source->fd, NULL);
        told_to_stop = true;
        break;
    }
  }
  return told_to_stop;
}

int main(int count, char **arguments) {
  parse_options(count, arguments);
  if (unsupported[0] != '\0') {
    say_unsupported();
    return EX_UNAVAILABLE;
  }
  signal(SIGPIPE, SIG_IGN);
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;  // the usual soft limit is 1024
  setrlimit(RLIMIT_NOFILE, &limit);

  epoll = epoll_create1(EPOLL_CLOEXEC);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  struct source stop_signals = {SIGNALS, signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC)};
  watch(EPOLL_CTL_ADD, &stop_signals, EPOLLIN);
  for (int i = 0; i < address_count; i++) {
    listeners[i] = (struct source){LISTENER, bind_listener(addresses[i])};
  }
  for (int i = 0; i < address_count; i++) watch(EPOLL_CTL_ADD, &listeners[i], EPOLLIN);
  struct source stdin_end = {STDIN, STDIN_FILENO};
  struct epoll_event on_stdin = {.events = EPOLLIN, .data.ptr = &stdin_end};
  // epoll refuses a file or /dev/null. There is nothing to wait for: it counts as at its end.
  bool stop = stop_on_stdin_eof && epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &on_stdin) != 0;
  announce();

  while (!stop) {
    stop = turn(accept_again_ms);
    if (accept_again_ms >= 0 && now_ms() >= accept_again_ms) {
      accept_again_ms = -1;
      watch_listeners(EPOLLIN);
    }
  }

  stopping = true;
  long long deadline_ms = now_ms() + drain_ms;
  for (int i = 0; i < address_count; i++) {
    take_queue(listeners[i].fd);  // closing a listener resets the clients in its queue
    watch(EPOLL_CTL_DEL, &listeners[i], 0);
    close(listeners[i].fd);
  }
  for (struct connection *c = connections, *next; c != NULL; c = next) {
    next = c->next;
    finish(c);
  }
  while (open_count > 0 && now_ms() < deadline_ms) turn(deadline_ms);
  warnx("drained; connections cut: %llu, served: %llu", open_count, served_count);
  return 0;
}
