// The floor: what the kernel alone charges a server for a message. It measures recv and send on
// connections that already have the data, without an event loop.
//
//   floor CONNECTIONS BYTES ROUNDS      prints the calling thread's CPU nanoseconds per message
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

static double cpu_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static void no_delay(int fd) {
  int on = 1;
  if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) err(1, "TCP_NODELAY");
}

int main(int count, char **arguments) {
  if (count != 4) errx(2, "floor CONNECTIONS BYTES ROUNDS");
  int connections = atoi(arguments[1]), rounds = atoi(arguments[3]);
  ssize_t bytes = atoi(arguments[2]);
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  if (bind(listener, (void *)&address, length) != 0 || listen(listener, connections) != 0 ||
      getsockname(listener, (void *)&address, &length) != 0) {
    err(1, "listen");
  }
  int *client = calloc(connections, sizeof *client), *server = calloc(connections, sizeof *server);
  char *message = calloc(1, bytes);
  for (int i = 0; i < connections; i++) {
    client[i] = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(client[i], (void *)&address, sizeof address) != 0) err(1, "connect");
    server[i] = accept(listener, NULL, NULL);
    if (server[i] < 0) err(1, "accept");
    no_delay(client[i]);
    no_delay(server[i]);
  }
  double total = 0;
  for (int round = 0; round < rounds; round++) {
    for (int i = 0; i < connections; i++) {
      if (send(client[i], message, bytes, 0) != bytes) err(1, "send");
    }
    double start = cpu_ns();
    for (int i = 0; i < connections; i++) {
      if (recv(server[i], message, bytes, 0) != bytes) err(1, "recv");
      if (send(server[i], message, bytes, MSG_NOSIGNAL) != bytes) err(1, "send");
    }
    total += cpu_ns() - start;
    for (int i = 0; i < connections; i++) {
      if (recv(client[i], message, bytes, MSG_WAITALL) != bytes) err(1, "recv");
    }
  }
  printf("%.0f\n", total / ((double)connections * rounds));
}
