// What Swift cannot import of OpenSSL by itself: macros, and lists of macros. No policy but the
// names of a certificate, whose types are unions.
#ifndef PROFILES_COPENSSL_SHIM_H
#define PROFILES_COPENSSL_SHIM_H

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

static const uint64_t openssl_options =
    SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
    SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA;

// Releases what an idle connection holds, and takes up a write at another address.
static inline void openssl_set_modes(SSL_CTX *context) {
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

static inline int openssl_set_version_min(SSL_CTX *context) {
    return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
}

static inline int openssl_set_groups(SSL_CTX *context, const char *list) {
    return (int)SSL_CTX_set1_groups_list(context, list);
}

static inline void openssl_no_session_cache(SSL_CTX *context) {
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}

static inline void openssl_read_ahead(SSL_CTX *context) { SSL_CTX_set_read_ahead(context, 1); }

static inline void openssl_set_certificate_bytes_max(SSL_CTX *context, long bytes) {
    SSL_CTX_set_max_cert_list(context, bytes);
}

static inline int openssl_add_chain(SSL_CTX *context, X509 *certificate) {
    return (int)SSL_CTX_add1_chain_cert(context, certificate);
}

static inline int openssl_set_server_name(SSL *session, const char *name) {
    return (int)SSL_set_tlsext_host_name(session, name);
}

static inline void openssl_set_owner(SSL *session, void *owner) {
    SSL_set_app_data(session, owner);
}

static inline void *openssl_owner(const SSL *session) { return SSL_get_app_data(session); }

static inline void openssl_retry_read(BIO *bio) {
    BIO_clear_retry_flags(bio);
    BIO_set_retry_read(bio);
}

static inline void openssl_retry_write(BIO *bio) {
    BIO_clear_retry_flags(bio);
    BIO_set_retry_write(bio);
}

static inline void openssl_no_retry(BIO *bio) { BIO_clear_retry_flags(bio); }

static inline int openssl_error_reason(unsigned long code) { return ERR_GET_REASON(code); }

static inline int openssl_is_end_of_pem(unsigned long code) {
    return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

// Whether a text has no private key that any decoder knows.
static inline int openssl_is_no_key(unsigned long code) {
    return ERR_GET_REASON(code) == ERR_R_UNSUPPORTED;
}

// Refuses a ClientHello without ALPN, before anything is computed for it.
static int openssl_refuse_without_alpn(SSL *session, int *alert, void *unused) {
    const unsigned char *bytes;
    size_t count;
    (void)unused;
    if (SSL_client_hello_get0_ext(session, TLSEXT_TYPE_application_layer_protocol_negotiation,
                                  &bytes, &count))
        return SSL_CLIENT_HELLO_SUCCESS;
    *alert = SSL_AD_NO_APPLICATION_PROTOCOL;
    ERR_raise(ERR_LIB_SSL, SSL_R_NO_APPLICATION_PROTOCOL);
    return SSL_CLIENT_HELLO_ERROR;
}

// Selects the protocol whose name, behind its length, is at `wanted`, or refuses the client.
static int openssl_select_protocol(SSL *session, const unsigned char **selected,
                                   unsigned char *selected_bytes, const unsigned char *offered,
                                   unsigned int offered_bytes, void *wanted) {
    const unsigned char *name = (const unsigned char *)wanted;
    unsigned char *found;
    (void)session;
    if (SSL_select_next_proto(&found, selected_bytes, name, name[0] + 1u, offered,
                              offered_bytes) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *selected = found;
    return SSL_TLSEXT_ERR_OK;
}

// Lets a server speak one protocol. `wanted`, its length and its name, outlives the context.
static inline void openssl_set_protocol(SSL_CTX *context, const unsigned char *wanted,
                                        int is_demanded) {
    SSL_CTX_set_alpn_select_cb(context, openssl_select_protocol, (void *)wanted);
    if (is_demanded) SSL_CTX_set_client_hello_cb(context, openssl_refuse_without_alpn, NULL);
}

// When a certificate ends, in seconds since 1970; -1: its time cannot be read.
static inline long long openssl_end_of(const X509 *certificate) {
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days = 0, seconds = 0;
    int known = epoch && ASN1_TIME_diff(&days, &seconds, epoch, X509_get0_notAfter(certificate));
    ASN1_TIME_free(epoch);
    return known ? (long long)days * 86400 + seconds : -1;
}

// Appends one name to text; one with a byte that could end or forge it is left out.
static inline size_t openssl_append_name(char *text, size_t used, size_t capacity,
                                         const char *kind, const ASN1_STRING *name) {
    const unsigned char *bytes = ASN1_STRING_get0_data(name);
    int count = ASN1_STRING_length(name);
    if (count <= 0 || used + strlen(kind) + (size_t)count + 2 > capacity) return used;
    for (int i = 0; i < count; i++)
        if (bytes[i] < 0x20 || bytes[i] >= 0x7F) return used;
    int written = snprintf(text + used, capacity - used, "%s:%.*s\n", kind, count, bytes);
    return used + (size_t)written;
}

// The names of a certificate, each on a line: URI:, DNS:, EMAIL: of its subject alternative names,
// then SUBJECT: in the form of RFC 2253. What does not fit is left out.
static inline size_t openssl_names(X509 *certificate, char *text, size_t capacity) {
    static const struct { int type; const char *kind; } kinds[] = {
        {GEN_URI, "URI"}, {GEN_DNS, "DNS"}, {GEN_EMAIL, "EMAIL"}};
    size_t used = 0;
    GENERAL_NAMES *names = (GENERAL_NAMES *)X509_get_ext_d2i(certificate, NID_subject_alt_name,
                                                             NULL, NULL);
    for (size_t k = 0; names && k < sizeof kinds / sizeof kinds[0]; k++)
        for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
            const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
            if (name->type == kinds[k].type)
                used = openssl_append_name(text, used, capacity, kinds[k].kind, name->d.ia5);
        }
    GENERAL_NAMES_free(names);
    BIO *subject = BIO_new(BIO_s_mem());
    if (!subject) return used;
    X509_NAME_print_ex(subject, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
    char *bytes;
    long count = BIO_get_mem_data(subject, &bytes);
    if (count > 0 && used + (size_t)count + 10 <= capacity)
        used += (size_t)snprintf(text + used, capacity - used, "SUBJECT:%.*s\n", (int)count, bytes);
    BIO_free(subject);
    return used;
}

#endif
