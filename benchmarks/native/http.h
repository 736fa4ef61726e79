/* One HTTP/1.1 request to Lambda's APIs or to a sink over a connection of its own, for the C programs beside this. */

#include <netinet/in.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

/* Connect to an "address:port", with an IPv4 address. */
static int dial(const char *target)
{
	char host[64];
	const char *colon = strchr(target, ':');
	if (!colon || (size_t)(colon - target) >= sizeof host)
		fail(target);
	memcpy(host, target, colon - target);
	host[colon - target] = 0;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(colon + 1))};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (inet_pton(AF_INET, host, &to.sin_addr) != 1 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
		fail("connect");
	return fd;
}

static void send_all(int fd, const char *data, size_t size)
{
	while (size) {
		ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
		if (sent <= 0)
			fail("send");
		data += sent;
		size -= sent;
	}
}

/* Ask, and leave the answer to `answer`; `headers` are lines that end in \r\n. */
static int ask(const char *target, const char *request, const char *headers, const char *body, size_t size)
{
	char head[1024];
	int fd = dial(target);
	int length = snprintf(head, sizeof head,
			      "%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n", request,
			      target, size, headers);
	if (length >= (int)sizeof head)
		fail("head");
	send_all(fd, head, length);
	send_all(fd, body, size);
	return fd;
}

/* Read what comes until the end into `into`, as a string; the body, or exit where the status is not 2xx. */
static char *answer(int fd, char *into, size_t room)
{
	size_t size = 0;
	ssize_t got;
	while (size < room - 1 && (got = recv(fd, into + size, room - 1 - size, 0)) > 0)
		size += got;
	close(fd);
	into[size] = 0;
	char *body = strstr(into, "\r\n\r\n");
	if (size < 13 || into[9] != '2' || !body) {
		fprintf(stderr, "unexpected answer: %.100s\n", into);
		exit(1);
	}
	return body + 4;
}

/* The value of a header of an answer, copied into `value`. */
static void header(const char *head, const char *name, char *value, size_t room)
{
	const char *found = strcasestr(head, name);
	if (!found)
		fail(name);
	found += strlen(name) + 1;
	found += strspn(found, " ");
	size_t length = strcspn(found, "\r");
	if (length >= room)
		fail(name);
	memcpy(value, found, length);
	value[length] = 0;
}
