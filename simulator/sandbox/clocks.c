/* Preloaded into the processes of a simulation, so that their clocks can jump or stand still: a shared file says by how
   many nanoseconds the wall clock and the monotonic one are ahead of the machine's, or behind. Waits until a moment
   are given in the same clocks, and so are turned back. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *offsets; /* of the wall clock, of the monotonic one */

__attribute__((constructor)) static void map_file(void) {
    const char *path = getenv("CLOCKS_FILE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *page = mmap(NULL, 2 * sizeof *offsets, PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED) offsets = page;
    close(file);
}

static int64_t ahead(clockid_t id) {
    if (!offsets) return 0;
    switch (id) {
    case CLOCK_REALTIME: case CLOCK_REALTIME_COARSE: case CLOCK_TAI:
        return offsets[0];
    case CLOCK_MONOTONIC: case CLOCK_MONOTONIC_RAW: case CLOCK_MONOTONIC_COARSE: case CLOCK_BOOTTIME:
        return offsets[1];
    default: /* CPU time */
        return 0;
    }
}

static struct timespec moved(const struct timespec *from, int64_t by) {
    int64_t total = from->tv_sec * 1000000000LL + from->tv_nsec + by;
    return (struct timespec){.tv_sec = total / 1000000000LL, .tv_nsec = total % 1000000000LL};
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int clock_gettime(clockid_t id, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = REAL(clock_gettime);
    int result = real(id, now);
    if (result == 0) *now = moved(now, ahead(id));
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec exact;
    int result = clock_gettime(CLOCK_REALTIME, &exact);
    *now = (struct timeval){.tv_sec = exact.tv_sec, .tv_usec = exact.tv_nsec / 1000};
    return result;
}

time_t time(time_t *into) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (into) *into = now.tv_sec;
    return now.tv_sec;
}

/* A clock that stood still while the process was stopped has not come to the moment when the kernel's has. */
static int early(clockid_t id, const struct timespec *deadline) {
    struct timespec now;
    clock_gettime(id, &now);
    return now.tv_sec < deadline->tv_sec || (now.tv_sec == deadline->tv_sec && now.tv_nsec < deadline->tv_nsec);
}

#define TURNED_BACK(id) struct timespec until = moved(deadline, -ahead(id))

int clock_nanosleep(clockid_t id, int flags, const struct timespec *deadline, struct timespec *left) {
    if (!(flags & TIMER_ABSTIME)) return REAL(clock_nanosleep)(id, flags, deadline, left);
    int result;
    do {
        TURNED_BACK(id);
        result = REAL(clock_nanosleep)(id, flags, &until, left);
    } while (result == 0 && early(id, deadline));
    return result;
}

int sem_clockwait(sem_t *restrict sem, clockid_t id, const struct timespec *restrict deadline) {
    int result;
    do {
        TURNED_BACK(id);
        result = REAL(sem_clockwait)(sem, id, &until);
    } while (result < 0 && errno == ETIMEDOUT && early(id, deadline));
    return result;
}

int sem_timedwait(sem_t *restrict sem, const struct timespec *restrict deadline) {
    return sem_clockwait(sem, CLOCK_REALTIME, deadline);
}

/* What ends early wakes up without a reason, as condition variables may: to wait again here would miss a signal. */
#define WOKEN(result, id) ((result) == ETIMEDOUT && early(id, deadline) ? 0 : (result))

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict deadline) {
    /* Where glibc has two versions of this one, dlsym finds the old one, which is laid out differently. */
    static __typeof__(&pthread_cond_timedwait) real;
    if (!real) real = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!real) real = REAL(pthread_cond_timedwait);
    /* pthread_condattr_setclock's choice is bit 1 of __wrefs (glibc since 2.25, nptl/pthread_cond_common.c). */
    clockid_t id = cond->__data.__wrefs & 2 ? CLOCK_MONOTONIC : CLOCK_REALTIME;
    TURNED_BACK(id);
    int result = real(cond, mutex, &until);
    return WOKEN(result, id);
}

int pthread_cond_clockwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex, clockid_t id,
                           const struct timespec *restrict deadline) {
    TURNED_BACK(id);
    int result = REAL(pthread_cond_clockwait)(cond, mutex, id, &until);
    return WOKEN(result, id);
}
