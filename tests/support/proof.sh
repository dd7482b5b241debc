# What the scripts that compile something of their own share. They are called with the directory in which the build has
# its programs; a test that cannot be made on this machine ends with status 77.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
programs=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' HUP INT TERM

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

skip() {
    printf 'skipped: %s\n' "$*"
    exit 77
}

# The build's compiler with the flags of a source that uses candor, to be read with eval.
compile=$(python3 "$root/tests/support/flags.py" "$programs")
compiler() { printf '%s\n' "$1"; }
compiler=$(eval "compiler $compile")

# compile ARGS...: runs it.
compile() {
    eval "$compile \"\$@\""
}

# What to link to a program that uses httplib.h: the library where it is Debian's split one, and what it stands on.
libraries=
case $compile in
*/httplib* | */cpp-httplib*) ;;
*) libraries=$(pkg-config --libs cpp-httplib 2>/dev/null) || libraries= ;;
esac
case $compile in *CPPHTTPLIB_ZLIB_SUPPORT*) libraries="$libraries -lz" ;; esac
case $compile in *CPPHTTPLIB_OPENSSL_SUPPORT*) libraries="$libraries -lssl -lcrypto" ;; esac
case $compile in *CPPHTTPLIB_BROTLI_SUPPORT*) libraries="$libraries -lbrotlienc -lbrotlidec -lbrotlicommon" ;; esac

# quietly COMMAND...: shows what it prints only where it fails.
quietly() {
    "$@" >"$scratch/log" 2>&1 || {
        cat "$scratch/log" >&2
        fail "failed: $*"
    }
}

# install_candor: installs it with CMake, moves it and sets `prefix` to where it is then.
install_candor() {
    export CXX="$compiler"
    quietly cmake -S "$root" -B "$scratch/candor" -DCANDOR_BUILD_TESTS=OFF -DCANDOR_BUILD_EXAMPLES=OFF \
        "-DCMAKE_INSTALL_PREFIX=$scratch/prefix"
    quietly cmake --build "$scratch/candor"
    quietly cmake --install "$scratch/candor"
    prefix=$scratch/moved
    mv "$scratch/prefix" "$prefix"
}

# needs PROGRAM: fails unless PROGRAM needs only the runtime of C and C++.
needs() {
    needed=$(readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\].*/\1/p')
    [ -n "$needed" ] || fail "$1 names no library that it needs"
    for library in $needed; do
        case $library in
        libc.so.* | libm.so.* | libstdc++.so.* | libc++.so.* | libc++abi.so.* | libgcc_s.so.* | libunwind.so.*) ;;
        ld-linux*) ;;
        *) fail "$1 needs $library" ;;
        esac
    done
}

# install_npm_packages DIRECTORY: installs what the lock file of tests/DIRECTORY names, once for all builds, beside a copy
# of its scripts, and sets `packages` to where they are.
install_npm_packages() {
    command -v node >/dev/null || skip "there is no node"
    command -v npm >/dev/null || skip "there is no npm"
    packages=$root/.build/npm/$(basename "$1")
    mkdir -p "$packages"
    cp "$root/tests/$1"/*.mjs "$root/tests/$1/.npmrc" "$packages"
    cmp -s "$root/tests/$1/package-lock.json" "$packages/installed" && return
    cp "$root/tests/$1/package.json" "$root/tests/$1/package-lock.json" "$packages"
    (cd "$packages" && quietly npm ci --ignore-scripts --prefer-offline --no-audit --no-fund)
    cp "$packages/package-lock.json" "$packages/installed"
}
