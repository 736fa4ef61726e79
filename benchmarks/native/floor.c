/*
 * An extension that does as little as can be: it registers, listens, subscribes, takes telemetry over TCP, and POSTs it
 * as it came to FLOOR_SINK (address:port) at the end of each invocation. It parses nothing and repeats nothing.
 */

#define _GNU_SOURCE
#include "http.h"
#include <libgen.h>
#include <poll.h>

#define ROOM (2 << 20)
#define FULL (1 << 20)
#define PATIENCE_MS 10000 /* for the end of an invocation */
#define LAST_WORDS_MS 100 /* for what comes after SHUTDOWN */

static const char DONE[] = "\"platform.runtimeDone\"";
static char telemetry[ROOM], reply[65536], identity[128];
static size_t held;
static int done;   /* whether the end of this invocation was seen */
static int source; /* listens, then is the connection of the platform, then -1 */
static int connected;

static void deliver(void)
{
	if (held)
		answer(ask(getenv("FLOOR_SINK"), "POST /", "Content-Type: application/x-ndjson\r\n", telemetry, held),
		       reply, sizeof reply);
	held = 0;
}

/* Accept the connection, or read what is there. */
static void take(void)
{
	if (!connected) {
		source = accept(source, NULL, NULL);
		connected = 1;
		return;
	}
	ssize_t got = recv(source, telemetry + held, ROOM - held, 0);
	if (got <= 0) {
		source = -1;
		return;
	}
	size_t from = held > sizeof DONE ? held - sizeof DONE : 0;
	held += got;
	done = done || memmem(telemetry + from, held - from, DONE, sizeof DONE - 1);
	if (held >= FULL)
		deliver();
}

/* Listen on any port; that port. */
static int listen_anywhere(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	struct sockaddr *address = (struct sockaddr *)&any;
	socklen_t size = sizeof any;
	source = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(source, address, size) || listen(source, 8) || getsockname(source, address, &size))
		fail("listen");
	return ntohs(any.sin_port);
}

/* Wait for the next event, and take telemetry meanwhile. */
static char *next_event(const char *api)
{
	struct pollfd both[] = {{.events = POLLIN}, {.events = POLLIN}};
	done = 0;
	both[1].fd = ask(api, "GET /2020-01-01/extension/event/next", identity, "", 0);
	for (;;) {
		both[0].fd = source;
		if (poll(both, 2, -1) < 0)
			fail("poll");
		if (both[1].revents)
			return answer(both[1].fd, reply, sizeof reply);
		take();
	}
}

int main(int count, char **arguments)
{
	static const char events[] = "{\"events\":[\"INVOKE\",\"SHUTDOWN\"]}";
	static const char subscription[] =
		"{\"schemaVersion\":\"2022-12-13\",\"types\":[\"platform\",\"function\",\"extension\"],"
		"\"buffering\":{\"maxItems\":1000,\"maxBytes\":262144,\"timeoutMs\":25},"
		"\"destination\":{\"protocol\":\"TCP\",\"port\":%d}}";
	char headers[256], body[512];
	const char *api = getenv("AWS_LAMBDA_RUNTIME_API");
	if (!count || !api || !getenv("FLOOR_SINK"))
		fail("AWS_LAMBDA_RUNTIME_API, FLOOR_SINK");
	snprintf(headers, sizeof headers, "Lambda-Extension-Name: %s\r\n", basename(arguments[0]));
	answer(ask(api, "POST /2020-01-01/extension/register", headers, events, sizeof events - 1), reply, sizeof reply);
	int length = snprintf(identity, sizeof identity, "Lambda-Extension-Identifier: ");
	header(reply, "Lambda-Extension-Identifier", identity + length, sizeof identity - length - 2);
	strcat(identity, "\r\n");
	length = snprintf(body, sizeof body, subscription, listen_anywhere());
	answer(ask(api, "PUT /2022-07-01/telemetry", identity, body, length), reply, sizeof reply);
	for (;;) {
		int last = strstr(next_event(api), "\"SHUTDOWN\"") != NULL;
		while (source >= 0 && (last || !done)) {
			struct pollfd one = {.fd = source, .events = POLLIN};
			if (poll(&one, 1, last ? LAST_WORDS_MS : PATIENCE_MS) <= 0)
				break;
			take();
		}
		deliver();
		if (last)
			return 0;
	}
}
