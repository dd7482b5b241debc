# At level `none` tally makes no thread and no socket and opens no file for telemetry but the saved choice, by strace. The
# same watch sees all of these at level `all`, so it is not blind.
. "$(dirname -- "$0")/../support/proof.sh"
command -v strace >/dev/null || skip "there is no strace"
strace -o /dev/null true 2>/dev/null || skip "strace may not trace here"

# A tally without sanitizers, whose runtimes have threads of their own.
# shellcheck disable=SC2086  # a list of flags
compile -o "$scratch/tally" "$root/tests/examples/tally.cpp" $libraries
mkdir -p "$scratch/tables" "$scratch/home/.config/tally"
printf 'one\ntwo\n' >"$scratch/tables/table"

# watch NAME=VALUE... -- ARGS...: runs tally; what it did is in $scratch/trace.
watch() {
    rm -f "$scratch/trace"
    variables=
    while [ "$1" != -- ]; do
        variables="$variables $1"
        shift
    done
    shift
    # shellcheck disable=SC2086  # a list of assignments
    env -i PATH="$PATH" HOME="$scratch/home" TALLY_RUDDERSTACK_DATA_PLANE_URL=http://127.0.0.1:1 TALLY_USER_ID=u \
        TALLY_TEAM_ID=t $variables strace -f -qq -o "$scratch/trace" \
        -e trace="?clone,?clone3,?fork,?vfork,socket,connect,getrandom,?open,openat,?openat2,?creat,?mkdir,mkdirat" \
        "$scratch/tally" "$@" >"$scratch/out" 2>"$scratch/err" || fail "tally $* failed: $(cat "$scratch/err")"
    grep -q table "$scratch/out" || fail "tally $* did not do its work"
}

threads() { grep -E '(clone3?|v?fork)\(' "$scratch/trace"; }
sockets() { grep -E '(socket|connect)\(' "$scratch/trace"; }
# An id takes 16 bytes of randomness; glibc asks for fewer, for its own use.
ids() { grep -E 'getrandom\(.*, (1[6-9]|[2-9][0-9]|[0-9]{3,}), ' "$scratch/trace"; }
# The only files that anyone keeps in this home are telemetry's.
files() { grep -F "\"$scratch/home/" "$scratch/trace" || grep -E '"[^"]*telemetry' "$scratch/trace"; }

silent() {
    for what in threads sockets ids; do
        ! $what || fail "at level none ($1) tally makes $what"
    done
}

watch -- --telemetry-level=none sync "$scratch/tables"
silent "by the flag"
! files || fail "at level none by the flag tally opens files for telemetry"

for variable in TALLY_TELEMETRY_LEVEL=none TALLY_NO_TELEMETRY=1 DO_NOT_TRACK=1; do
    watch $variable -- sync "$scratch/tables"
    silent "by $variable"
    ! files || fail "at level none by $variable tally opens files for telemetry"
done

printf '{"level":"none"}' >"$scratch/home/.config/tally/telemetry.json"
watch -- sync "$scratch/tables"
silent "by the saved choice"
! files | grep -v "\"$scratch/home/.config/tally/telemetry.json\", O_RDONLY" ||
    fail "at level none by the saved choice tally opens more than the choice"

# Workers report to tally itself, and so they do at level `none`; but that leads nowhere else.
watch -- --telemetry-level=none sync --jobs=2 --metrics="$scratch/metrics" "$scratch/tables"
grep -q '^| table  *| worker 1 ' "$scratch/metrics" || fail "at level none the workers do not report"
sockets | grep -q 'connect(' || fail "no connection of a worker is seen: the watch is blind"
! sockets | grep 'connect(' | grep -vF 'inet_addr("127.0.0.1")' || fail "at level none a worker's report leaves the machine"
! sockets | grep -F 'sin_port=htons(1)' || fail "at level none tally with workers goes to the data plane"
! files || fail "at level none tally with workers opens files for telemetry"

watch -- --telemetry-level=all sync "$scratch/tables"
threads >/dev/null || fail "at level all no thread is seen: the watch is blind"
sockets >/dev/null || fail "at level all no socket is seen: the watch is blind"
ids >/dev/null || fail "at level all no id is seen: the watch is blind"
files >/dev/null || fail "at level all no file is seen: the watch is blind"
