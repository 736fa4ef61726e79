/* Preloaded into the processes of a simulation that stand for copies of one snapshot: until a shared file says that
   they were restored, the kernel's random bytes come from SNAPSHOT_SEED and the name of the program, the same in every
   copy. OpenSSL's generator, which is seeded with more than those bytes, is replaced by one that is as forgetful as the
   original: it goes on as it was in the snapshot until it is seeded anew in the restored environment. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

struct generator {
    uint64_t salt;
    atomic_uint_fast64_t drawn;
};
static struct generator kernel = {.salt = 1}, openssl = {.salt = 2};
static volatile char *restored; /* of the shared file */
static atomic_bool seeded_anew;
static uint64_t seed;
static atomic_char devices[1024]; /* which file descriptors are /dev/urandom or /dev/random */

__attribute__((constructor)) static void map_file(void) {
    const char *path = getenv("SNAPSHOT_FILE"), *given = getenv("SNAPSHOT_SEED");
    int file = path && given ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    seed = strtoull(given, NULL, 10);
    const char *program = basename((const char *)getauxval(AT_EXECFN));
    for (const char *c = program; *c; c++) seed = (seed ^ (unsigned char)*c) * 0x100000001b3ULL; /* FNV-1a */
    void *page = mmap(NULL, 1, PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED && !*(char *)page) restored = page; /* else this process was started after the restore */
    close(file);
}

static int in_snapshot(void) { return restored && !*restored; }

static uint64_t splitmix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

static void draw(struct generator *from, unsigned char *into, size_t size) {
    while (size) {
        uint64_t number = atomic_fetch_add(&from->drawn, 1) + 1;
        uint64_t bytes = splitmix(splitmix(seed + from->salt) + number * 0x9e3779b97f4a7c15ULL);
        size_t part = size < sizeof bytes ? size : sizeof bytes;
        memcpy(into, &bytes, part);
        into += part;
        size -= part;
    }
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t getrandom(void *into, size_t size, unsigned flags) {
    if (!in_snapshot()) return REAL(getrandom)(into, size, flags);
    draw(&kernel, into, size);
    return (ssize_t)size;
}

int getentropy(void *into, size_t size) {
    if (!in_snapshot()) return REAL(getentropy)(into, size);
    draw(&kernel, into, size);
    return 0;
}

/* A portable CPython, built for an old glibc, and OpenSSL ask so. */
long syscall(long number, ...) {
    long given[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++) given[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_getrandom) return getrandom((void *)given[0], (size_t)given[1], (unsigned)given[2]);
    return REAL(syscall)(number, given[0], given[1], given[2], given[3], given[4], given[5]);
}

static int opened(int file, const char *path) {
    if (file >= 0 && file < (int)sizeof devices)
        devices[file] = !strcmp(path, "/dev/urandom") || !strcmp(path, "/dev/random");
    return file;
}

#define OPENED(call)                                 \
    va_list list;                                    \
    va_start(list, flags);                           \
    mode_t mode = va_arg(list, mode_t);              \
    va_end(list);                                    \
    return opened(call, path)

int open(const char *path, int flags, ...) { OPENED(REAL(open)(path, flags, mode)); }
int open64(const char *path, int flags, ...) { OPENED(REAL(open64)(path, flags, mode)); }
int openat(int at, const char *path, int flags, ...) { OPENED(REAL(openat)(at, path, flags, mode)); }
int openat64(int at, const char *path, int flags, ...) { OPENED(REAL(openat64)(at, path, flags, mode)); }

int close(int file) {
    if (file >= 0 && file < (int)sizeof devices) devices[file] = 0;
    return REAL(close)(file);
}

ssize_t read(int file, void *into, size_t size) {
    if (file >= 0 && file < (int)sizeof devices && devices[file] && in_snapshot()) {
        draw(&kernel, into, size);
        return (ssize_t)size;
    }
    return REAL(read)(file, into, size);
}

/* OpenSSL is loaded by its users for themselves, so RTLD_NEXT does not find it. */
static void *in_openssl(const char *name) {
    static const char *const libraries[] = {"libcrypto.so.3", "libcrypto.so.1.1"};
    for (int i = 0; i < 2; i++) {
        void *library = dlopen(libraries[i], RTLD_LAZY | RTLD_NOLOAD);
        if (library) return dlsym(library, name);
    }
    return NULL;
}

static int as_in_snapshot(unsigned char *into, size_t size) {
    if (!restored || seeded_anew) return 0;
    draw(&openssl, into, size);
    return 1;
}

int RAND_bytes(unsigned char *into, int size) {
    if (as_in_snapshot(into, (size_t)size)) return 1;
    int (*real)(unsigned char *, int) = in_openssl("RAND_bytes");
    return real ? real(into, size) : 0;
}

int RAND_priv_bytes(unsigned char *into, int size) {
    if (as_in_snapshot(into, (size_t)size)) return 1;
    int (*real)(unsigned char *, int) = in_openssl("RAND_priv_bytes");
    return real ? real(into, size) : 0;
}

int RAND_bytes_ex(void *context, unsigned char *into, size_t size, unsigned strength) {
    if (as_in_snapshot(into, size)) return 1;
    int (*real)(void *, unsigned char *, size_t, unsigned) = in_openssl("RAND_bytes_ex");
    return real ? real(context, into, size, strength) : 0;
}

int RAND_priv_bytes_ex(void *context, unsigned char *into, size_t size, unsigned strength) {
    if (as_in_snapshot(into, size)) return 1;
    int (*real)(void *, unsigned char *, size_t, unsigned) = in_openssl("RAND_priv_bytes_ex");
    return real ? real(context, into, size, strength) : 0;
}

static void seeded(void) {
    if (!in_snapshot()) seeded_anew = 1;
}

void RAND_seed(const void *from, int size) {
    void (*real)(const void *, int) = in_openssl("RAND_seed");
    if (real) real(from, size);
    seeded();
}

void RAND_add(const void *from, int size, double entropy) {
    void (*real)(const void *, int, double) = in_openssl("RAND_add");
    if (real) real(from, size, entropy);
    seeded();
}

int RAND_poll(void) {
    int (*real)(void) = in_openssl("RAND_poll");
    int result = real ? real() : 0;
    seeded();
    return result;
}
