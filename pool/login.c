/* pool/login.c - who a connection is to be, where before_connect says so: the connection string's user, password and
 * startup parameters with some of them replaced. Owns the copies, bounded, and wipes them. */
#include "pool/state.h"

static const struct {
    const char *keyword, *startup; /* the startup parameter's name, NULL: none */
} settable[RP_LOGIN_VALUES] = {
    [RP_LOGIN_USER] = { "user", "user" },
    [RP_LOGIN_PASSWORD] = { "password", NULL },
    { "dbname", "database" },
    { "options", "options" },
    { "application_name", "application_name" },
};

void rp_login_begin(struct rp_login *login, const struct pg_pool *pool, const struct rp_host *host)
{
    _Static_assert(sizeof login->startup == sizeof pool->startup, "they are copied as a whole");
    memcpy(login->startup, pool->startup, sizeof login->startup);
    login->session = host->session;
    login->session.startup = login->startup;
    login->changed = false;
}

static void point_at(struct rp_login *login, size_t which, const char *value)
{
    if (which == RP_LOGIN_USER) login->session.user = value;
    if (which == RP_LOGIN_PASSWORD) login->session.password = value;
    for (struct rp_pair *p = login->startup; settable[which].startup && p->name; p++)
        if (!strcmp(p->name, settable[which].startup)) p->value = value;
    login->changed = true;
}

static int set(struct rp_login *login, const char *keyword, const char *value)
{
    for (size_t i = 0; i < RP_LOGIN_VALUES; i++) {
        if (strcmp(settable[i].keyword, keyword) != 0) continue;
        char *copy = i == RP_LOGIN_PASSWORD ? login->password : login->value[i];
        size_t size = value ? strlen(value) : SIZE_MAX;
        if (size > (i == RP_LOGIN_PASSWORD ? RP_LOGIN_PASSWORD_MOST : RP_LOGIN_MOST)) return PG_E_PARAMETER;
        if (settable[i].startup && strpbrk(value, "\r\n")) return PG_E_PARAMETER;
        memcpy(copy, value, size + 1);
        point_at(login, i, copy);
        return 0;
    }
    return PG_E_PARAMETER;
}

void rp_login_wipe(struct rp_login *login)
{
    explicit_bzero(login->value, sizeof login->value);
    explicit_bzero(login->password, sizeof login->password);
}

int pg_hook_set(struct pg_hook *hook, const char *keyword, const char *value)
{
    struct rp_slot *slot = hook->slot;
    if (!slot) return 0; /* its connect is over */
    RP_CALLER(slot->hook_phase == RP_HOOK_CALLED && slot->hook_kind == RP_HOOK_BEFORE_CONNECT,
              "pg_hook_set is for before_connect");
    return set(&hook->login, keyword, value);
}
