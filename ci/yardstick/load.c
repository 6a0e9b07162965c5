// Clients in a closed loop in one thread, each with one message in flight. Like the load generator,
// it compares every byte that comes back, and times every message.
//
//   load PORT CONNECTIONS BYTES SECONDS
//
// prints the number of messages and their median time in microseconds; status 1 on any error
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

enum { EVENTS = 512, ROOM = 1 << 20 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

struct client {
  int fd;
  ssize_t received;
  double sent;
};

// Counts of messages by their time in tenths of a microsecond. The last counts all longer times.
enum { TENTHS = 1 << 20 };
static uint32_t times[TENTHS];

static double median(uint64_t messages) {
  uint64_t before = 0;
  int tenth = 0;
  while (tenth < TENTHS - 1 && (before += times[tenth]) * 2 < messages) tenth++;
  return tenth / 10.0;
}

int main(int count, char **arguments) {
  if (count != 5) errx(2, "load PORT CONNECTIONS BYTES SECONDS");
  int connections = atoi(arguments[2]);
  ssize_t bytes = atoi(arguments[3]);
  double seconds = atof(arguments[4]);
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons(atoi(arguments[1])),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct client *clients = calloc(connections, sizeof *clients);
  char *message = malloc(bytes), *got = malloc(ROOM);
  memset(message, 'x', bytes);
  int poller = epoll_create1(0);
  for (int i = 0; i < connections; i++) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (connect(fd, (void *)&address, sizeof address) != 0) err(1, "connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    clients[i].fd = fd;
  }
  for (int i = 0; i < connections; i++) {
    clients[i].sent = now();
    if (send(clients[i].fd, message, bytes, 0) != bytes) err(1, "send");
  }
  uint64_t messages = 0;
  struct epoll_event events[EVENTS];
  for (double end = now() + seconds; now() < end;) {
    int ready = epoll_wait(poller, events, EVENTS, 1000);
    if (ready <= 0) err(1, "no answer within a second");
    for (int i = 0; i < ready; i++) {
      struct client *client = &clients[events[i].data.u32];
      ssize_t n = recv(client->fd, got, ROOM, MSG_DONTWAIT);
      if (n < 0 && errno == EAGAIN) continue;
      if (n <= 0) err(1, "a connection ended");
      for (ssize_t at = 0; at < n; at++) {
        if (got[at] != 'x') errx(1, "another byte than was sent");
      }
      client->received += n;
      if (client->received > bytes) errx(1, "more bytes than were sent");
      if (client->received < bytes) continue;
      client->received = 0;
      messages++;
      double came = now(), tenths = (came - client->sent) * 1e7;
      times[tenths < TENTHS - 1 ? (int)tenths : TENTHS - 1]++;
      client->sent = came;
      if (send(client->fd, message, bytes, 0) != bytes) err(1, "send");
    }
  }
  printf("%lu %.1f\n", (unsigned long)messages, median(messages));
}
