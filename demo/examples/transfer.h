/* transfer.h - the requests that b_callback.c and c_fiber.c answer in their two ways, and the table they work on. */
#ifndef EXAMPLES_TRANSFER_H
#define EXAMPLES_TRANSFER_H
#include "app.h"

const char *const app_setup =
    "CREATE TABLE IF NOT EXISTS account (id bigint PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0));"
    "INSERT INTO account SELECT i, 1000 FROM generate_series(1, 100) AS i ON CONFLICT DO NOTHING";
/* 409 too where somebody else works on the same accounts. */
const struct app_request app_requests[] = {
    { "from=1&to=2&amount=1", 200, 409, false }, { "from=2&to=3&amount=1", 200, 409, false },
    { "from=3&to=3&amount=1", 200, 409, false }, { "from=4&to=5&amount=1000000", 409, 0, false },
    { "from=5&to=999&amount=1", 404, 409, false }, { "from=6&to=7&amount=1", 200, 409, true },
    { "from=6&to=7&amount=1", 200, 409, true }, { "from=8&to=9&amount=1", 200, 409, true },
    { "from=8&to=9&amount=1", 200, 409, false }, { "from=1&to=2&amount=1", 200, 409, false },
    { "from=1&to=3&amount=1", 200, 409, false }, { "from=6&to=8&amount=1", 200, 409, true },
};
const size_t app_request_count = sizeof app_requests / sizeof *app_requests;
#endif
