#!/bin/sh
# usage: tally_test.sh PROGRAMS, the directory that holds tally and data_plane. What tally prints, how it ends and what it
# tells a data plane.
. "$(dirname -- "$0")/../support/tally.sh"

# --- usage

run 0 tally --help
prints "Each regular file is a table, each line a row. Links are not followed."
silent
run 0 tally --version
prints "tally 1.0.0"
silent
mkdir plain
usage && complains "no command given"
usage sync && complains "sync needs a directory"
usage sync "" && complains "sync needs a directory"
usage sync plain plain && complains "one argument too many: plain"
usage login plain && complains "one argument too many: plain"
usage count plain && complains "unknown command count"
usage sync --colour plain && complains "unknown option --colour"
usage sync -x plain && complains "unknown option -x"
usage sync --exclude= plain && complains "--exclude needs a value"
usage sync plain --exclude && complains "--exclude needs a value"
usage sync --verbose=1 plain && complains "unknown option --verbose=1"
usage "$(printf 'a\033[31m')" && complains 'unknown command a\x1b[31m'
for level in --telemetry-level=loud "--telemetry-level loud" --telemetry-level= --telemetry-level=ALL; do
    # shellcheck disable=SC2086  # two arguments in one case
    usage sync $level plain && complains "none, errors, stats, all"
done
usage sync plain --telemetry-level && complains "none, errors, stats, all"
with=TALLY_TELEMETRY_LEVEL=loud
usage sync plain && complains "TALLY_TELEMETRY_LEVEL"
with=TALLY_NO_TELEMETRY=1
run 0 tally sync plain
complains "TALLY_NO_TELEMETRY is deprecated"
with=

# --- tables and rows

mkdir -p data/sub/deeper data/.hidden other
printf 'one\ntwo\n' >data/two
printf 'one\ntwo' >data/no-newline-at-the-end
: >data/empty
printf '\n\n\n' >data/.hidden/three
printf 'a\0b\nc' >data/sub/binary
printf 'x' >"data/sub/deeper/a name with spaces"
awk 'BEGIN { for (i = 0; i < 200001; i++) print "line", i }' >data/sub/many # larger than a block
awk 'BEGIN { while (n++ < 600000) printf "y" }' >data/sub/one-long-line
printf 'outside\n' >other/file
ln -s ../other/file data/link-to-file
ln -s ../other data/link-to-directory
ln -s . data/sub/link-to-itself
ln -s nowhere data/link-to-nothing
mkfifo data/pipe
run 0 tally sync data
cat >wanted <<END
        rows  table
           3  .hidden/three
           0  empty
           2  no-newline-at-the-end
           2  sub/binary
           1  sub/deeper/a name with spaces
      200001  sub/many
           1  sub/one-long-line
           2  two

END
sed '$d' out | cmp -s - wanted || { fail "$ran: the table is not right"; cat out; }
sums "8 tables, 200012 rows, 0 errors, 5 skipped"
silent
cp out first
run 0 tally --telemetry-level none sync "$work/data/"
sed '$d' first >wanted
sed '$d' out | cmp -s - wanted || fail "$ran: an absolute path gives another table"
silent
run 0 tally --exclude=sub sync --exclude=.hidden --telemetry-level=none data
sums "3 tables, 4 rows, 0 errors, 4 skipped"
ln -s data link
run 0 tally sync link
sums "8 tables, 200012 rows, 0 errors, 5 skipped"
(
    cd data/sub
    run 0 tally sync deeper
    sums "1 tables, 1 rows, 0 errors, 0 skipped"
    exit $failed
) || failed=1
mkdir ./-x
printf '1\n' >./-x/file
run 0 tally sync -- -x
sums "1 tables, 1 rows, 0 errors, 0 skipped"
run 0 tally sync plain
sums "0 tables, 0 rows, 0 errors, 0 skipped"

mkdir names
printf '1' >"names/$(printf 'new\nline')"
printf '1' >"names/$(printf 'red\033[31m')"
printf '1' >"names/$(printf 'c1\302\233m \303\251')"
run 0 tally sync names
prints '           1  new\x0aline'
prints '           1  red\x1b[31m'
prints "$(printf '           1  c1\302\\x9bm \303\251')"

# --- what cannot be read

run 1 tally sync nowhere
complains "tally: cannot read nowhere: No such file or directory"
[ ! -s out ] || fail "$ran: prints on standard output"
run 1 tally sync data/two
complains "tally: cannot read data/two: Not a directory"
if [ -e /dev/full ]; then
    full() { tally sync data >/dev/full; }
    run 1 full
    complains "tally: cannot write the output"
fi

printf 'secret\n' >data/locked
mkdir data/closed
printf 'secret\n' >data/closed/file
if locks data/locked data/closed; then
    run 0 limited sync data
    sums "8 tables, 200012 rows, 2 errors, 5 skipped"
    complains "tally: locked: Permission denied"
    complains "tally: closed/: Permission denied"
    run 1 limited sync data/closed
    complains "tally: cannot read data/closed: Permission denied"
else
    printf 'not tested: this machine lets nobody be kept from a file\n'
    limited() { tally "$@"; }
    chmod 700 data/closed
    rm -rf data/locked data/closed
