/* Preloaded into the processes of a simulation, so that their clocks can jump: a shared file says by how many
   nanoseconds they are ahead. Waits until a moment are given in the same clocks, and so are turned back. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *ahead;

__attribute__((constructor)) static void map_file(void) {
    const char *path = getenv("CLOCK_JUMP_FILE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *page = mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED) ahead = page;
    close(file);
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
    if (result == 0 && ahead && id != CLOCK_PROCESS_CPUTIME_ID && id != CLOCK_THREAD_CPUTIME_ID)
        *now = moved(now, *ahead);
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

#define TURNED_BACK(call)                                             \
    struct timespec until = moved(deadline, ahead ? -*ahead : 0);     \
    return call

int clock_nanosleep(clockid_t id, int flags, const struct timespec *deadline, struct timespec *left) {
    if (flags & TIMER_ABSTIME) { TURNED_BACK(REAL(clock_nanosleep)(id, flags, &until, left)); }
    return REAL(clock_nanosleep)(id, flags, deadline, left);
}
int sem_timedwait(sem_t *restrict sem, const struct timespec *restrict deadline) {
    TURNED_BACK(REAL(sem_timedwait)(sem, &until));
}
int sem_clockwait(sem_t *restrict sem, clockid_t id, const struct timespec *restrict deadline) {
    TURNED_BACK(REAL(sem_clockwait)(sem, id, &until));
}
int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict deadline) {
    /* Where glibc has two versions of this one, dlsym finds the old one, which is laid out differently. */
    static __typeof__(&pthread_cond_timedwait) real;
    if (!real) real = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!real) real = REAL(pthread_cond_timedwait);
    TURNED_BACK(real(cond, mutex, &until));
}
int pthread_cond_clockwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex, clockid_t id,
                           const struct timespec *restrict deadline) {
    TURNED_BACK(REAL(pthread_cond_clockwait)(cond, mutex, id, &until));
}
