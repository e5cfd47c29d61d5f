/* Makes one call of the C library fail, or all from one on, for files below a folder; for benchmarks/fault_test.py.

   cc -shared -fPIC -O1 -o faults.so faults.c -ldl; LD_PRELOAD=./faults.so program */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static char folder[4096], hit[8192];
static long wanted = -1, calls;
static int error_number, lasting, armed, busy;

/* Count from now on; the call number `at` fails with `error` (none where it is below 0), and all later ones that write
   where `all` is not 0. */
void faults_arm(const char *below, long at, int error, int all) {
    snprintf(folder, sizeof folder, "%s", below);
    wanted = at, error_number = error, lasting = all, calls = 0, hit[0] = 0, armed = 1;
}

long faults_calls(void) { return calls; }
const char *faults_hit(void) { return hit; }

static int fails(const char *name, const char *path, int writes) {
    if (!armed || busy || !path) return 0;
    char whole[8192];
    if (path[0] != '/') {
        busy = 1;
        char here[4000];
        if (!getcwd(here, sizeof here)) here[0] = 0;
        busy = 0;
        snprintf(whole, sizeof whole, "%s/%s", here, path);
        path = whole;
    }
    if (strncmp(path, folder, strlen(folder))) return 0;
    long number = calls++;
    if (wanted < 0 || number < wanted || (number > wanted && !(lasting && writes))) return 0;
    if (!hit[0]) snprintf(hit, sizeof hit, "%s %s", name, path + strlen(folder));
    errno = error_number;
    return 1;
}

static int fails_at(const char *name, int place, const char *path, int writes) {
    char link[64], base[4000], whole[8192];
    if (!armed || busy || !path) return 0;
    if (path[0] == '/' || place == AT_FDCWD) return fails(name, path, writes);
    snprintf(link, sizeof link, "/proc/self/fd/%d", place);
    busy = 1;
    ssize_t n = readlink(link, base, sizeof base - 1);
    busy = 0;
    if (n < 0) return 0;
    base[n] = 0;
    snprintf(whole, sizeof whole, "%s/%s", base, path);
    return fails(name, whole, writes);
}

static int fails_fd(const char *name, int file, int writes) {
    char link[64], path[4096];
    if (!armed || busy) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    busy = 1;
    ssize_t n = readlink(link, path, sizeof path - 1);
    busy = 0;
    if (n < 0) return 0;
    path[n] = 0;
    return path[0] == '/' && fails(name, path, writes);
}

#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define WRITES(flags) (((flags) & (O_WRONLY | O_RDWR | O_CREAT)) != 0)
#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); va_list more; va_start(more, flags); int mode = va_arg(more, int); va_end(more); \
        return fails("open", path, WRITES(flags)) ? -1 : real(path, flags, mode); }
#define OPENAT(name) \
    int name(int at, const char *path, int flags, ...) { \
        REAL(name); va_list more; va_start(more, flags); int mode = va_arg(more, int); va_end(more); \
        return fails_at("open", at, path, WRITES(flags)) ? -1 : real(at, path, flags, mode); }
#define STAT(name, type) \
    int name(const char *path, struct type *found) { REAL(name); return fails(#name, path, 0) ? -1 : real(path, found); }
#define STATAT(name, type) \
    int name(int at, const char *path, struct type *found, int flags) { \
        REAL(name); return fails_at(#name, at, path, 0) ? -1 : real(at, path, found, flags); }

OPEN(open) OPEN(open64) OPENAT(openat) OPENAT(openat64)
STAT(stat, stat) STAT(stat64, stat64) STAT(lstat, stat) STAT(lstat64, stat64)
STATAT(fstatat, stat) STATAT(fstatat64, stat64)

ssize_t read(int file, void *to, size_t n) { REAL(read); return fails_fd("read", file, 0) ? -1 : real(file, to, n); }
ssize_t write(int file, const void *from, size_t n) {
    REAL(write); return fails_fd("write", file, 1) ? -1 : real(file, from, n); }
int fsync(int file) { REAL(fsync); return fails_fd("fsync", file, 1) ? -1 : real(file); }
int mkdir(const char *path, mode_t mode) { REAL(mkdir); return fails("mkdir", path, 1) ? -1 : real(path, mode); }
int rename(const char *from, const char *to) { REAL(rename); return fails("rename", to, 1) ? -1 : real(from, to); }
int unlink(const char *path) { REAL(unlink); return fails("unlink", path, 1) ? -1 : real(path); }
int rmdir(const char *path) { REAL(rmdir); return fails("rmdir", path, 1) ? -1 : real(path); }
DIR *opendir(const char *path) { REAL(opendir); return fails("opendir", path, 0) ? NULL : real(path); }
