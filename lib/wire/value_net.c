/* wire/value_net.c - uuid, network and hardware addresses and bit strings out of a row, in both formats.
 *
 * Sources: uuid_send, inet_send, macaddr_send, macaddr8_send, bit_send; the chapters "UUID Type", "Network Address
 * Types", "Bit String Types" for their text; RFC 4291, 2.2 for an IPv6 address's. */
#include "wire/getter.h"
#include "wire/check.h"
#include "wire/load.h"
#include "wire/scan.h"

enum { UUID_BYTES = 16, FAMILY_4 = 2, FAMILY_6 = 3 }; /* the families are PGSQL_AF_INET, PGSQL_AF_INET6 */
enum { INET_HEAD = 4, WORDS = 8 };

/* Pairs of digits, and `separator` before those whose bit in `separated` is set. */
static bool scan_pairs(struct pg_value value, size_t bytes, unsigned separated, char separator, uint8_t *out)
{
    struct rp_scan s = rp_scan_of(value);
    for (size_t i = 0; i < bytes; i++) {
        if (separated >> i & 1 && !rp_scan_char(&s, separator)) return false;
        if (!rp_scan_hex(&s, &out[i])) return false;
    }
    return rp_scan_end(&s);
}

const char *rp_read_uuid(struct pg_value value, const struct rp_type *type, uint8_t out[16])
{
    if (value.text) return scan_pairs(value, UUID_BYTES, 0x550, '-', out) ? NULL : type->malformed;
    if (value.size != UUID_BYTES) return type->wrong_size;
    memcpy(out, value.data, UUID_BYTES);
    return NULL;
}

const char *rp_read_macaddr(struct pg_value value, const struct rp_type *type, uint8_t out[8])
{
    if (value.text) return scan_pairs(value, type->size, 0xfe, ':', out) ? NULL : type->malformed;
    if (value.size != type->size) return type->wrong_size;
    memcpy(out, value.data, type->size);
    return NULL;
}

/* ---- inet ---- */

static bool scan_ipv4(struct rp_scan *s, uint8_t out[4])
{
    for (int i = 0; i < 4; i++) {
        int64_t octet;
        if (i && !rp_scan_char(s, '.')) return false;
        if (!rp_scan_digits(s, 1, 3, &octet) || octet > 255) return false;
        out[i] = (uint8_t)octet;
    }
    return true;
}

static bool scan_word(struct rp_scan *s, uint8_t out[2])
{
    unsigned word = 0;
    const uint8_t *at = s->at;
    for (; at < s->end && at - s->at < 4 && rp_hex_digit(*at) >= 0; at++)
        word = word << 4 | (unsigned)rp_hex_digit(*at);
    if (at == s->at) return false;
    s->at = at;
    out[0] = (uint8_t)(word >> 8);
    out[1] = (uint8_t)word;
    return true;
}

/* The last two words may be written as an IPv4 address. */
static bool scan_words_of_ipv4(struct rp_scan *s, uint8_t *out, int words)
{
    struct rp_scan ahead = *s;
    if (words > WORDS - 2 || !scan_ipv4(&ahead, out)) return false;
    *s = ahead;
    return true;
}

/* Words with colons in between, and once "::" for as many words of zero as are missing. */
static bool scan_ipv6(struct rp_scan *s, uint8_t out[16])
{
    uint8_t found[16] = { 0 };
    int words = 0, gap = -1;
    memset(out, 0, 16);
    while (words < WORDS) {
        if (rp_scan_word(s, "::")) {
            if (gap >= 0) return false;
            gap = words;
            if (rp_scan_end(s) || *s->at == '/') break;
        } else if (words && !rp_scan_char(s, ':')) {
            break;
        }
        if (scan_words_of_ipv4(s, found + 2 * words, words)) {
            words += 2;
            break;
        }
        if (!scan_word(s, found + 2 * words)) return false;
        words++;
    }
    if (gap < 0 ? words != WORDS : words >= WORDS) return false;
    if (gap < 0) gap = words;
    memcpy(out, found, 2 * (size_t)gap);
    memcpy(out + 16 - 2 * (words - gap), found + 2 * gap, 2 * (size_t)(words - gap));
    return true;
}

static const char *parse_inet(struct pg_value value, const struct rp_type *type, struct pg_inet *out)
{
    struct rp_scan s = rp_scan_of(value);
    bool four = !memchr(value.data, ':', value.size);
    int64_t prefix = four ? 32 : 128, most = prefix;
    *out = (struct pg_inet){ .family = four ? 4 : 6 };
    if (!(four ? scan_ipv4 : scan_ipv6)(&s, out->address)) return type->malformed;
    if (rp_scan_char(&s, '/') && !rp_scan_digits(&s, 1, 3, &prefix)) return type->malformed;
    if (!rp_scan_end(&s) || prefix > most) return type->malformed;
    out->prefix = (uint8_t)prefix;
    return NULL;
}

