/* wire/auth.h - how a server may ask who is there, as require_auth names it: one bit each. */
#ifndef RP_WIRE_AUTH_H
#define RP_WIRE_AUTH_H

enum rp_method {
    RP_METHOD_NONE,     /* not at all: trust, or a certificate that the TLS handshake has shown */
    RP_METHOD_PASSWORD, /* in cleartext */
    RP_METHOD_MD5,
    RP_METHOD_GSS,
    RP_METHOD_SSPI,
    RP_METHOD_SCRAM,    /* SCRAM-SHA-256, with channel binding or without */
    RP_METHOD_OAUTH,
    RP_METHODS
};

/* channel_binding: whether SCRAM may not, may or must vouch for the TLS connection that it happens in. */
enum rp_channel_binding { RP_CHANNEL_BINDING_DISABLE, RP_CHANNEL_BINDING_PREFER, RP_CHANNEL_BINDING_REQUIRE };

#endif
