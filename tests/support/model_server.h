/* support/model_server.h - a model of PostgreSQL's backend on the other end of simulated connections: protocols 3.0 and
 * 3.2, startup and authentication, simple and extended queries, transactions, COPY in and out. It plans nothing: what a
 * statement answers is a callback.
 *
 * It reads strictly. A client's message that is malformed ends the test. What is a client's error to the real server
 * (an unknown statement, too few parameters) is an ErrorResponse with the same SQLSTATE here.
 *
 * The default answer, also used where the callback did nothing (keywords in any case):
 *   ECHO ...          one row: the first parameter's bytes; int8 if it is, else text; without one the SQL's rest
 *   BEGIN [READ ONLY], COMMIT, END, ROLLBACK, ABORT, START TRANSACTION
 *   INSERT ...        INSERT 0 1 (25006 where nothing may be written), and is accounted when its transaction ends;   DEFERRED ...: fails at commit (23503)
 *   SLEEP <ms>        SELECT 0, later; a cancel request ends it with 57014
 *   FAIL <sqlstate>   an error;   SYNTAX ...: an error (42601) already at Parse
 *   LISTEN, UNLISTEN (* too), NOTIFY channel [, 'payload'] between its sessions, when their transactions commit
 *   SHOW transaction_read_only; SELECT pg_catalog.pg_is_in_recovery()
 *   COPYIN ...        CopyInResponse, and COPY n for so many lines;   COPYOUT n: the lines 1 to n
 *   DISCARD ALL, DEALLOCATE ALL: all statements are forgotten;   SET ...: SET;
 *   SET default_transaction_read_only ...: of this session, and reported
 *   anything else     SELECT 0 without columns */
#ifndef SUPPORT_MODEL_SERVER_H
#define SUPPORT_MODEL_SERVER_H
#include "support/sim.h"

struct model_server;
struct model_conn;
struct model_query;
typedef void model_answer_fn(void *arg, struct model_query *q);

enum model_auth { MODEL_TRUST, MODEL_CLEARTEXT, MODEL_MD5, MODEL_SCRAM };
enum model_fault { /* of authentication: what a hostile server may try */
    MODEL_HONEST,
    MODEL_SCRAM_BAD_SIGNATURE, /* v= is wrong                              */
    MODEL_SCRAM_NO_FINAL,      /* AuthenticationOk before SASLFinal        */
    MODEL_SCRAM_FOREIGN_NONCE, /* the nonce does not extend the client's   */
    MODEL_SCRAM_HUGE_COUNT,    /* i=999999999                              */
    MODEL_NO_AUTH_ANSWER,      /* silence after the startup message        */
};

enum model_role { /* what it reports of itself, and whether INSERT is refused (25006) */
    MODEL_PRIMARY,
    MODEL_STANDBY,   /* in_hot_standby                */
    MODEL_READ_ONLY, /* default_transaction_read_only */
};

enum model_toy { MODEL_PLAIN, MODEL_TOY, MODEL_TOY_ASKED }; /* ASKED: once it was asked for it, by SSLRequest */

