# A program that includes only candor/core.hpp links without any -l, needs nothing but the runtime of C and C++, and runs.
. "$(dirname -- "$0")/../support/proof.sh"
command -v readelf >/dev/null || skip "there is no readelf"

set --
case $compile in
*single_header*) set -- -DCANDOR_NO_HTTPLIB ;; # there the core is what is left without the adaptors
esac
compile "$@" -o "$scratch/core" "$root/tests/consumers/core.cpp"
needs "$scratch/core"
env -i HOME=/nonexistent "$scratch/core"
