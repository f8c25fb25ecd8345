/*
 * Records what a process does to the files directly below POWER_CUT_DIR, and what it sends to the TCP port
 * POWER_CUT_PORT, in order, in the file POWER_CUT_TRACE. Its children are not recorded.
 *
 * Invariant: the order of the records is the order in which the calls took effect, over all threads: each call and its
 * record are made under one lock, and a record is written when its call has returned. What a sync has made durable is
 * thus all that stands before its record. SQLite's -shm files are left out: they are memory-mapped and made anew.
 *
 * A record is { kind: u8, handle: u32, offset: u64, length: u32 }, little-endian, and `length` bytes:
 *   S  the process begins           O  open: offset = flags (1 created if absent, 2 emptied), bytes = name
 *   W  write at offset, bytes       T  truncate to offset              F  fsync or fdatasync
 *   U  unlink, bytes = name         R  rename, bytes = from NUL to       N  sent, bytes
 *   E  fsync or fdatasync that failed with EIO (POWER_CUT_FAIL)
 * The name "" is the directory itself.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_FD 65536

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t handles[MAX_FD];
static uint32_t sockets[MAX_FD];
static uint32_t next_handle = 1;
static int port;
static int fail_each;
static char is_broken[MAX_FD];
static const char *dir;
static size_t dir_length;
static int trace = -1;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) {
  void *found = dlsym(RTLD_NEXT, name);
  if (!found) abort();
  return found;
}

static void record(char kind, uint32_t handle, uint64_t offset, const void *bytes, uint32_t length) {
  unsigned char head[17];
  head[0] = (unsigned char)kind;
  for (int i = 0; i < 4; i++) head[1 + i] = (unsigned char)(handle >> (8 * i));
  for (int i = 0; i < 8; i++) head[5 + i] = (unsigned char)(offset >> (8 * i));
  for (int i = 0; i < 4; i++) head[13 + i] = (unsigned char)(length >> (8 * i));
  struct iovec parts[2] = {{head, sizeof head}, {(void *)bytes, length}};
  ssize_t wanted = (ssize_t)(sizeof head + length);
  /* A trace with a gap would prove nothing. */
  if (REAL(writev)(trace, parts, 2) != wanted) abort();
}