struct model_config {
    struct sim *sim;
    uint16_t port;               /* listens there alone; other ports go to the server that was opened before; 0: on all */
    struct model_server *of;     /* another address of the same database: what is counted and committed is so there */
    enum model_auth auth;
    enum model_fault fault;
    const char *user, *password; /* NULL: any user; the password "" if NULL. Not copied */
    uint32_t scram_iterations;   /* 4096 if 0                               */
    uint32_t max_connections;    /* 100 if 0; then 53300                    */
    bool speaks_3_2;             /* else it negotiates 3.0 with whoever asks for more                    */
    bool no_key;                 /* sends no BackendKeyData, as a pooler may not */
    size_t key_size;             /* bytes of the cancel keys in protocol 3.2; 32 if 0, 256 at the most   */
    uint64_t exit_delay_ns;      /* a backend's way from Terminate or EOF to its FIN; it counts until then */
    bool exit_resets;            /* and a RST in the place of that FIN */
    uint64_t startup_delay_ns;   /* from the startup message to the first answer                         */
    uint64_t cancel_delay_ns;    /* from a cancel request to its effect and its FIN                      */
    uint32_t cancel_lost;        /* per mille: of those without an effect                                */
    uint32_t cancel_mute;        /* per mille: of those that are never closed from here                  */
    enum model_role role;        /* changed here it is not told to those who are connected */
    bool version_13;             /* reports neither of a role's parameters                 */
    enum model_toy toy;          /* whether it talks through a transform (toy.h), on every socket          */
    uint32_t toy_damage;         /* per mille: of what is sent through it a byte is another                */
    uint32_t toy_endless;        /* per mille: of connections that close without the transform's own end   */
    size_t unread_limit;         /* reads nothing while the client has left that much unread; 0: always reads */
    model_answer_fn *answer;     /* NULL: the default answer               */
    void *arg;
    bool answers_once;           /* the answer is asked for once per execution, at its Bind, and never describes only:
                                  * the columns that it has are the description; other columns than the statement had
                                  * before on the connection are 0A000, as after an ALTER TABLE              */
    /* A COPY has come in, whole, and succeeds; of a binary one too. NULL: nobody looks at it. `arg` as for `answer` */
    void (*copied)(void *arg, struct model_query *q, const uint8_t *at, size_t n);
    void (*malformed)(void *arg, const char *what); /* NULL: aborts. Else the connection is reset afterwards */
    void *malformed_arg;
};

struct model_stats {
    uint32_t sockets_now, sockets_max;         /* connections of any kind, cancel requests included           */
    uint32_t connections_now, connections_max; /* backends                                                    */
    uint64_t connections_total, refused, auth_failures, cancels, cancels_that_hit;
    uint64_t statements, simple_queries, parses, binds, describes, executes, syncs, closes, errors;
    uint64_t terminates, eofs;                 /* connections that ended with Terminate, or without one       */
    uint64_t inserts_committed, inserts_rolled_back;
};

/* Becomes the sim's listener. Of several in one sim all but the first have a port. */
struct model_server *model_server_open(const struct model_config *config);
/* Before sim_close, and nothing runs in between. Connections that are left are reset. */
void model_server_close(struct model_server *server);
struct model_config *model_settings(struct model_server *server); /* may be changed at any time, the sim excepted */
const struct model_stats *model_stats(const struct model_server *server);

/* What the listener does with new sockets. */
void model_server_connects(struct model_server *server, enum sim_connect outcome);
/* New connections get a FATAL of this SQLSTATE (53xxx, 57xxx: before authentication, else behind it); NULL: they
 * are served. */
void model_server_refuse(struct model_server *server, const char *sqlstate);
/* That role from now on, which every session is told of at once by ParameterStatus. */
void model_server_become(struct model_server *server, enum model_role role);
/* HALF: it sends no more, and reads on */
enum model_end { MODEL_END_FATAL, MODEL_END_RESET, MODEL_END_EOF, MODEL_END_HALF, MODEL_ENDS };
/* All backends end, with 57P01 and FIN, with RST or with FIN alone; connects are refused for the time given, and for as
 * long again answered by 57P03. */
void model_server_restart(struct model_server *server, enum model_end how, uint64_t refused_ns);

/* ---- connections, in the order of their accept, the dead included ---- */
size_t model_conn_count(const struct model_server *server);
struct model_conn *model_conn_at(const struct model_server *server, size_t index);
bool model_conn_alive(const struct model_conn *conn);
uint32_t model_conn_pid(const struct model_conn *conn);
bool model_conn_speaks_3_2(const struct model_conn *conn); /* that is agreed on */
/* I, T, E as the next ReadyForQuery will say; 0 before the first */
char model_conn_status(const struct model_conn *conn);
/* Of the startup message; NULL: absent */
const char *model_conn_parameter(const struct model_conn *conn, const char *name);
size_t model_conn_sql_count(const struct model_conn *conn);                        /* the log of what was executed */
const char *model_conn_sql(const struct model_conn *conn, size_t index);
size_t model_conn_statements(const struct model_conn *conn);                       /* named ones that are prepared */
/* Unasked: `how` as for the restart, `sqlstate` for MODEL_END_FATAL. */
void model_conn_end(struct model_conn *conn, enum model_end how, const char *sqlstate);
void model_conn_send(struct model_conn *conn, const void *at, size_t n); /* raw bytes, at once */
void model_conn_notify(struct model_conn *conn, const char *channel, const char *payload); /* whether it listens or not */
bool model_conn_listens(const struct model_conn *conn, const char *channel);
/* A NOTIFY that a session of somebody else's commits now, for all that listen; how many they are. */
unsigned model_server_notify(struct model_server *server, const char *channel, const char *payload);
void model_conn_notice(struct model_conn *conn, const char *sqlstate, const char *message);
void model_conn_parameter_status(struct model_conn *conn, const char *name, const char *value);

