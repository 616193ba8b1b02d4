/* support/model_private.h - the insides of the model server, shared by its files alone: one backend's state, its strict
 * reader, its output. */
#ifndef SUPPORT_MODEL_PRIVATE_H
#define SUPPORT_MODEL_PRIVATE_H
#include "support/model_server.h"
#include "support/sim_private.h"

/* ---- reading: anything malformed is reported through the connection and leaves the reader empty ---- */
struct model_reader {
    struct model_conn *conn;
    const uint8_t *at;
    size_t left;
    const char *message; /* its name in complaints */
};
uint8_t model_read_u8(struct model_reader *r);
uint16_t model_read_u16(struct model_reader *r);
uint32_t model_read_u32(struct model_reader *r);
const uint8_t *model_read_bytes(struct model_reader *r, size_t n);
const char *model_read_string(struct model_reader *r);
void model_read_end(struct model_reader *r); /* nothing may be left */
void model_malformed(struct model_conn *conn, const char *message, const char *what);

/* ---- writing ---- */
void model_put_u16(struct sim_bytes *b, unsigned v);
void model_put_u32(struct sim_bytes *b, uint32_t v);
void model_put_string(struct sim_bytes *b, const char *s);
size_t model_put_begin(struct sim_bytes *b, char type); /* returns the place for model_put_end */
void model_put_end(struct sim_bytes *b, size_t begun);
void model_put_error(struct sim_bytes *b, char type, const char *severity, const char *sqlstate, const char *message);
void model_put_status(struct sim_bytes *b, const char *name, const char *value);

struct toy;
struct model_statement {
    struct model_statement *next;
    char *name, *sql;
    unsigned count;
    uint32_t *types;
    bool described;           /* answers_once: as these columns, also none */
    struct sim_bytes columns;
    unsigned column_count;
};
struct model_portal {
    struct model_portal *next;
    char *name, *sql, *statement;
    struct model_query *answer; /* answers_once: given at the Bind, until it is played */
    uint8_t *body; /* the Bind message, which the parameters point into */
    unsigned count, formats;
    struct model_param *params;
    bool *result_text;
    bool done, again; /* again: of a SELECT, which may be executed once more and has no rows left */
};

struct model_copy {
    bool binary, keys;
    unsigned columns;
    size_t refuse_after; /* bytes of data, then copy_sqlstate; SIZE_MAX: only behind CopyDone */
    size_t pause_every, next_pause;
    uint64_t pause_ns;
    char sqlstate[6], text[256];
    bool cancelled;
    struct sim_bytes data;
};
enum model_result_end { RESULT_OPEN, RESULT_COMPLETE, RESULT_ERROR, RESULT_DROP, RESULT_HANGUP, RESULT_COPY_IN };
enum model_effect {
    EFFECT_NONE, EFFECT_BEGIN, EFFECT_COMMIT, EFFECT_ROLLBACK, EFFECT_SAVEPOINT, EFFECT_RELEASE, EFFECT_ROLLBACK_TO,
};
struct model_query {
    struct model_conn *conn;
    const char *sql;
    unsigned count, formats;
    const struct model_param *params;
    const bool *result_text;
    bool simple, describing, touched, answered;
    struct sim_bytes columns, rows; /* columns: {name NUL, u32 type} ... ; rows: whole messages */
    unsigned column_count;
    uint64_t row_count, delay_ns, pause_ns; /* pause: behind pause_at bytes of rows */
    size_t pause_at;
    struct model_copy copy;
    enum model_result_end end;
    enum model_effect effect;
    bool insert, forget, forget_one, fails_at_commit, wishes;
    int64_t key;
    char tag[64], sqlstate[6], text[256], commit_sqlstate[6], commit_text[256];
};