__attribute__((constructor)) static void begin(void) {
  dir = getenv("POWER_CUT_DIR");
  const char *file = getenv("POWER_CUT_TRACE");
  if (!dir || !file) return;
  dir_length = strlen(dir);
  trace = REAL(open)(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (trace < 0) abort();
  const char *to = getenv("POWER_CUT_PORT");
  port = to ? atoi(to) : 0;
  const char *each = getenv("POWER_CUT_FAIL");
  fail_each = each ? atoi(each) : 0;
  /* One process, one history: what children do stands in no order to it. */
  unsetenv("POWER_CUT_TRACE");
  record('S', 0, 0, "", 0);
}

/* The name below the directory, "" for the directory itself, NULL for any other path. */
static const char *name_of(const char *path) {
  if (trace < 0 || !path || strncmp(path, dir, dir_length) != 0) return NULL;
  const char *name = path + dir_length;
  if (*name == '/') name++;
  else if (*name) return NULL;
  if (strchr(name, '/')) return NULL;
  size_t length = strlen(name);
  if (length > 4 && strcmp(name + length - 4, "-shm") == 0) return NULL;
  return name;
}

static int is_known(int fd) { return trace >= 0 && fd >= 0 && fd < MAX_FD; }
static uint32_t handle_of(int fd) { return is_known(fd) ? handles[fd] : 0; }
static uint32_t socket_of(int fd) { return is_known(fd) ? sockets[fd] : 0; }

typedef int open_call(const char *, int, ...);

static int opened(open_call *call, const char *path, int flags, mode_t mode) {
  const char *name = name_of(path);
  if (!name) return call(path, flags, mode);
  pthread_mutex_lock(&lock);
  int fd = call(path, flags, mode);
  if (fd >= MAX_FD) abort();
  if (fd >= 0) {
    handles[fd] = next_handle++;
    is_broken[fd] = 0;
    uint64_t how = (flags & O_CREAT ? 1 : 0) | (flags & O_TRUNC ? 2 : 0);
    record('O', handles[fd], how, name, (uint32_t)strlen(name));
  }
  pthread_mutex_unlock(&lock);
  return fd;
}

#define OPEN(name)                                        \
  int name(const char *path, int flags, ...) {            \
    mode_t mode = 0;                                      \
    if (flags & (O_CREAT | O_TMPFILE)) {                  \
      va_list rest;                                       \
      va_start(rest, flags);                              \
      mode = va_arg(rest, mode_t);                        \
      va_end(rest);                                       \
    }                                                     \
    return opened(REAL(name), path, flags, mode);         \
  }
OPEN(open)
OPEN(open64)

int close(int fd) {
  if (!handle_of(fd) && !socket_of(fd)) return REAL(close)(fd);
  pthread_mutex_lock(&lock);
  handles[fd] = sockets[fd] = 0;
  int result = REAL(close)(fd);
  pthread_mutex_unlock(&lock);
  return result;
}

static ssize_t written(int fd, const void *bytes, size_t length, off_t offset, int is_at) {
  pthread_mutex_lock(&lock);
  if (!is_at) {
    struct stat now;
    int is_append = fcntl(fd, F_GETFL) & O_APPEND;
    if (is_append && fstat(fd, &now) != 0) abort();
    offset = is_append ? now.st_size : lseek(fd, 0, SEEK_CUR);
  }
  ssize_t done = is_at ? REAL(pwrite)(fd, bytes, length, offset) : REAL(write)(fd, bytes, length);
  if (done > 0) record('W', handles[fd], (uint64_t)offset, bytes, (uint32_t)done);
  pthread_mutex_unlock(&lock);
  return done;
}

int connect(int fd, const struct sockaddr *to, socklen_t length) {
  int to_port = 0;
  if (to->sa_family == AF_INET) to_port = ntohs(((const struct sockaddr_in *)to)->sin_port);
  if (to->sa_family == AF_INET6) to_port = ntohs(((const struct sockaddr_in6 *)to)->sin6_port);
  if (is_known(fd) && port != 0 && to_port == port) {
    pthread_mutex_lock(&lock);
    sockets[fd] = next_handle++;
    pthread_mutex_unlock(&lock);
  }
  return REAL(connect)(fd, to, length);
}

static ssize_t sent(int fd, const struct iovec *parts, int count) {
  pthread_mutex_lock(&lock);
  ssize_t done = REAL(writev)(fd, parts, count);
  if (done > 0) {
    char *bytes = malloc((size_t)done);
    if (!bytes) abort();
    size_t at = 0;
    for (int i = 0; i < count && at < (size_t)done; i++) {
      size_t rest = (size_t)done - at, n = parts[i].iov_len < rest ? parts[i].iov_len : rest;
      memcpy(bytes + at, parts[i].iov_base, n);
      at += n;
    }
    record('N', sockets[fd], 0, bytes, (uint32_t)done);
    free(bytes);
  }
  pthread_mutex_unlock(&lock);
  return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  /* Nothing writes files in this way; should something begin to, the trace would have a gap. */
  if (handle_of(fd)) abort();
  return socket_of(fd) ? sent(fd, parts, count) : REAL(writev)(fd, parts, count);
}

ssize_t write(int fd, const void *bytes, size_t length) {
  struct iovec whole = {(void *)bytes, length};
  if (socket_of(fd)) return sent(fd, &whole, 1);
  return handle_of(fd) ? written(fd, bytes, length, 0, 0) : REAL(write)(fd, bytes, length);
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
  return handle_of(fd) ? written(fd, bytes, length, offset, 1) : REAL(pwrite)(fd, bytes, length, offset);
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
  return handle_of(fd) ? written(fd, bytes, length, offset, 1) : REAL(pwrite64)(fd, bytes, length, offset);
}

static int truncated(int fd, off_t length) {
  pthread_mutex_lock(&lock);
  int result = REAL(ftruncate)(fd, length);
  if (result == 0) record('T', handles[fd], (uint64_t)length, "", 0);
  pthread_mutex_unlock(&lock);
  return result;
}
int ftruncate(int fd, off_t length) { return handle_of(fd) ? truncated(fd, length) : REAL(ftruncate)(fd, length); }
int ftruncate64(int fd, off64_t length) {
  return handle_of(fd) ? truncated(fd, length) : REAL(ftruncate64)(fd, length);
}

static int synced(int (*call)(int), int fd) {
  if (!handle_of(fd)) return call(fd);
  pthread_mutex_lock(&lock);
  if (is_broken[fd]) {
    is_broken[fd] = 0;
    record('E', handles[fd], 0, "", 0);
    pthread_mutex_unlock(&lock);
    errno = EIO;
    return -1;
  }
  int result = call(fd);
  if (result == 0) record('F', handles[fd], 0, "", 0);
  pthread_mutex_unlock(&lock);
  return result;
}
int fsync(int fd) { return synced(REAL(fsync), fd); }
/*
 * Every POWER_CUT_FAIL-th fdatasync fails, and every second time the next two as well. As on Linux the failure is told
 * once by each handle that the file has, whatever sync it is asked for.
 */
int fdatasync(int fd) {
  static int calls;
  if (handle_of(fd) && fail_each > 0) {
    int at = calls++ % (2 * fail_each);
    if (at == fail_each - 1 || at >= 2 * fail_each - 3) {
      struct stat file, other;
      if (fstat(fd, &file) != 0) abort();
      for (int i = 0; i < MAX_FD; i++)
        if (handles[i] && fstat(i, &other) == 0 && other.st_ino == file.st_ino) is_broken[i] = 1;
    }
  }
  return synced(REAL(fdatasync), fd);
}

static int removed(int (*call)(const char *), const char *path) {
  const char *name = name_of(path);
  if (!name) return call(path);
  pthread_mutex_lock(&lock);
  int result = call(path);
  if (result == 0) record('U', 0, 0, name, (uint32_t)strlen(name));
  pthread_mutex_unlock(&lock);
  return result;
}
int unlink(const char *path) { return removed(REAL(unlink), path); }
int remove(const char *path) { return removed(REAL(remove), path); }

int rename(const char *from, const char *to) {
  const char *a = name_of(from), *b = name_of(to);
  if (!a && !b) return REAL(rename)(from, to);
  /* Into or out of the directory: nothing that the journal does. */
  if (!a || !b) abort();
  pthread_mutex_lock(&lock);
  int result = REAL(rename)(from, to);
  if (result == 0) {
    char both[8192];
    int length = snprintf(both, sizeof both, "%s%c%s", a, 0, b);
    if (length < 0 || length >= (int)sizeof both) abort();
    record('R', 0, 0, both, (uint32_t)length);
  }
  pthread_mutex_unlock(&lock);
  return result;
}
