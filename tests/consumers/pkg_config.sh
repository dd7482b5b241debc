# A program finds an installed candor with pkg-config.
. "$(dirname -- "$0")/../support/proof.sh"

install_candor
export PKG_CONFIG_PATH="$prefix/share/pkgconfig"
version=$(sed -n 's/#define CANDOR_VERSION_STRING "\(.*\)"/\1/p' "$root/include/candor/version.hpp")
[ "$(pkg-config --modversion candor)" = "$version" ] || fail "pkg-config says another version"
# shellcheck disable=SC2046  # lists of flags
"$compiler" -std=c++20 $(pkg-config --cflags candor) "$root/tests/consumers/whole.cpp" -o "$scratch/consumer" \
    $(pkg-config --libs candor)
env -i HOME=/nonexistent "$scratch/consumer"
