/* wire/format_net.c - uuid, network and hardware addresses and bit strings as the server prints them.
 * Source: uuid_out, inet_out, macaddr_out, macaddr8_out, bit_out; the server's own rules for "::" (pg_inet_net_ntop).
 */
#include "wire/print.h"

const char *rp_print_uuid(struct rp_sink *sink, struct pg_value value, const struct rp_type *type)
{
    static const uint8_t groups[] = { 4, 2, 2, 2, 6 };
    uint8_t uuid[16];
    const char *why = rp_read_uuid(value, type, uuid);
    if (why) return why;
    for (size_t i = 0, at = 0; i < sizeof groups; at += groups[i++]) {
        if (i) rp_put_char(sink, '-');
        rp_put_hex(sink, uuid + at, groups[i]);
    }
    return NULL;
}

const char *rp_print_macaddr(struct rp_sink *sink, struct pg_value value, const struct rp_type *type)
{
    uint8_t address[8];
    const char *why = rp_read_macaddr(value, type, address);
    if (why) return why;
    for (size_t i = 0; i < type->size; i++) {
        if (i) rp_put_char(sink, ':');
        rp_put_hex(sink, address + i, 1);
    }
    return NULL;
}

static void put_ipv4(struct rp_sink *sink, const uint8_t *at)
{
    for (int i = 0; i < 4; i++) {
        if (i) rp_put_char(sink, '.');
        rp_put_number(sink, at[i], 1);
    }
}

static unsigned word_at(const uint8_t *address, int i) { return (unsigned)address[2 * i] << 8 | address[2 * i + 1]; }

static void put_word(struct rp_sink *sink, unsigned word)
{
    bool begun = false;
    for (int shift = 12; shift >= 0; shift -= 4) {
        begun |= word >> shift || shift == 0;
        if (begun) rp_put_char(sink, "0123456789abcdef"[word >> shift & 15]);
    }
}

/* The first of the longest runs of zero words, if that is longer than one; else begin is 8. */
struct run {
    int begin, size;
};
static struct run longest_run(const uint8_t *address)
{
    struct run best = { 8, 1 };
    for (int i = 0; i < 8; i++) {
        int size = 0;
        while (i + size < 8 && word_at(address, i + size) == 0) size++;
        if (size > best.size) best = (struct run){ i, size };
        i += size;
    }
    return best;
}

/* An address that embeds one of IPv4 ends with its notation. */
static bool embeds_ipv4(const uint8_t *address, struct run zeros)
{
    return zeros.begin == 0 && (zeros.size == 6 || (zeros.size == 5 && word_at(address, 5) == 0xffff));
}

static void put_ipv6(struct rp_sink *sink, const uint8_t *address)
{
    struct run zeros = longest_run(address);
    int words = embeds_ipv4(address, zeros) ? 6 : 8;
    for (int i = 0; i < words; i++) {
        bool inside = i >= zeros.begin && i < zeros.begin + zeros.size;
        if (inside ? i == zeros.begin : i > 0) rp_put_char(sink, ':');
        if (!inside) put_word(sink, word_at(address, i));
    }
    if (words < 8 || zeros.begin + zeros.size == 8) rp_put_char(sink, ':');
    if (words < 8) put_ipv4(sink, address + 12);
}

/* An inet that is one address has no prefix. */
const char *rp_print_inet(struct rp_sink *sink, struct pg_value value, const struct rp_type *type)
{
    struct pg_inet inet;
    const char *why = rp_read_inet(value, type, &inet);
    if (why) return why;
    if (inet.family == 4)
        put_ipv4(sink, inet.address);
    else
        put_ipv6(sink, inet.address);
    if (inet.prefix != (inet.family == 4 ? 32 : 128) || value.type == PG_TYPE_CIDR) {
        rp_put_char(sink, '/');
        rp_put_number(sink, inet.prefix, 1);
    }
    return NULL;
}

const char *rp_print_bits(struct rp_sink *sink, struct pg_value value, const struct rp_type *type)
{
    size_t count;
    const uint8_t *at;
    const char *why = rp_read_bits(value, type, &count, &at);
    if (why) return why;
    for (size_t i = 0; i < count && !sink->found; i++) rp_put_char(sink, at[i / 8] >> (7 - i % 8) & 1 ? '1' : '0');
    return NULL;
}
