/* The file in extensions/: starts the binary beside that folder, wherever both are, under the name that it was given.
   Lambda wants an extension to register under its file name, and some container images have no shell to start one with. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    char path[PATH_MAX];
    char *slash = strrchr(argv[0], '/');
    char *name = slash ? slash + 1 : argv[0];
    int length = snprintf(path, sizeof path, "%.*s../telemetry-forwarder/telemetry-forwarder", (int)(name - argv[0]), argv[0]);
    (void)argc;
    if (length < (int)sizeof path) {
        execv(path, (char *[]){path, name, NULL});
    }
    perror(path);
    return 1;
}
