/* stream.h - the requests that e_stream.c answers in its two ways, and the table it reads. A client that hangs up does
 * so when it has `after` lines; without `after`, a moment after it came. */
#ifndef EXAMPLES_STREAM_H
#define EXAMPLES_STREAM_H
#include "app.h"

/* The last line of 100,001 can not be read: whoever asks for it has an answer that is broken off. */
const char *const app_setup =
    "CREATE TABLE IF NOT EXISTS stream_number (id bigint PRIMARY KEY);"
    "INSERT INTO stream_number SELECT i FROM generate_series(1, 100001) AS i ON CONFLICT DO NOTHING;"
    "ANALYZE stream_number;"
    "CREATE OR REPLACE VIEW stream_item AS "
    "SELECT id, 'item ' || id / (id <= 100000)::int AS name FROM stream_number";
enum { BROKEN_OFF = -1 };
const struct app_request app_requests[] = {
    { "fiber=0&lines=100000", 200, 0, false }, { "fiber=1&lines=100000", 200, 0, false },
    { "fiber=0&lines=100000&after=30000", 200, 0, true }, { "fiber=1&lines=100000&after=30000", 200, 0, true },
    { "fiber=0&lines=100000", 200, 0, true }, { "fiber=1&lines=100000", 200, 0, true },
    { "fiber=0&lines=100001", BROKEN_OFF, 0, false }, { "fiber=1&lines=100001", BROKEN_OFF, 0, false },
    { "fiber=0&lines=0", 200, 0, false }, { "fiber=1&lines=0", 200, 0, false },
};
const size_t app_request_count = sizeof app_requests / sizeof *app_requests;
#endif