/* Family, prefix, whether it is a cidr (which the type says too), the number of bytes, the address. */
const char *rp_read_inet(struct pg_value value, const struct rp_type *type, struct pg_inet *out)
{
    if (value.text) return value.size ? parse_inet(value, type, out) : type->malformed;
    if (value.size < INET_HEAD) return type->wrong_size;
    uint8_t family = value.data[0], prefix = value.data[1], bytes = value.data[3];
    if (family != FAMILY_4 && family != FAMILY_6) return type->broken;
    if (bytes != (family == FAMILY_4 ? 4 : 16) || prefix > 8 * bytes || value.data[2] > 1) return type->broken;
    if (value.size != INET_HEAD + (uint32_t)bytes) return type->wrong_size;
    *out = (struct pg_inet){ .family = family == FAMILY_4 ? 4 : 6, .prefix = prefix };
    memcpy(out->address, value.data + INET_HEAD, bytes);
    return NULL;
}

const char *rp_read_bits(struct pg_value value, const struct rp_type *type, size_t *count, const uint8_t **at)
{
    if (value.size < 4) return type->wrong_size;
    *count = rp_load_u32(value.data);
    *at = value.data + 4;
    if (*count > INT32_MAX) return type->broken;
    if (value.size - 4 != (*count + 7) / 8) return type->wrong_size;
    return *count % 8 && (*at)[*count / 8] & (0xff >> *count % 8) ? type->broken : NULL; /* zeros behind the last */
}

/* ---- getters ---- */

bool pg_value_uuid(struct pg_value value, uint8_t out[16])
{
    RP_ASSERT(out);
    const struct rp_type *type = rp_type_of(value.type);
    uint8_t uuid[UUID_BYTES] = { 0 };
    memset(out, 0, UUID_BYTES);
    if (!rp_is_kind(value, type->kind, RP_KIND_UUID)) return false;
    const char *why = rp_read_uuid(value, type, uuid);
    if (why) return rp_complain(value, why);
    memcpy(out, uuid, UUID_BYTES);
    return true;
}

size_t pg_value_macaddr(struct pg_value value, uint8_t out[8])
{
    RP_ASSERT(out);
    const struct rp_type *type = rp_type_of(value.type);
    uint8_t address[8] = { 0 };
    memset(out, 0, 8);
    if (!rp_is_kind(value, type->kind, RP_KIND_MACADDR)) return 0;
    const char *why = rp_read_macaddr(value, type, address);
    if (why) return rp_complain(value, why);
    memcpy(out, address, 8);
    return type->size;
}

struct pg_inet pg_value_inet(struct pg_value value)
{
    static const struct pg_inet none = { 0, 0, { 0 } };
    const struct rp_type *type = rp_type_of(value.type);
    struct pg_inet inet = none;
    if (!rp_is_kind(value, type->kind, RP_KIND_INET)) return none;
    const char *why = rp_read_inet(value, type, &inet);
    if (!why) return inet;
    rp_complain(value, why);
    return none;
}

/* Zeros and ones become the bits of bytes, the first the highest. */
static size_t parse_bits(struct pg_value value, const struct rp_type *type, uint8_t *out, size_t capacity)
{
    for (uint32_t i = 0; i < value.size; i++)
        if (value.data[i] != '0' && value.data[i] != '1') return rp_complain(value, type->malformed);
    for (size_t byte = 0; byte < capacity && byte * 8 < value.size; byte++) {
        out[byte] = 0;
        for (size_t bit = 0; bit < 8 && byte * 8 + bit < value.size; bit++)
            out[byte] |= (uint8_t)((value.data[byte * 8 + bit] - '0') << (7 - bit));
    }
    return value.size;
}

size_t pg_value_bits(struct pg_value value, void *out, size_t capacity)
{
    RP_ASSERT(out || capacity == 0);
    const struct rp_type *type = rp_type_of(value.type);
    size_t count = 0;
    const uint8_t *at;
    if (!rp_is_kind(value, type->kind, RP_KIND_BITS)) return 0;
    if (value.text) return parse_bits(value, type, out, capacity);
    const char *why = rp_read_bits(value, type, &count, &at);
    if (why) return rp_complain(value, why);
    size_t bytes = (count + 7) / 8, copied = bytes < capacity ? bytes : capacity;
    if (copied) memcpy(out, at, copied);
    return count;
}
