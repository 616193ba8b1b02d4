/* (f) NOTIFY to every websocket of this reactor. */
#include <stdio.h>
#include "app.h"
#include "ringpg.h"
static void notify(struct pg_listener *l, struct pg_text payload, int32_t pid)
{
    (void)l, (void)pid;
    for (struct websocket *w = websocket_next(NULL); w; w = websocket_next(w))
        websocket_text(w, payload.data, payload.size);
}
static void state(struct pg_listener *l, bool listening)
{
    static const char resync[] = "{\"resync\":1}";     /* whatever was sent in between is lost: the browsers re-read */
    (void)l;
    if (!listening) return;
    for (struct websocket *w = websocket_next(NULL); w; w = websocket_next(w))
        websocket_text(w, resync, sizeof resync - 1);
}
static struct pg_listener news = { .channel = "News Items", .on_notify = notify, .on_state = state }; /* one per reactor */
int websockets_open(struct pg_pool *pool)
{
    struct pg_error error;
    int rc = pg_pool_listen(pool, &news, &error);
    if (rc) fprintf(stderr, "%s\n", pg_error_field(&error, 'M'));
    return rc;
}
void websockets_close(void) { pg_pool_unlisten(&news); }
