/* support/model_client.h - a client written by hand: protocol messages put together byte by byte, sent over a raw
 * simulated socket, and what came back as a line of text to compare.
 *
 *      R0 K Z:I        message types; R with its code, Z with its status
 *      T[echo:20:1]    name, type, format of each column        D[4:abcd|-]   size and bytes of each value, - for NULL
 *      E:22012 N:25001 A[channel:payload] S[name=value]         C:SELECT 1    t[20,25]  G  1 2 3 n I
 * ParameterStatus messages of the startup are left out. Binary values are shown in hexadecimal as x0000002a. */
#ifndef SUPPORT_MODEL_CLIENT_H
#define SUPPORT_MODEL_CLIENT_H
#include "support/sim_private.h"
#include "support/sim_socket.h"

struct model_client {
    struct sim_socket s;
    struct sim_bytes out;
    size_t shown; /* bytes of s.in that a transcript has told */
    bool started;
    uint32_t pid;
    uint8_t key[256];
    size_t key_size;
    char text[4096];
};

void client_open(struct model_client *c, struct sim *sim);
void client_close(struct model_client *c);

/* Messages are collected until client_send. */
void client_startup(struct model_client *c, const char *user, const char *application_name);
void client_startup_code(struct model_client *c, uint32_t code, const void *at, size_t n);
void client_cancel(struct model_client *c, const struct model_client *of); /* what that one was told */
void client_message(struct model_client *c, char type, const void *at, size_t n);
void client_query(struct model_client *c, const char *sql);
void client_password(struct model_client *c, const char *password);
void client_parse(struct model_client *c, const char *name, const char *sql, unsigned n, const uint32_t *types);
/* All parameters are text; NULL is NULL. */
void client_bind(struct model_client *c, const char *portal, const char *statement, unsigned n,
                 const char *const *values);
void client_bind_int8(struct model_client *c, const char *statement, int64_t value); /* binary, and binary results */
void client_describe(struct model_client *c, char what, const char *name);
void client_close_named(struct model_client *c, char what, const char *name);
void client_execute(struct model_client *c, const char *portal);
void client_sync(struct model_client *c);
void client_flush(struct model_client *c);
/* Sends what was collected; client_answer also runs the world until nothing happens and tells what came. */
void client_send(struct model_client *c);
const char *client_answer(struct model_client *c);
const char *client_transcript(struct model_client *c); /* what came since the last one, "EOF" or the error at its end */

#endif
