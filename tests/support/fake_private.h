/* support/fake_private.h - the insides of ringpg/testing.h, shared by its files alone. What is public is visible in
 * libringpg_testing.a; everything else of it (the simulated host, the model server) is not (CMakeLists.txt). */
#ifndef SUPPORT_FAKE_PRIVATE_H
#define SUPPORT_FAKE_PRIVATE_H
#pragma GCC visibility push(default)
#include "ringpg/testing.h"
#pragma GCC visibility pop
#include "support/model_private.h"

struct pg_fake {
    struct sim *sim;
    struct model_server *server;
    void (*answer)(void *arg, struct pg_fake_query *query);
    void *arg;
    bool running;
};

enum { FAKE_COLUMNS = 256 };
struct pg_fake_query {
    struct model_query *model;
    bool declared;                /* by pg_fake_columns */
    uint32_t columns, rows;
    char *name[FAKE_COLUMNS];     /* NULL: column1, ... */
    uint32_t type[FAKE_COLUMNS];  /* 0: not known yet   */
};

/* fake_answer.c: the model's answer, `arg` is the fake */
void fake_answer(void *arg, struct model_query *q);
#endif
