#!/bin/sh
# Every header compiles for Windows, macOS and musl, with the Clang and the headers of these systems that PyPI's ziglang
# brings: one program that includes them all. (That each compiles alone is a test of one system.) Takes a minute, and what
# it takes is large, and so it is no test of `sh tests/all` but a check of CI's.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
cd "$root"
. tests/setup
setup_portable

out=$root/.build/portable
export ZIG_GLOBAL_CACHE_DIR="$out/cache" ZIG_LOCAL_CACHE_DIR="$out/cache"
rm -rf "$out"
mkdir -p "$out/include"
ln -s /usr/include/nlohmann "$out/include/nlohmann" # alone: beside it are headers of this system
ln -s "$root/.build/httplib/httplib.h" "$out/include/httplib.h"
(cd include && find candor -name '*.hpp' | sort) | sed 's/.*/#include <&>/' >"$out/all.cpp"

printf '%s\n' x86_64-windows-gnu aarch64-macos x86_64-linux-musl | xargs -I{} -P 2 sh -c '
    echo "$2" >&2
    exec "$0/.build/zig/ziglang/zig" c++ -target "$2" -std=c++20 -g0 -Wall -Wextra -Werror -Iinclude -isystem "$1/include" \
        -c "$1/all.cpp" -o "$1/$2.o"' "$root" "$out" {}
