/* C++20: the same headers, lambdas for callbacks, destructors for the ends of things. */
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include "ringpg.h"
#include "ringpg/loop.h"

static pg_statement find = PG_STATEMENT(
    "SELECT name FROM (VALUES (7::int8, 'seven'), (8, 'eight')) AS item(id, name) WHERE id = $1", PG_TYPE_INT8);
static pg_statement divide = PG_STATEMENT("SELECT 42 / $1::int4", PG_TYPE_INT4);
static pg_statement one = PG_STATEMENT("SELECT 42");

/* What the fiber waits for. */
struct Program {
    pg_pool *pool = nullptr;
    pg_fiber fiber{};
    int running = 0, wrong = 0;

    void one_less() { if (--running == 0) pg_fiber_unpark(fiber); }
    void expect(bool holds, const char *what)
    {
        std::printf("%-40s %s\n", what, holds ? "yes" : "NO");
        wrong += !holds;
    }
};

/* It stays where it is: while the query runs, the library has its address. */
struct Item {
    pg_query query{};
    pg_param id{};
    std::string name;
    Program &program;

    Item(Program &p, std::int64_t number) : id(pg_int8(number)), program(p)
    {
        query.statement = &find;
        query.params = &id;
        query.nparams = 1;
        query.data = this;
        query.on_row = [](pg_query *q, pg_row *row) {
            pg_text text = pg_row_text(row, 0);      /* a view that dies with the row */
            static_cast<Item *>(q->data)->name = std::string_view(text.data, text.size);
            return PG_CONTINUE;
        };
        query.on_done = [](pg_query *q) { static_cast<Item *>(q->data)->program.one_less(); };
        program.running++;
        pg_pool_query(program.pool, &query);
    }
    Item(const Item &) = delete;
    Item &operator=(const Item &) = delete;
    ~Item() { pg_query_abandon(&query); }            /* does nothing when it has ended */
};

/* A query that fails, and another one in its place, from its own on_done. */
struct Answer {
    pg_query query{};
    pg_param divisor = pg_int4(0);
    std::string sqlstate;
    std::int32_t value = 0;
    Program &program;

    explicit Answer(Program &p) : program(p)
    {
        query.statement = &divide;
        query.params = &divisor;
        query.nparams = 1;
        query.data = this;
        query.on_row = [](pg_query *q, pg_row *row) {
            static_cast<Answer *>(q->data)->value = pg_row_int4(row, 0);
            return PG_CONTINUE;
        };
        query.on_done = [](pg_query *q) { static_cast<Answer *>(q->data)->done(); };
        program.running++;
        pg_pool_query(program.pool, &query);
    }
    Answer(const Answer &) = delete;
    Answer &operator=(const Answer &) = delete;
    ~Answer() { pg_query_abandon(&query); }

    void done()
    {
        if (query.status != PG_E_SERVER || query.statement == &one) { program.one_less(); return; }
        sqlstate = query.sqlstate;
        query.statement = &one;
        query.params = nullptr;
        query.nparams = 0;
        pg_pool_query(program.pool, &query);
    }
};

static void run(void *arg)                           /* a fiber: no exception may leave it */
{
    Program &program = *static_cast<Program *>(arg);
    program.fiber = pg_fiber_self();
    {
        Item given_up(program, 7);                   /* its destructor abandons it: on_done does not come */
    }
    program.running--;
    Item seven(program, 7), eight(program, 8), nine(program, 9);
    Answer answer(program);
    program.expect(pg_fiber_park(PG_NEVER) == PG_OK && program.running == 0, "all have ended");
    program.expect(seven.query.status == PG_OK && seven.name == "seven", "7 is seven");
    program.expect(eight.query.status == PG_OK && eight.name == "eight", "8 is eight");
    program.expect(nine.query.status == PG_OK && nine.query.rows == 0 && nine.name.empty(), "there is no 9");
    program.expect(answer.sqlstate == "22012", "a division by zero is the server's error");
    program.expect(answer.query.status == PG_OK && answer.value == 42, "the query in its place says 42");
}

int main()
{
    pg_loop *opened = nullptr;
    pg_error error{};
    Program program;
    pg_pool_config config = PG_POOL_CONFIG(std::getenv("DATABASE_URL"));
    int rc = pg_loop_open(&opened, &error);
    std::unique_ptr<pg_loop, decltype(&pg_loop_close)> loop(opened, pg_loop_close);
    if (rc || pg_pool_open(&program.pool, pg_loop_reactor(loop.get()), &config, &error)) {
        std::fprintf(stderr, "%s\n", pg_error_field(&error, 'M'));
        return 1;
    }
    rc = pg_loop_run(loop.get(), run, &program);
    return rc || program.wrong;
}
