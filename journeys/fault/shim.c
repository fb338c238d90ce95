/* Makes chosen storage calls of one program fail, or lie, below one folder. Loaded with LD_PRELOAD.
 *
 * FAULT_DIR   the folder
 * FAULT_ONLY  only files whose name ends so (optional)
 * FAULT_CALL  write | sync | fallocate | name (rename, mkdir, open with O_CREAT)
 * FAULT_HOW   fail   the call fails with FAULT_CODE
 *             short  a write writes half and says so
 *             lie    nothing is done, and success is reported; what was "written" can be read back by this process
 *             lose   a sync drops what was written since the last one, and reports success
 *             late   a write reports success, and is done when LATER more have come
 * FAULT_NTH   the first call that is hit, from 1
 * FAULT_ON    set: every call from then on is hit
 * FAULT_MARK  a file that gets the path of every call that was hit, before the program hears of it
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LATER 8

enum how { FAIL, SHORT, LIE, LOSE, LATE };

/* A write that has not reached the file; once lost it never will. */
struct held {
    dev_t dev;
    ino_t ino;
    off64_t at;
    size_t length;
    int lost;
    struct held *next;
    char bytes[];
};

static const char *dir, *only, *mark, *call;
static enum how how;
static int code, on;
static long nth;
static atomic_long seen;
static struct held *first;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(real))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
    const char *text = getenv("FAULT_HOW");
    if (!text) text = "fail";
    how = !strcmp(text, "short") ? SHORT : !strcmp(text, "lie") ? LIE : !strcmp(text, "lose") ? LOSE
        : !strcmp(text, "late") ? LATE : FAIL;
    code = (text = getenv("FAULT_CODE")) ? atoi(text) : EIO;
    nth = (text = getenv("FAULT_NTH")) ? atol(text) : 1;
    on = getenv("FAULT_ON") != NULL;
    only = getenv("FAULT_ONLY");
    mark = getenv("FAULT_MARK");
    call = getenv("FAULT_CALL");
    dir = call ? getenv("FAULT_DIR") : NULL;
}

static int ours(const char *path) {
    if (!dir || !path) return 0;
    size_t length = strlen(dir), whole = strlen(path);
    if (strncmp(path, dir, length) || (path[length] && path[length] != '/')) return 0;
    return !only || (whole >= strlen(only) && !strcmp(path + whole - strlen(only), only));
}

/* The path of an open file, if it is one of ours. */
static int ours_fd(int fd, char path[4096]) {
    char link[64];
    if (!dir) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, 4095);
    if (length <= 0) return 0;
    path[length] = 0;
    return ours(path);
}

