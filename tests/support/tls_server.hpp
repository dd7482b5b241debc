#ifndef CANDOR_TESTS_SUPPORT_TLS_SERVER_HPP
#define CANDOR_TESTS_SUPPORT_TLS_SERVER_HPP

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "socket_server.hpp"
#include "temporary_directory.hpp"

/// TLS on top of `socket_server`, with certificates made when the test runs.
namespace candor::testing {

namespace detail {

template <auto Free>
struct freed_by {
    template <class T>
    void operator()(T* object) const {
        Free(object);
    }
};

using key_ptr = std::unique_ptr<EVP_PKEY, freed_by<EVP_PKEY_free>>;
using certificate_ptr = std::unique_ptr<X509, freed_by<X509_free>>;

inline void require(bool done, const char* what) {
    if (!done) throw std::runtime_error{what};
}

inline key_ptr make_key() {
    const std::unique_ptr<EVP_PKEY_CTX, freed_by<EVP_PKEY_CTX_free>> context{EVP_PKEY_CTX_new_id(EVP_PKEY_EC, nullptr)};
    EVP_PKEY* key = nullptr;
    require(context && EVP_PKEY_keygen_init(context.get()) == 1 &&
                EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context.get(), NID_X9_62_prime256v1) == 1 &&
                EVP_PKEY_keygen(context.get(), &key) == 1,
            "cannot make a key");
    return key_ptr{key};
}

}  // namespace detail

/// A key and the certificate for it.
struct identity {
    detail::key_ptr key;
    detail::certificate_ptr certificate;
};

/// Makes an identity. `names` as OpenSSL's configuration has them (`DNS:a.example,IP:127.0.0.1`); empty: an authority.
/// It is signed by `issuer`, or by itself where that is null, and ended `expires_in` seconds from now.
inline identity make_identity(const std::string& names, const identity* issuer, long expires_in = 3600) {
    identity out{detail::make_key(), detail::certificate_ptr{X509_new()}};
    X509* const certificate = out.certificate.get();
    static long serial = 1;
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -86400);
    X509_gmtime_adj(X509_getm_notAfter(certificate), expires_in);
    X509_set_pubkey(certificate, out.key.get());
    const std::string common_name = "candor test " + std::to_string(serial);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1, 0);
    X509* const signer = issuer == nullptr ? certificate : issuer->certificate.get();
    X509_set_issuer_name(certificate, X509_get_subject_name(signer));
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, signer, certificate, nullptr, nullptr, 0);
    const auto add = [&](int extension, const std::string& value) {
        const std::unique_ptr<X509_EXTENSION, detail::freed_by<X509_EXTENSION_free>> made{
            X509V3_EXT_conf_nid(nullptr, &context, extension, const_cast<char*>(value.c_str()))};
        detail::require(made && X509_add_ext(certificate, made.get(), -1) == 1, "cannot add an extension");
    };
    add(NID_basic_constraints, names.empty() ? "critical,CA:TRUE" : "CA:FALSE");
    if (!names.empty()) add(NID_subject_alt_name, names);
    detail::require(X509_sign(certificate, issuer == nullptr ? out.key.get() : issuer->key.get(), EVP_sha256()) > 0,
                    "cannot sign");
    return out;
}

/// An authority of our own, which the process trusts, and nothing else, while this lives: SSL_CERT_FILE names it.
/// A client reads that when it makes its first connection.
class trusted_authority {
public:
    trusted_authority() {
        const auto path = (directory_.path() / "authority.pem").string();
        std::FILE* const file = std::fopen(path.c_str(), "w");
        detail::require(file != nullptr && PEM_write_X509(file, authority_.certificate.get()) == 1, "cannot write");
        std::fclose(file);
        ::setenv("SSL_CERT_FILE", path.c_str(), 1);
        ::setenv("SSL_CERT_DIR", directory_.path().c_str(), 1);
    }
    ~trusted_authority() {
        ::unsetenv("SSL_CERT_FILE");
        ::unsetenv("SSL_CERT_DIR");
    }

    /// A certificate of this authority.
    [[nodiscard]] identity issue(const std::string& names, long expires_in = 3600) const {
        return make_identity(names, &authority_, expires_in);
    }

private:
    temporary_directory directory_;
    identity authority_ = make_identity("", nullptr);
};

/// The server's end of a TLS connection.
class tls_stream {
public:
    /// Shakes hands; `is_open` says whether that worked.
    tls_stream(socket_server::peer& peer, SSL_CTX* context) : ssl_{SSL_new(context)} {
        SSL_set_fd(ssl_.get(), peer.socket());
        is_open_ = SSL_accept(ssl_.get()) == 1;
    }

    [[nodiscard]] bool is_open() const { return is_open_; }

    /// The name that the client asked for, empty where it asked for none.
    [[nodiscard]] std::string server_name() const {
        const char* name = SSL_get_servername(ssl_.get(), TLSEXT_NAMETYPE_host_name);
        return name == nullptr ? "" : name;
    }

    /// Reads until what has come ends with `end`.
    std::optional<std::string> read_until(std::string_view end) {
        std::string out;
        char byte = 0;
        while (!out.ends_with(end)) {
            if (SSL_read(ssl_.get(), &byte, 1) != 1) return std::nullopt;
            out += byte;
        }
        return out;
    }

    /// Reads a request: the head, and as many bytes as its Content-Length says.
    std::optional<std::string> read_request() {
        auto out = read_until("\r\n\r\n");
        if (!out) return std::nullopt;
        const std::string_view name = "\r\nContent-Length: ";
        const auto at = out->find(name);
        for (auto left = at == out->npos ? 0 : std::strtoul(out->c_str() + at + name.size(), nullptr, 10); left > 0;
             --left) {
            char byte = 0;
            if (SSL_read(ssl_.get(), &byte, 1) != 1) return std::nullopt;
            *out += byte;
        }
        return out;
    }

    bool write(std::string_view bytes) {
        return SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())) > 0;
    }

private:
    std::unique_ptr<SSL, detail::freed_by<SSL_free>> ssl_;
    bool is_open_ = false;
};

/// A TLS server on a free port of 127.0.0.1. `talk` runs for each connection whose handshake succeeds, on a thread of
/// its own.
class tls_server {
public:
    using behaviour = std::function<void(tls_stream&, socket_server::peer&)>;

    tls_server(const identity& who, behaviour talk)
        : context_{SSL_CTX_new(TLS_server_method())},
          talk_{std::move(talk)},
          server_{[this](socket_server::peer& peer) {
              tls_stream stream{peer, context_.get()};
              if (stream.is_open()) talk_(stream, peer);
          }} {
        detail::require(SSL_CTX_use_certificate(context_.get(), who.certificate.get()) == 1 &&
                            SSL_CTX_use_PrivateKey(context_.get(), who.key.get()) == 1,
                        "the key does not fit");
    }

    [[nodiscard]] std::uint16_t port() const { return server_.port(); }
    [[nodiscard]] socket_server& connections() { return server_; }

    [[nodiscard]] std::string url(const std::string& host, const std::string& path = "/") const {
        return "https://" + host + ":" + std::to_string(port()) + path;
    }

private:
    std::unique_ptr<SSL_CTX, detail::freed_by<SSL_CTX_free>> context_;
    behaviour talk_;
    socket_server server_;
};

}  // namespace candor::testing

#endif
