# The same for candor/candor.hpp where cpp-httplib is its header alone, without TLS and zlib.
. "$(dirname -- "$0")/../support/proof.sh"
command -v readelf >/dev/null || skip "there is no readelf"
[ -e "$root/.build/httplib/httplib.h" ] || skip "cpp-httplib's header alone is not here; sh tests/setup gets it"

compile -UCPPHTTPLIB_OPENSSL_SUPPORT -UCPPHTTPLIB_ZLIB_SUPPORT -UCPPHTTPLIB_BROTLI_SUPPORT \
    -isystem "$root/.build/httplib" -o "$scratch/whole" "$root/tests/consumers/whole.cpp"
needs "$scratch/whole"
env -i HOME=/nonexistent "$scratch/whole"
