# A shared library without candor may be unloaded after what it threw was captured: with an exception of its own, one that
# an inline class or the C++ runtime has but whose destructor is the library's, and one that lies within another.
. "$(dirname -- "$0")/../support/proof.sh"

# GCC's way of having an inline variable once in a process keeps each library loaded for ever. The program exports its
# classes, and the library's use them, but for their functions.
unloadable=
! compile -fno-gnu-unique -c -x c++ -o "$scratch/nothing.o" /dev/null 2>/dev/null || unloadable=-fno-gnu-unique
compile -shared -fPIC $unloadable -fvisibility-inlines-hidden -o "$scratch/library.so" "$root/tests/sentry/unload_library.cpp"
compile -rdynamic -o "$scratch/unload" "$root/tests/sentry/unload.cpp" -ldl
for way in own value shared made optional nested outer runtime; do
    for end in next shutdown destroy; do
        env -i PATH="$PATH" HOME="$scratch" timeout 60 "$scratch/unload" "$scratch/library.so" "$way" "$end" ||
            fail "an exception ($way) of an unloaded library, then $end: status $?"
    done
done
