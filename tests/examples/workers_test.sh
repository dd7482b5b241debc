#!/bin/sh
# usage: workers_test.sh PROGRAMS, the directory that holds tally and data_plane. tally with worker processes gives what it
# gives without, keeps the metrics file, and outlives what happens to a worker; no worker outlives it.
. "$(dirname -- "$0")/../support/tally.sh"

# until_true SECONDS COMMAND: runs it until it succeeds; fails where it does not in that time.
until_true() {
    timeout "$1" sh -c "until { $2; } 2>/dev/null; do :; done" || fail "not within $1 s: $2"
}
# metrics FILE: rows and names, as tally prints them, from a metrics file, whose borders must be whole.
metrics() {
    awk -F' *[|] *' 'NR > 1 { printf "%12d  %s\n", $7, $2 }' "$1" | sort -k2
    ! grep -v '^|.*|$' "$1" || fail "$1: not whole"
}
tables() { sed '1d; /^$/,$d' "$1" | sort -k2; }

# --- usage

mkdir plain
for jobs in 0 -1 x 65 1x 99999999999999999999 1.5 '' "$(printf '1\n2')"; do
    usage sync plain --jobs "$jobs"
    usage sync "--jobs=$jobs" plain
done
complains "tally: --jobs takes a number from 1 to 64, not '1\\x0a2'"
usage sync plain --jobs && complains "--jobs needs a value"
usage sync plain --metrics && complains "--metrics needs a value"
usage sync plain --metrics-interval=0 && complains "--metrics-interval takes a number from 1 to 3600000, not '0'"
usage sync plain --rows-per-second=none && complains "--rows-per-second takes a number from 1 to 1000000000, not 'none'"
usage login --jobs 2 && complains "only sync has workers"
run 0 tally sync --jobs 2 plain
sums "0 tables, 0 rows, 0 errors, 0 skipped"
silent
run 1 tally sync --metrics=nowhere/metrics plain
complains "nowhere/metrics"
run 1 tally sync nowhere --jobs 2
complains "tally: cannot read nowhere: No such file or directory"
run 1 tally worker 1 0 </dev/null
complains "tally: 1: "

# --- as without workers

mkdir -p data/sub/deeper other
printf 'one\ntwo\n' >data/two
printf 'one\ntwo' >data/no-newline-at-the-end
: >data/empty
printf 'a\0b\nc' >data/sub/binary
printf 'x' >"data/sub/deeper/a name with spaces"
printf '1\n2\n3' >"data/sub/emoji 🙂 表"
awk 'BEGIN { for (i = 0; i < 200001; i++) print "line", i }' >data/sub/many # larger than a block
ln -s ../other data/link
i=0
while [ $i -lt 40 ]; do
    i=$((i + 1))
    printf '%040d\n%040d\n' $i $i | head -c $((i * 2)) >"data/sub/small-$i"
done
run 0 tally sync data
cp out alone
for jobs in 1 2 7 64; do
    run 0 tally sync data --jobs $jobs --metrics "metrics-$jobs"
    sed '$d' alone >wanted
    sed '$d' out | cmp -s - wanted || { fail "$ran: gives another table"; cat out; }
    sums "$(sed -n 's/, [0-9]* ms$//p' alone)"
    silent
    tables out >wanted
    metrics "metrics-$jobs" >rows
    cmp -s rows wanted || { fail "$ran: the metrics file has other rows"; cat "metrics-$jobs"; }
    ! grep -q ' N/A ' "metrics-$jobs" || fail "$ran: a table has not ended in the metrics file"
done
grep -q '| worker 7 ' metrics-7 || fail "no worker 7 in the metrics file"
[ "$(stat -c %a metrics-7)" = 600 ] || fail "the metrics file is open to others"
run 0 tally sync data --metrics metrics
[ "$(grep -c '| worker 1 ' metrics)" -eq "$(tables alone | wc -l)" ] || fail "without --jobs there is not one worker"
run 0 tally sync data --exclude=sub --metrics=metrics # from a long file to a short one
tables out >wanted
metrics metrics | cmp -s - wanted || { fail "$ran: the metrics file has other rows"; cat metrics; }
(
    cd "$programs"
    run 0 env -i PATH="$programs" tally sync --jobs=2 "$work/other"
    run 0 ./tally sync --jobs=2 "$work/data"
    sums "$(sed -n 's/, [0-9]* ms$//p' "$work/alone")"
    exit $failed
) || failed=1

# Names that are no text, or not one line of it.
mkdir names
printf '1' >"names/$(printf 'new\nline')"
printf '1\n2' >"names/$(printf 'red\033[31m')"
printf '1\n2\n3' >"names/$(printf 'latin \374')"
printf '1\n2\n3\n4' >"names/$(printf 'latin \344')"
printf '1\n2\n3\n4\n5' >"names/$(printf 'latin \357\277\275')"
printf '1' >"names/$(awk 'BEGIN { while (n++ < 250) printf "n" }')"
run 0 tally sync names
sed '$d' out >wanted
run 0 tally sync names --jobs 2 --metrics metrics
sed '$d' out | cmp -s - wanted || { fail "$ran: gives another table"; cat out; }
[ "$(wc -l <metrics)" -eq 7 ] || fail "$ran: not six rows in the metrics file"
[ "$(LC_ALL=C tr -d '\n -~\200-\377' <metrics | wc -c)" -eq 0 ] || fail "$ran: control characters in the metrics file"

