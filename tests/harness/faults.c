/* Faults of a disk, below a program that knows nothing of them: preloaded, it wraps the calls of the C library that read and sync.
 *
 * GRIDFLEX_FAULTS names a file. While it is there, each line "what path amount" says what happens to files whose path contains `path`:
 *   sync-ms  PATH 1000   a sync takes so many milliseconds longer
 *   sync-eio PATH 0      a sync fails
 *   read-eio PATH 0      a read fails
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* How much of a fault there is for an open file; -1 for none. */
static long fault(const char *wanted, int fd) {
    const char *list = getenv("GRIDFLEX_FAULTS");
    if (!list || access(list, F_OK) != 0) return -1;
    char link[64], path[4096], what[32], part[1024];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return -1;
    path[length] = 0;
    if (strcmp(path, list) == 0) return -1;
    FILE *file = fopen(list, "re");
    if (!file) return -1;
    long amount, found = -1;
    while (fscanf(file, "%31s %1023s %ld", what, part, &amount) == 3)
        if (strcmp(what, wanted) == 0 && strstr(path, part)) found = amount;
    fclose(file);
    return found;
}

static int synced(const char *name, int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (fault("sync-eio", fd) >= 0) { errno = EIO; return -1; }
    long ms = fault("sync-ms", fd);
    if (ms > 0) {
        struct timespec wait = { ms / 1000, ms % 1000 * 1000000 };
        nanosleep(&wait, NULL);
    }
    return real(fd);
}

int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }

ssize_t read(int fd, void *bytes, size_t count) {
    static ssize_t (*real)(int, void *, size_t);
    if (!real) real = (ssize_t (*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
    if (fault("read-eio", fd) >= 0) { errno = EIO; return -1; }
    return real(fd, bytes, count);
}

ssize_t pread64(int fd, void *bytes, size_t count, off64_t at) {
    static ssize_t (*real)(int, void *, size_t, off64_t);
    if (!real) real = (ssize_t (*)(int, void *, size_t, off64_t))dlsym(RTLD_NEXT, "pread64");
    if (fault("read-eio", fd) >= 0) { errno = EIO; return -1; }
    return real(fd, bytes, count, at);
}
