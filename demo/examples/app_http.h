/* app_http.h - what app.c and app_stream.c know of a request and the examples do not. */
#ifndef EXAMPLES_APP_HTTP_H
#define EXAMPLES_APP_HTTP_H
#include "app.h"

enum { BODY_MAX = 1024 };
struct http {
    const struct app_request *request;
    bool answered, left;                             /* all of the answer has arrived; the client hung up */
    int status;
    char body[BODY_MAX];                             /* of a streamed answer: what is to be said of it */
    void (*gone)(void *);
    void *gone_arg;
    void (*writable)(void *);
    void *writable_arg;
    struct stream_out *out;                          /* app_stream.c's, from http_begin on */
};

extern struct pg_reactor *reactor;
void app_wrong(const struct http *, const char *what);  /* the program will fail, and say this */
/* The round goes on until both have been called equally often; each request is open from the start. */
void app_open(void);
void app_close(void);
void app_hang_up(struct http *);
#endif