# What cannot be read is an error of a sync that is done.
printf 'secret\n' >data/locked
printf 'secret\n' >data/sub/locked
mkdir data/closed
if locks data/locked data/sub/locked data/closed; then
    run 0 limited sync data
    cp out alone
    cp err alone.err
    run 0 limited sync data --jobs 3 --metrics metrics
    sed '$d' alone >wanted
    sed '$d' out | cmp -s - wanted || { fail "$ran: gives another table"; cat out; }
    sums "$(sed -n 's/, [0-9]* ms$//p' alone)"
    cmp -s err alone.err || { fail "$ran: complains of other things"; cat err; }
    [ "$(awk -F' *[|] *' 'NR > 1 { errors += $8 } END { print errors }' metrics)" -eq 2 ] ||
        { fail "$ran: not two errors in the metrics file"; cat metrics; }
fi
chmod 700 data/closed

# --- workers that are lost

mkdir slow
awk 'BEGIN { for (i = 0; i < 1000; i++) print i }' >slow/1-slow
printf '1\n' >slow/2
printf '1\n' >slow/3
printf '1\n2\n' >slow/4
with="TALLY_RUDDERSTACK_DATA_PLANE_URL=http://127.0.0.1:1 TALLY_USER_ID=user-1 TALLY_TEAM_ID=team-1"

# start ARGS...: a sync in the background whose first worker is busy for long; `tally` is its process, and `ended` a FIFO
# that ends when it and all of its workers have. Returns when both workers have reported.
start() {
    rm -f metrics ended
    mkfifo ended
    # shellcheck disable=SC2086  # a list of assignments without spaces
    env -i PATH="$PATH" HOME=/nonexistent $with "$programs/tally" sync slow --jobs 2 --metrics metrics \
        --metrics-interval=1 --rows-per-second=10 "$@" >out 2>err 9>ended &
    tally=$!
    exec 8<ended
    until_true 60 "grep -q '^| 1-slow  *| worker 1 .* N/A ' metrics && grep -q '^| 4 .* 2 |' metrics"
}
# worker NUMBER: its process.
worker() {
    for process in $(cat "/proc/$tally/task/$tally/children"); do
        ! tr '\0' ' ' <"/proc/$process/cmdline" | grep -q " worker worker $1 " || echo "$process"
    done
}
all_end() {
    timeout 60 cat <&8 || fail "$1: a worker still runs"
    exec 8<&-
}

if [ -e "/proc/$$/task/$$/children" ]; then
    start --verbose
    first=$(worker 1)
    # Its standard input, a connection to the receiver, and nothing of its parent's or of the other worker's.
    [ "$(find "/proc/$first/fd" -lname 'socket:*' | wc -l)" -eq 2 ] || {
        fail "a worker has sockets that it did not open"
        ls -l "/proc/$first/fd"
    }
    kill -KILL "$first"
    status=0
    wait "$tally" || status=$?
    ran="a sync whose worker was killed"
    [ $status -eq 1 ] || fail "$ran: ended with $status and not 1"
    all_end "$ran"
    sums "2 tables, 3 rows, 3 errors, 0 skipped"
    complains "tally: 1-slow: not counted"
    complains "tally: 3: not counted"
    complains "tally: worker 1: ended by signal 9"
    [ "$(grep -c '^tally: [^t]' err)" -eq 3 ] || { fail "$ran: complains of more"; cat err; }
    metrics metrics >/dev/null
    grep -q '^| 1-slow  *| worker 1 .* N/A ' metrics || fail "$ran: the metrics file says that it ended"

    # Nothing is left when tally dies, not even of a worker that waits.
    start
    kill -KILL "$tally"
    wait "$tally" || :
    all_end "a sync that was killed"
    metrics metrics >/dev/null
else
    printf 'not tested: this system does not list the children of a process\n'
fi
with=

# --- progress on a terminal

if script -qec "env --default-signal=INT true" /dev/null </dev/null >/dev/null 2>&1; then
    # on_terminal ARGS...: tally's standard output and error are a terminal's.
    on_terminal() {
        script -qec "TERM=xterm DO_NOT_TRACK=1 exec env --default-signal=INT '$programs/tally' $*" /dev/null
    }
    screen=$(printf '\r\033\\[K') # as a pattern
    run 0 on_terminal sync slow --jobs 3 --rows-per-second=2000 </dev/null
    grep -q "$screen[0-9] of 4 tables, [0-9]* rows, [0-9] running$screen" out ||
        { fail "$ran: no progress"; cat -v out; }
    tr '\n' '~' <out | grep -q "$screen        rows  table" || { fail "$ran: the line stays"; cat -v out; }
    run 0 on_terminal sync slow --jobs 3 --rows-per-second=2000 "2>err.file" </dev/null
    [ ! -s err.file ] || fail "$ran: progress in a file"
    run 0 on_terminal sync slow </dev/null
    ! grep -q "$screen" out || fail "$ran: progress without workers"

    # Control-C ends the workers too.
    rm -f ended keys
    mkfifo ended keys
    on_terminal sync slow --jobs 2 --rows-per-second=10 <keys >out 9>ended &
    terminal=$!
    exec 7>keys 8<ended
    until_true 60 "grep -q 'of 4 tables' out"
    printf '\003' >&7
    status=0
    wait $terminal || status=$?
    exec 7>&-
    all_end "control-C"
    [ $status -eq 130 ] || fail "control-C: ended with $status"
else
    printf 'not tested: there is no script(1) that makes a terminal\n'
fi
exit $failed