enum model_phase {
    PHASE_STARTUP, PHASE_PASSWORD, PHASE_SASL_FIRST, PHASE_SASL_FINAL, PHASE_READY, PHASE_COPY_IN, PHASE_GONE,
};
enum model_transaction { TX_NONE, TX_IMPLICIT, TX_BLOCK, TX_FAILED };
struct model_key { uint8_t at[256]; size_t size; };
struct model_conn {
    struct model_server *server;
    struct sim_peer *peer; /* NULL once it is gone */
    enum model_phase phase;
    struct sim_bytes input, output;
    struct toy *toy;       /* NULL: they are the socket's bytes   */
    uint32_t pid;
    struct model_key key;
    uint32_t target_pid;
    struct model_key target_key; /* of a cancel request */
    bool speaks_3_2;             /* that is agreed on   */
    bool backend;          /* counted in connections_now          */
    bool eof, busy, skipping, exiting;
    bool half; /* it has closed its own direction alone */
    uint64_t busy_serial;
    void (*then)(struct model_conn *);
    struct sim_bytes startup; /* name NUL value NUL ... */
    uint8_t md5_salt[4];
    struct model_scram *scram;
    enum model_transaction tx;
    bool tx_read_only, session_read_only;
    char deferred_sqlstate[6], deferred_text[256];
    struct sim_bytes pending; /* int64 keys */
    struct sim_bytes marks;   /* its savepoints */
    struct sim_bytes channels; /* name NUL ...: it listens to these */
    struct sim_bytes wishes;   /* of its transaction: {verb, channel NUL, payload NUL} ... */
    struct sim_bytes news;     /* whole NotificationResponses, for when it is in no transaction */
    struct model_statement *statements;
    struct model_portal *portals;
    char *simple;             /* the rest of a Query message: next statement at simple_at */
    size_t simple_at;
    bool simple_empty;
    struct model_query *running; /* while busy */
    struct model_query *copying; /* PHASE_COPY_IN */
    char **log;
    size_t log_count, log_capacity;
};
struct model_server {
    struct model_config config;
    struct model_server *whole;   /* config.of, or itself: has stats, commits and pids */
    sim_accept_fn *next;          /* of the server that was opened before, for other ports */
    void *next_arg;
    struct model_stats stats;
    enum sim_connect connects;
    char refuse[6];
    uint32_t next_pid;
    uint64_t refused_ns;
    struct model_server *sibling; /* of the whole: another address of it */
    struct model_conn **conns;
    size_t conn_count, conn_capacity;
    struct sim_bytes committed;
};

/* model_toy.c */
void model_toy_open(struct model_conn *conn); /* from the next byte on, in both directions */
void model_toy_bytes(struct model_conn *conn, const uint8_t *at, size_t n);
void model_toy_send(struct model_conn *conn, const uint8_t *at, size_t n);
void model_toy_end(struct model_conn *conn);
void model_toy_free(struct model_conn *conn);

/* model_server.c */
void model_pump(struct model_conn *conn);
void model_flush(struct model_conn *conn);
void model_exit(struct model_conn *conn);  /* the backend ends: rollback, delay, FIN */
void model_close(struct model_conn *conn, bool reset); /* at once */
void model_fatal(struct model_conn *conn, const char *sqlstate, const char *message);
void model_pause_for(struct model_conn *conn, uint64_t ns, void (*then)(struct model_conn *)); /* busy until then */
void model_cancel(struct model_server *server, uint32_t pid, const struct model_key *key);
/* model_startup.c */
void model_startup_message(struct model_conn *conn, const uint8_t *at, size_t n);
void model_password_message(struct model_conn *conn, const uint8_t *at, size_t n);
void model_scram_free(struct model_conn *conn);
/* model_messages.c */
void model_message(struct model_conn *conn, char type, const uint8_t *at, size_t n);
void model_statements_free(struct model_conn *conn);
void model_statement_forget(struct model_conn *conn); /* one that has a name, if there is any */
void model_portals_free(struct model_conn *conn);
/* model_copy.c */
void model_copy_begin(struct model_conn *conn, struct model_query *q); /* in; the query is the COPY's from now on */
void model_copy_message(struct model_conn *conn, char type, const uint8_t *at, size_t n);
void model_copy_free(struct model_conn *conn);
bool model_copy_cancel(struct model_conn *conn); /* false: it does not copy in */
/* model_savepoint.c */
void model_savepoint_undo(struct model_conn *conn); /* back to the newest; everything, where there is none */
bool model_savepoint(struct model_conn *conn, const struct model_query *q); /* false: it failed, and that was said */
/* model_notify.c */
void model_wish(struct model_query *q);                 /* LISTEN, UNLISTEN, NOTIFY: when its transaction commits */
void model_wishes_come_true(struct model_conn *conn);
void model_tell_news(struct model_conn *conn);          /* if it is in no transaction and nothing runs */
void model_put_news(struct model_conn *conn);           /* into its output */
void model_notify_free(struct model_conn *conn);
/* model_execute.c */
void model_query_error(struct model_conn *conn, const char *sqlstate, const char *message);
bool model_in_failed_block(struct model_conn *conn, const char *sql); /* then 25P02 was answered */
void model_execute_portal(struct model_conn *conn, struct model_portal *portal);
/* answers_once. False: other columns than before, and 0A000 was answered. */
bool model_answer_at_bind(struct model_conn *conn, struct model_portal *portal, struct model_statement *statement);
void model_simple_next(struct model_conn *conn);
void model_put_tag(struct model_conn *conn, const char *tag); /* CommandComplete, or what fails at the commit */
void model_put_failure(struct model_conn *conn, const char *sqlstate, const char *message);
void model_sync(struct model_conn *conn);
void model_ready(struct model_conn *conn);
void model_rollback(struct model_conn *conn);
void model_query_free(struct model_query *q);
void model_answer(struct model_query *q); /* the callback, or the default */
void model_describe(struct model_conn *conn, const char *sql, const struct model_portal *portal,
                    struct model_statement *statement);
void model_describe_answer(struct model_conn *conn, struct model_portal *portal, struct model_statement *statement);
void model_finish(struct model_conn *conn);
bool model_keyword(const char *sql, const char *word);
#endif
