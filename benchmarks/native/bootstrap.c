/*
 * A runtime and function in one, as fast to start as can be. Of the event's JSON it reads whole numbers: it counts to
 * "loops", prints "lines" numbered lines of "bytes" bytes, and answers how long the counting took:
 * {"handlerMs": 10.1, "printed": 1}.
 */

#define _GNU_SOURCE
#include "http.h"
#include <time.h>

#define LONGEST 65536

static long number(const char *event, const char *name)
{
	const char *found = strstr(event, name);
	return found ? atol(found + strlen(name)) : 0;
}

static double now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static void print_line(long line, size_t bytes)
{
	static unsigned int random = 1;
	static char text[LONGEST + 1];
	size_t length = snprintf(text, sizeof text, "L%08ld INFO", line);
	while (length < bytes && bytes <= LONGEST) { /* text that compresses as logs do */
		random = random * 1103515245 + 12345;
		length += snprintf(text + length, sizeof text - length, " path=/orders/%u status=%u took=%u ms",
				   random >> 22, 200 + (random >> 30), (random >> 16) % 100);
	}
	text[bytes] = 0;
	puts(text);
}

int main(void)
{
	static char reply[1 << 20], path[256], id[128], body[128];
	const char *api = getenv("AWS_LAMBDA_RUNTIME_API");
	long printed = 0;
	if (!api)
		fail("AWS_LAMBDA_RUNTIME_API");
	for (;;) {
		char *event = answer(ask(api, "GET /2018-06-01/runtime/invocation/next", "", "", 0), reply, sizeof reply);
		header(reply, "Lambda-Runtime-Aws-Request-Id", id, sizeof id);
		double began = now_ms();
		for (volatile long left = number(event, "\"loops\":"); left > 0;)
			left = left - 1;
		double took = now_ms() - began;
		long lines = number(event, "\"lines\":"), bytes = number(event, "\"bytes\":");
		for (long line = 0; line < lines; line++)
			print_line(printed++, bytes);
		fflush(stdout);
		int size = snprintf(body, sizeof body, "{\"handlerMs\": %.3f, \"printed\": %ld}", took, printed);
		snprintf(path, sizeof path, "POST /2018-06-01/runtime/invocation/%s/response", id);
		answer(ask(api, path, "", body, size), reply, sizeof reply);
	}
}
