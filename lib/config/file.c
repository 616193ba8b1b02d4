/* config/file.c - a small file as text, read as a whole: what a password file or a service file says is of one moment,
 * and its memory is known and wiped, which stdio's would not be. Knows nothing of what stands in it. */
#include "config/piece.h"
#include "wire/check.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LARGEST = 1 << 20 };

static enum rp_file_fault look_at(int fd, bool ours, size_t *size)
{
    struct stat s;
    if (fstat(fd, &s)) return RP_FILE_UNREADABLE;
    if (!S_ISREG(s.st_mode)) return RP_FILE_NOT_PLAIN;
    if (ours && s.st_mode & (S_IRWXG | S_IRWXO)) return RP_FILE_NOT_OURS;
    if (s.st_size > LARGEST) return RP_FILE_TOO_LARGE;
    *size = (size_t)s.st_size;
    return RP_FILE_READ;
}

/* Up to its end or `size`, whichever comes first: somebody may be writing to it. */
static bool read_all(int fd, char *at, size_t size, size_t *got)
{
    for (*got = 0; *got < size;) {
        ssize_t n = read(fd, at + *got, size - *got);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        if (n == 0) break;
        *got += (size_t)n;
    }
    return true;
}

static enum rp_file_fault read_open(struct rp_file *file, int fd, bool ours, const struct rp_memory *memory)
{
    size_t size = 0, got;
    enum rp_file_fault fault = look_at(fd, ours, &size);
    if (fault) return fault;
    file->at = memory->allocate(memory->arg, size + 1);
    if (!file->at) return RP_FILE_NO_MEMORY;
    file->size = size + 1;
    if (!read_all(fd, file->at, size, &got)) return RP_FILE_UNREADABLE;
    memset(file->at + got, 0, file->size - got);
    return memchr(file->at, '\0', got) ? RP_FILE_HAS_NUL : RP_FILE_READ;
}

enum rp_file_fault rp_file_read(struct rp_file *file, const char *path, bool ours, const struct rp_memory *memory)
{
    *file = (struct rp_file){ 0 };
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return errno == ENOENT || errno == ENOTDIR ? RP_FILE_ABSENT : RP_FILE_UNREADABLE;
    enum rp_file_fault fault = read_open(file, fd, ours, memory);
    close(fd);
    if (fault) rp_file_close(file, memory);
    return fault;
}

const char *rp_file_fault_text(enum rp_file_fault fault)
{
    static const char *const texts[RP_FILE_FAULTS] = {
        [RP_FILE_READ] = "was read",
        [RP_FILE_ABSENT] = "is not there",
        [RP_FILE_UNREADABLE] = "cannot be read",
        [RP_FILE_NOT_PLAIN] = "is not a plain file",
        [RP_FILE_NOT_OURS] = "has group or world access; its permissions must be u=rw (0600) or less",
        [RP_FILE_TOO_LARGE] = "is larger than 1 MiB",
        [RP_FILE_HAS_NUL] = "has a NUL in it",
        [RP_FILE_NO_MEMORY] = "found no memory",
    };
    return texts[fault];
}

bool rp_file_line(char **rest, char **line)
{
    if (!**rest) return false;
    char *end = strchr(*rest, '\n');
    *line = *rest;
    *rest = end ? end + 1 : *rest + strlen(*rest);
    if (end) *end = '\0';
    return true;
}

void rp_file_close(struct rp_file *file, const struct rp_memory *memory)
{
    if (file->at) {
        explicit_bzero(file->at, file->size);
        memory->deallocate(memory->arg, file->at, file->size);
    }
    *file = (struct rp_file){ 0 };
}