static int hit(const char *name, const char *path) {
    if (strcmp(call, name)) return 0;
    long n = atomic_fetch_add(&seen, 1) + 1;
    if (on ? n < nth : n != nth) return 0;
    if (mark) {
        int fd = syscall(SYS_openat, AT_FDCWD, mark, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        syscall(SYS_write, fd, path, strlen(path));
        syscall(SYS_write, fd, "\n", 1);
        syscall(SYS_close, fd);
    }
    return 1;
}

static void hold(int fd, const void *bytes, size_t length, off64_t at, int lost) {
    struct stat file;
    struct held *held = malloc(sizeof *held + length), **end = &first;
    if (!held || fstat(fd, &file)) abort();
    *held = (struct held){ file.st_dev, file.st_ino, at, length, lost, NULL };
    memcpy(held->bytes, bytes, length);
    while (*end) end = &(*end)->next;
    *end = held;
}

/* Writes what is held back of a file, but for the last `keep` writes; or loses it. */
static void settle(int fd, int lose, int keep) {
    REAL(pwrite64);
    struct stat file;
    if (!first || fstat(fd, &file)) return;
    int count = 0;
#define THIS(held) (held->dev == file.st_dev && held->ino == file.st_ino && !held->lost)
    for (struct held *held = first; held; held = held->next) count += THIS(held);
    for (struct held **at = &first, *held; (held = *at);) {
        int this = THIS(held) && count-- > keep;
        if (this && lose) held->lost = 1;
        if (this && !lose) {
            if (real(fd, held->bytes, held->length, held->at) < 0) abort();
            *at = held->next;
            free(held);
        } else {
            at = &held->next;
        }
    }
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
    REAL(pwrite64);
    char path[4096];
    if (!ours_fd(fd, path)) return real(fd, bytes, length, at);
    int was_hit = hit("write", path);
    if ((was_hit && (how == LATE || how == LIE)) || how == LOSE) {
        pthread_mutex_lock(&lock);
        if (how == LATE) settle(fd, 0, LATER - 1);
        hold(fd, bytes, length, at, how == LIE);
        pthread_mutex_unlock(&lock);
        return length;
    }
    if (was_hit && how == FAIL) return errno = code, -1;
    return real(fd, bytes, was_hit && length > 1 ? length / 2 : length, at);
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { return pwrite64(fd, bytes, length, at); }

ssize_t write(int fd, const void *bytes, size_t length) {
    REAL(write);
    char path[4096];
    if (!ours_fd(fd, path) || !hit("write", path)) return real(fd, bytes, length);
    if (how == FAIL) return errno = code, -1;
    if (how == LIE) return lseek64(fd, length, SEEK_CUR), length;
    return real(fd, bytes, length > 1 ? length / 2 : length);
}

/* Reads what is held back as if it were in the file. */
ssize_t pread64(int fd, void *bytes, size_t length, off64_t at) {
    REAL(pread64);
    struct stat file;
    pthread_mutex_lock(&lock);
    ssize_t got = real(fd, bytes, length, at);
    if (got > 0 && first && !fstat(fd, &file))
        for (struct held *held = first; held; held = held->next) {
            off64_t from = held->at > at ? held->at : at;
            off64_t to = held->at + (off64_t)held->length < at + got ? held->at + (off64_t)held->length : at + got;
            if (held->dev == file.st_dev && held->ino == file.st_ino && from < to)
                memcpy((char *)bytes + (from - at), held->bytes + (from - held->at), to - from);
        }
    pthread_mutex_unlock(&lock);
    return got;
}
ssize_t pread(int fd, void *bytes, size_t length, off_t at) { return pread64(fd, bytes, length, at); }

/* Whether a sync is done; 0 and -1 are its result without. */
static int sync_hit(int fd) {
    char path[4096];
    if (!ours_fd(fd, path)) return 1;
    int was_hit = hit("sync", path);
    pthread_mutex_lock(&lock);
    if (how == LOSE) settle(fd, was_hit, 0);
    pthread_mutex_unlock(&lock);
    if (!was_hit) return 1;
    return how == FAIL ? (errno = code, -1) : 0;
}
#define SYNC(name, parameters, ...)                     \
    int name parameters {                               \
        REAL(name);                                     \
        int done = sync_hit(fd);                        \
        return done == 1 ? real(__VA_ARGS__) : done;    \
    }
SYNC(fsync, (int fd), fd)
SYNC(fdatasync, (int fd), fd)
SYNC(sync_file_range, (int fd, off64_t at, off64_t length, unsigned flags), fd, at, length, flags)

static int fallocate_hit(int fd) {
    char path[4096];
    return ours_fd(fd, path) && hit("fallocate", path);
}
int fallocate64(int fd, int mode, off64_t at, off64_t length) {
    REAL(fallocate64);
    if (!fallocate_hit(fd)) return real(fd, mode, at, length);
    return how == FAIL ? (errno = code, -1) : 0;
}
int fallocate(int fd, int mode, off_t at, off_t length) { return fallocate64(fd, mode, at, length); }
int ftruncate64(int fd, off64_t length) {
    REAL(ftruncate64);
    if (!fallocate_hit(fd)) return real(fd, length);
    return how == FAIL ? (errno = code, -1) : 0;
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int rename(const char *from, const char *to) {
    REAL(rename);
    if (!ours(to) || !hit("name", to)) return real(from, to);
    return how == FAIL ? (errno = code, -1) : 0;
}
int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    if (!ours(path) || !hit("name", path)) return real(path, mode);
    return how == FAIL ? (errno = code, -1) : 0;
}
int open64(const char *path, int flags, ...) {
    REAL(open64);
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (!(flags & O_CREAT) || !ours(path) || !hit("name", path)) return real(path, flags, mode);
    return how == FAIL ? (errno = code, -1) : real("/dev/null", O_RDWR | O_CLOEXEC);
}
int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open64(path, flags, mode);
}
