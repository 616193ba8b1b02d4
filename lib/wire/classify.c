/* wire/classify.c - what the first words of an SQL text say about the session. */
#include "wire/check.h"
#include "wire/message.h"

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static char upper(char c) { return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c; } /* in every locale */
static bool is_word(char c)
{
    return (upper(c) >= 'A' && upper(c) <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' || c & 0x80;
}

/* Block comments nest in PostgreSQL. */
static const char *skip_blank(const char *s)
{
    for (;;) {
        while (is_space(*s) || *s == ';') s++;
        if (s[0] == '-' && s[1] == '-') {
            s += strcspn(s, "\r\n");
        } else if (s[0] == '/' && s[1] == '*') {
            int depth = 1;
            for (s += 2; *s && depth; s++) {
                if (s[0] == '/' && s[1] == '*') depth++, s++;
                else if (s[0] == '*' && s[1] == '/') depth--, s++;
            }
        } else {
            return s;
        }
    }
}

static bool next_is(const char **s, const char *word)
{
    size_t n = 0;
    while (word[n] && upper((*s)[n]) == word[n]) n++;
    if (word[n] || is_word((*s)[n])) return false;
    *s = skip_blank(*s + n);
    return true;
}

enum rp_sql_class rp_sql_classify(const char *sql)
{
    /* What comes most stands first: each word costs a comparison. */
    static const struct { const char *word; enum rp_sql_class class; } table[] = {
        { "SELECT", RP_SQL_PLAIN },      { "INSERT", RP_SQL_PLAIN },      { "UPDATE", RP_SQL_PLAIN },
        { "DELETE", RP_SQL_PLAIN },      { "WITH", RP_SQL_PLAIN },
        { "BEGIN", RP_SQL_BEGIN },       { "START", RP_SQL_BEGIN },       { "COMMIT", RP_SQL_COMMIT },
        { "END", RP_SQL_COMMIT },        { "ROLLBACK", RP_SQL_ROLLBACK }, { "ABORT", RP_SQL_ROLLBACK },
        { "SAVEPOINT", RP_SQL_SESSION }, { "RELEASE", RP_SQL_SESSION },   { "SET", RP_SQL_SESSION },
        { "RESET", RP_SQL_SESSION },     { "LISTEN", RP_SQL_SESSION },    { "UNLISTEN", RP_SQL_SESSION },
        { "COPY", RP_SQL_SESSION },      { "PREPARE", RP_SQL_SESSION },   { "EXECUTE", RP_SQL_SESSION },
        { "DEALLOCATE", RP_SQL_SESSION }, { "DECLARE", RP_SQL_SESSION },  { "FETCH", RP_SQL_SESSION },
        { "MOVE", RP_SQL_SESSION },      { "CLOSE", RP_SQL_SESSION },     { "LOCK", RP_SQL_SESSION },
        { "DISCARD", RP_SQL_SESSION },   { "LOAD", RP_SQL_SESSION },
    };
    const char *s = skip_blank(sql);
    if (next_is(&s, "CREATE")) {
        while (next_is(&s, "LOCAL") || next_is(&s, "GLOBAL") || next_is(&s, "OR") || next_is(&s, "REPLACE")) {}
        return next_is(&s, "TEMP") || next_is(&s, "TEMPORARY") ? RP_SQL_SESSION : RP_SQL_PLAIN;
    }
    for (size_t i = 0; i < RP_COUNT(table); i++) {
        if (!next_is(&s, table[i].word)) continue;
        bool ends = table[i].class == RP_SQL_COMMIT || table[i].class == RP_SQL_ROLLBACK;
        if (ends && next_is(&s, "PREPARED")) return RP_SQL_PLAIN; /* another transaction's end, in none of ours */
        /* ROLLBACK TO SAVEPOINT stays inside of the transaction; so it is a savepoint's command. */
        if (table[i].class != RP_SQL_ROLLBACK) return table[i].class;
        while (next_is(&s, "WORK") || next_is(&s, "TRANSACTION")) {}
        return next_is(&s, "TO") ? RP_SQL_SESSION : RP_SQL_ROLLBACK;
    }
    return RP_SQL_PLAIN;
}
