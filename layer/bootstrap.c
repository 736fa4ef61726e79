/* The file in extensions/: starts the binary beside that folder, wherever both are, under the name that it was given.
   Lambda wants an extension to register under its file name, and some container images have no shell to start one with. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What PyInstaller's bootloader tells the process that it starts of itself; from elsewhere, it would be misled. */
static const char *const MISLEADING[] = {"_PYI_ARCHIVE_FILE", "_PYI_APPLICATION_HOME_DIR", "_PYI_PARENT_PROCESS_LEVEL"};

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

int main(int argc, char **argv) {
    char self[PATH_MAX], path[PATH_MAX];
    ssize_t found = readlink("/proc/self/exe", self, sizeof self - 1);
    if (found > 0) {
        self[found] = '\0';
    } else { /* no /proc */
        snprintf(self, sizeof self, "%s", argc > 0 ? argv[0] : "");
    }
    const char *given = argc > 0 ? base_name(argv[0]) : "";
    const char *name = *given ? given : base_name(self);
    int folder = (int)(base_name(self) - self);
    int length = snprintf(path, sizeof path, "%.*s../telemetry-forwarder/telemetry-forwarder", folder, self);
    for (size_t at = 0; at < sizeof MISLEADING / sizeof *MISLEADING; at++) {
        unsetenv(MISLEADING[at]);
    }
    if (length < (int)sizeof path) {
        execv(path, (char *[]){path, (char *)name, NULL});
    }
    perror(path);
    return 1;
}