fi

# --- what the data plane is told

start_data_plane
requests() { grep -c '^data_plane: POST' log; }
told() { sed 's/.*"event":"\([^"]*\)".*/\1/' received | paste -s -d ' ' -; }
# tells WANTED: the names of the events that came since the last call.
tells() {
    [ "$(told)" = "$1" ] || fail "$ran: tells '$(told)' and not '$1'"
    : >received
}
plane=TALLY_RUDDERSTACK_DATA_PLANE_URL=http://127.0.0.1:$port
user="TALLY_USER_ID=user-1 TALLY_TEAM_ID=team-1"

with="$plane $user"
run 0 limited sync data
complete=$(grep '"event":"sync_run_completed"' received || :)
tells "init_started init_completed sync_run_started sync_run_completed"
errors=$(sed -n 's/.*, \([0-9]*\) errors, .*/\1/p' out)
for property in '"total_rows":200012' "\"errors\":$errors" '"warnings":5' '"status":"success"' \
    '"aborted_due_to_error":false' '"userId":"user-1"' '"team":"team-1"' '"source_path":"tally/files"' \
    '"destination_paths":["tally/terminal"]'; do
    case $complete in
    *"$property"*) ;;
    *) fail "sync_run_completed lacks $property: $complete" ;;
    esac
done
case $complete in
*"$work"* | *locked* | *two*) fail "sync_run_completed names a file: $complete" ;;
esac

run 1 tally sync nowhere
grep -q '"event":"init_completed".*"error":"No such file or directory".*"status":"error"' received ||
    fail "$ran: the failure is not told"
tells "init_started init_completed"
run 0 tally login
prints "logged in as user-1 of the team team-1"
tells "login_success"
run 0 tally login --verbose
complains "tally: telemetry level all: the default, no choice was made"
complains "tally: telemetry: accepted 1, delivered 1, pending 0, spooled 0, dropped 0, refused 0"
tells "login_success"

with=$plane
run 1 tally login
complains "set TALLY_USER_ID and TALLY_TEAM_ID"
tells ""
run 0 tally sync other
tells "init_started init_completed" # a sync is told with an account only

before=$(requests)
for off in TALLY_TELEMETRY_LEVEL=none TALLY_TELEMETRY_LEVEL=errors TALLY_NO_TELEMETRY=1 DO_NOT_TRACK=1; do
    with="$plane $user $off"
    run 0 tally sync other
done
with="$plane $user"
run 0 tally sync other --telemetry-level=none
run 0 tally --telemetry-level none login
with=$user # no data plane, so nothing is sent anywhere
run 0 tally sync other
silent
run 0 tally --verbose sync other
complains "tally: telemetry: no events are sent"
complains "tally: telemetry: no errors are sent"
complains "tally: telemetry: accepted 0, delivered 0,"
tells ""
[ "$before" -eq "$(requests)" ] || fail "a request came although telemetry was off"

# --- what it says of its failures

told_errors() { sed -n 's/^error: //p' received; }
# errors WANTED: how many errors came since the last call, all of tally's release.
errors() {
    [ "$(told_errors | grep -c '^tally@1.0.0: ')" -eq "$1" ] && [ "$(told_errors | wc -l)" -eq "$1" ] || {
        fail "$ran: not $1 errors"
        cat received
    }
}
sentry="TALLY_SENTRY_DSN=http://key@127.0.0.1:$port/7 XDG_STATE_HOME=$work/state"
with=$sentry
run 1 tally sync nowhere
errors 1
told_errors | grep -q 'std::system_error: cannot read the directory: No such file' || fail "$ran: not the right error"
: >received
run 0 tally sync other
errors 0
if locks data/locked data/closed 2>/dev/null; then
    run 0 limited sync data
    errors 1 # for one reason
    told_errors | grep -q 'a file cannot be read: Permission denied' || fail "$ran: not the right error"
    ! grep -q 'locked\|closed' received || fail "$ran: names a file"
    : >received
fi
rm -rf state
for level in none stats; do
    with="$sentry TALLY_TELEMETRY_LEVEL=$level"
    run 1 tally sync nowhere
    run 134 tally crash
    run 0 tally sync other
    errors 0
    [ ! -e state ] || fail "a state directory was made at level $level"
done
with="$sentry TALLY_TELEMETRY_LEVEL=errors"
run 134 tally crash # by SIGABRT
errors 0
run 0 tally sync other
errors 1
told_errors | grep -q 'SIGABRT: Aborted, .*, fatal, not handled$' || fail "$ran: does not report the crash"
: >received
run 0 tally sync other
errors 0
left=$(find state -type f ! -name '*-last.delivered')
[ -z "$left" ] || fail "a record is left: $left"

kill "$server"
wait "$server" || fail "the data plane does not end well"
server=
with="$plane $user" # nobody listens there any more
run 0 tally sync other
sums "1 tables, 1 rows, 0 errors, 0 skipped"
silent
run 0 tally login --verbose
complains "tally: telemetry: accepted 1, delivered 0, pending 0, spooled 0, dropped 1, refused 0"
exit $failed
