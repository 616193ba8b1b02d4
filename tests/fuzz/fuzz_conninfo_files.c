/* fuzz/fuzz_conninfo_files.c - any bytes as a service file and as a password file: no crash, no block of memory left,
 * no password that its line does not have, and nothing in what is given back. The input is cut at its first '\1'. */
#define _GNU_SOURCE /* memfd_create */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "config/conninfo.h"
#include "wire/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t blocks;

static void *allocate(void *arg, size_t bytes)
{
    (void)arg;
    blocks++;
    return malloc(bytes);
}

static void deallocate(void *arg, void *at, size_t bytes)
{
    (void)arg;
    for (size_t i = 0; i < bytes; i++) RP_ASSERT(((char *)at)[i] == '\0');
    blocks--;
    free(at);
}

static void fill(const char *variable, int *fd, const uint8_t *data, size_t size)
{
    if (!*fd) {
        char path[64];
        *fd = memfd_create(variable, MFD_CLOEXEC);
        RP_ASSERT(*fd > 0 && fchmod(*fd, 0600) == 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", *fd);
        setenv(variable, path, 1);
    }
    RP_ASSERT(ftruncate(*fd, 0) == 0 && pwrite(*fd, data, size, 0) == (ssize_t)size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int service, passwords;
    const struct rp_memory memory = { allocate, deallocate, NULL };
    struct pg_error error;
    struct rp_conninfo c;
    const uint8_t *cut = memchr(data, '\1', size);
    size_t first = cut ? (size_t)(cut - data) : size;
    fill("PGSERVICEFILE", &service, data, first);
    fill("PGPASSFILE", &passwords, cut ? cut + 1 : data, cut ? size - first - 1 : 0);
    setenv("PGSYSCONFDIR", "/nonexistent", 1);

    int rc =
        rp_conninfo_parse(&c, "service=s host=h,/var/run/postgresql,::1 user=u:v", RP_SOURCES_ALL, &memory, &error);
    if (rc) {
        RP_ASSERT(rc == PG_E_CONFIG && error.code == rc && blocks == 0 && *pg_error_field(&error, 'M') != '\0');
    } else {
        for (uint32_t i = 0; i < c.nhosts; i++) {
            const char *password = c.host[i].password;
            RP_ASSERT(!password || (!c.password && *password && password >= c.secrets));
            RP_ASSERT(!password || password + strlen(password) < c.secrets + c.secrets_size);
        }
        (void)!rp_conninfo_check(&c, &error);
    }
    rp_conninfo_wipe(&c, &memory);
    RP_ASSERT(blocks == 0);
    return 0;
}
