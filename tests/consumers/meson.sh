# A program has candor as a Meson subproject; another finds what Meson installed, with pkg-config.
. "$(dirname -- "$0")/../support/proof.sh"
command -v meson >/dev/null || skip "there is no meson"

export CXX="$compiler"
mkdir -p "$scratch/consumer/source/subprojects"
cp "$root/tests/consumers/meson/meson.build" "$scratch/consumer/source"
cp "$root/tests/consumers/whole.cpp" "$scratch/consumer"
ln -s "$root" "$scratch/consumer/source/subprojects/candor"
quietly meson setup --wrap-mode=nodownload "$scratch/consumer/build" "$scratch/consumer/source"
quietly meson compile -C "$scratch/consumer/build"
env -i HOME=/nonexistent "$scratch/consumer/build/consumer"
! ls "$scratch/consumer/build/subprojects/candor/tests" 2>/dev/null || fail "candor's tests are built for a consumer"
