#!/bin/sh
# usage: demo_test.sh PROGRAMS, the directory that holds tally and data_plane. The demo must end well from any directory,
# two at a time, on this repository and on a directory of the caller's, and must notice when what it says is not true.
set -eu
[ $# -eq 1 ] || exit 2
programs=$(CDPATH='' cd -- "$1" && pwd)
tests=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

failed=0
check() {
    words=$1
    shift
    "$@" || {
        printf 'FAILED: %s\n' "$words"
        failed=1
    }
}

# received FILE: the events that a demo's output shows as JSON.
received() { sed -n 's/^{.*"event":"\([^"]*\)".*}$/\1/p' "$1" | paste -s -d ' ' -; }
five="login_success init_started init_completed sync_run_started sync_run_completed"

mkdir "$work/a directory"
printf 'one\ntwo' >"$work/a directory/file"
cd "$work"

# Nothing that the caller has set may reach the tally of the demo.
export DO_NOT_TRACK=1 TALLY_TELEMETRY_LEVEL=none http_proxy=http://127.0.0.1:1
export CANDOR_EXAMPLES="$programs"
sh "$tests/demo" >repository 2>&1 &
first=$!
status=0
sh "$tests/demo" "a directory" >directory 2>&1 || status=$?
check "the demo on a directory ends with 0, not $status" [ $status -eq 0 ]
status=0
wait "$first" || status=$?
check "the demo on the repository ends with 0, not $status" [ $status -eq 0 ]
for output in repository directory; do
    check "the demo on the $output shows the five events" [ "$(received $output)" = "$five" ]
    check "the demo on the $output says nothing false" [ "$(grep -c '^FALSE' $output)" -eq 0 ]
    check "the demo on the $output gives the level and its reason" \
        grep -qx 'tally: telemetry level all: the default, no choice was made' $output
    check "the demo on the $output gives the statistics" \
        grep -q '^tally: telemetry: accepted 4, delivered 4, pending 0,' $output
    check "the demo on the $output ran at none" grep -q '^tally: telemetry level none: --telemetry-level=none' $output
    check "the demo on the $output shows the metrics file while it fills and at the end" \
        [ "$(grep -c '^| Table  *| Client ID ' $output)" -eq 3 ]
done
check "the two rows of the directory arrived" grep -q '"total_rows":2[,}]' directory

# A tally that sends although it was told not to, one that sends nothing, and one that keeps no metrics file while it
# runs.
mkdir liar mute late
for program in liar mute late; do cp "$programs/data_plane" $program; done
cat >liar/tally <<END
#!/bin/sh
for argument; do
    shift
    [ "\$argument" = --telemetry-level=none ] || set -- "\$@" "\$argument"
done
exec "$programs/tally" "\$@"
END
cat >mute/tally <<END
#!/bin/sh
exec "$programs/tally" --telemetry-level=none "\$@"
END
cat >late/tally <<END
#!/bin/sh
for argument; do
    shift
    [ "\$argument" = --metrics-interval=20 ] || set -- "\$@" "\$argument"
done
exec "$programs/tally" "\$@"
END
chmod +x liar/tally mute/tally late/tally
for program in liar mute late; do
    status=0
    CANDOR_EXAMPLES=$work/$program sh "$tests/demo" "a directory" >$program.out 2>&1 || status=$?
    check "the demo of a tally that is $program fails" [ $status -eq 1 ]
    check "it says what is false" grep -q '^FALSE' $program.out
done

status=0
sh "$tests/demo" "no such directory" >missing.out 2>&1 || status=$?
check "the demo on no directory fails" [ $status -eq 1 ]

if [ $failed -ne 0 ]; then
    for output in repository directory *.out; do
        printf '\n--- %s\n' "$output"
        cat "$output"
    done
fi
exit $failed
