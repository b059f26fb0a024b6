/* Reads that fail or take long, of files whose path holds a text: preloaded by tests/faults/reads.py. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int meant(int handle) {
    const char *part = getenv("FAULT_PATH");
    char link[64], path[4096];
    if (part == NULL)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return 0;
    path[length] = 0;
    return strstr(path, part) != NULL;
}

/* Whether reading up to `end` fails; where it does not, it may take a while. */
static int fails(off_t end) {
    const char *after = getenv("FAULT_AFTER"), *slow = getenv("FAULT_SLOW");
    if (slow != NULL)
        usleep(atoi(slow));
    return after != NULL && end > atoll(after);
}

ssize_t read(int handle, void *bytes, size_t count) {
    static ssize_t (*real)(int, void *, size_t);
    if (real == NULL)
        real = dlsym(RTLD_NEXT, "read");
    int saved = errno;
    if (meant(handle)) {
        off_t place = lseek(handle, 0, SEEK_CUR);
        ssize_t got = real(handle, bytes, count);
        if (got > 0 && place >= 0 && fails(place + got)) {
            lseek(handle, place, SEEK_SET);
            errno = EIO;
            return -1;
        }
        return got;
    }
    errno = saved;
    return real(handle, bytes, count);
}

ssize_t pread64(int handle, void *bytes, size_t count, off64_t place) {
    static ssize_t (*real)(int, void *, size_t, off64_t);
    if (real == NULL)
        real = dlsym(RTLD_NEXT, "pread64");
    ssize_t got = real(handle, bytes, count, place);
    if (got > 0 && meant(handle) && fails(place + got)) {
        errno = EIO;
        return -1;
    }
    return got;
}

ssize_t pread(int handle, void *bytes, size_t count, off_t place) {
    return pread64(handle, bytes, count, place);
}
