# A program finds an installed candor with CMake's find_package.
. "$(dirname -- "$0")/../support/proof.sh"

install_candor
quietly cmake -S "$root/tests/consumers/find_package" -B "$scratch/consumer" "-DCMAKE_PREFIX_PATH=$prefix"
quietly cmake --build "$scratch/consumer"
env -i HOME=/nonexistent "$scratch/consumer/consumer"

[ -e "$prefix/share/licenses/candor/LICENSE" ] || fail "the licence is not installed"
for header in $(cd "$root/include" && find candor -name '*.hpp'); do
    [ -e "$prefix/include/$header" ] || fail "$header is not installed"
done
