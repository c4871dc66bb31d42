/*
 * Preloaded into a worker: its CLOCK_BOOTTIME is ahead by the seconds that stand, as eight bytes,
 * in the file BOOTTIME_AHEAD; they may change at any time.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile const int64_t *ahead;

__attribute__((constructor)) static void
find(void)
{
    const char *path = getenv("BOOTTIME_AHEAD");
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    void *page;

    if (fd < 0 || (page = mmap(NULL, sizeof(*ahead), PROT_READ, MAP_SHARED, fd, 0)) == MAP_FAILED)
        abort();
    ahead = page;
    close(fd);
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
    long code = syscall(SYS_clock_gettime, id, ts);

    if (code == 0 && id == CLOCK_BOOTTIME && ahead != NULL)
        ts->tv_sec += *ahead;
    return (int)code;
}
