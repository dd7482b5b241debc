# row 47: a library with candor in it may be unloaded at any moment: while a name is resolved, a request is under way or a
# callback runs, after shutdown, with the handlers of crashes installed. Whatever the program does then does not crash.
. "$(dirname -- "$0")/../support/proof.sh"

# GCC's way of having an inline variable once in a process keeps each library loaded for ever.
unloadable=
! compile -fno-gnu-unique -c -x c++ -o "$scratch/nothing.o" /dev/null 2>/dev/null || unloadable=-fno-gnu-unique
# shellcheck disable=SC2086  # lists of flags
compile -shared -fPIC $unloadable -o "$scratch/library.so" "$root/tests/root/unload_library.cpp" $libraries
compile -o "$scratch/unload" "$root/tests/root/unload.cpp" -ldl
mkdir "$scratch/home"
# What it leaves in memory is no leak to be told of: nobody is there any more who could give it back.
env -i PATH="$PATH" HOME="$scratch/home" ASAN_OPTIONS=detect_leaks=0 \
    TSAN_OPTIONS=atexit_sleep_ms=50 timeout 120 "$scratch/unload" "$scratch/library.so"