/* Keys of committed INSERTs, in the order of their commits: the first parameter if it is an int8, else 0. */
const int64_t *model_committed(const struct model_server *server, size_t *n);

/* ---- one statement, inside the answer ---- */
struct model_param { const uint8_t *at; int32_t size; bool text; uint32_t type; }; /* size -1: NULL */
struct model_column { const char *name; uint32_t type; };
struct model_cell { const void *at; int32_t size; };                                  /* size -1: NULL */

bool model_read_only(const struct model_query *q); /* nothing may be written: by the role, the session, the transaction */
struct model_conn *model_conn_of(const struct model_query *q);
const char *model_sql(const struct model_query *q);
unsigned model_param_count(const struct model_query *q);
struct model_param model_param(const struct model_query *q, unsigned index);
int64_t model_param_int8(const struct model_query *q, unsigned index); /* of an integer in either format */
bool model_result_text(const struct model_query *q, unsigned column);  /* the format that the client asked for */
/* The callback also runs for Describe, then only model_columns counts: side effects belong behind !model_describing. */
bool model_describing(const struct model_query *q);

void model_columns(struct model_query *q, unsigned n, const struct model_column *columns);
/* Bytes as they stand, in either format */
void model_row(struct model_query *q, unsigned n, const struct model_cell *cells);
void model_row_text(struct model_query *q, const char *text);                      /* one column; NULL is NULL */
/* One column in the format asked for */
void model_row_int8(struct model_query *q, int64_t value);
void model_complete(struct model_query *q, const char *tag);
void model_error(struct model_query *q, const char *sqlstate, const char *message);
/* And the statement itself succeeds */
void model_error_at_commit(struct model_query *q, const char *sqlstate, const char *message);
void model_delay(struct model_query *q, uint64_t ns); /* this answer and all behind it on the connection */
void model_notice(struct model_query *q, const char *sqlstate, const char *message);
void model_parameter_status(struct model_query *q, const char *name, const char *value);
void model_raw(struct model_query *q, const void *at, size_t n); /* in the place of a message                */
void model_drop(struct model_query *q);                          /* what was answered so far, then RST       */
void model_hangup(struct model_query *q);                        /* the same with FIN                        */
/* Once: what was answered so far is sent, the rest later; a cancel request in between ends it with 57014. */
void model_pause(struct model_query *q, uint64_t ns);
/* COPY: which format, of both directions; else text, one column. */
void model_copy_format(struct model_query *q, bool binary, unsigned columns);
void model_copy_out(struct model_query *q);                      /* CopyOutResponse, then ...                */
void model_copy_data(struct model_query *q, const void *at, size_t n);
void model_copy_done(struct model_query *q, const char *tag);    /* ... CopyDone and CommandComplete; or an error */
void model_copy_in(struct model_query *q);                       /* CopyInResponse; ends with COPY n         */
void model_copy_keys(struct model_query *q);                     /* each line's number is inserted, but 0    */
/* An error behind so many bytes of data; SIZE_MAX: behind CopyDone. */
void model_copy_refuse(struct model_query *q, size_t after, const char *sqlstate, const char *message);
void model_copy_slow(struct model_query *q, size_t every, uint64_t ns); /* a pause behind every so many bytes */
void model_insert(struct model_query *q, int64_t key);           /* accounted when the transaction ends      */
void model_forget(struct model_query *q);                        /* all prepared statements of the connection */
void model_opens_block(struct model_query *q);                   /* opens a transaction block, whatever the SQL says */
void model_default_answer(struct model_query *q);

#endif
