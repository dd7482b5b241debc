#!/bin/sh
# usage: notice_test.sh PROGRAMS, the directory that holds tally and data_plane. What a person at a terminal is told of
# tally's telemetry before anything is sent, on terminals that this script makes.
. "$(dirname -- "$0")/../support/tally.sh"

# usage: terminals N COMMAND...: runs N copies of it at once, each with standard error on a terminal of its own, prints
# what each terminal was shown and ends as the first one that fails.
cat >terminals <<'END'
import os, pty, subprocess, sys

runs = []
for _ in range(int(sys.argv[1])):
    ours, theirs = pty.openpty()
    runs.append((subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs), ours))
    os.close(theirs)
status = 0
for process, terminal in runs:
    shown = b""
    while True:
        try:
            some = os.read(terminal, 4096)
        except OSError:  # nobody holds the other side any more
            break
        if not some:
            break
        shown += some
    status = status or process.wait()
    sys.stdout.buffer.write(shown.replace(b"\r\n", b"\n"))
sys.exit(status)
END
copies=1
# shellcheck disable=SC2086  # a list of assignments without spaces
at_terminal() { env -i PATH="$PATH" HOME=/nonexistent $with python3 "$work/terminals" $copies "$programs/tally" "$@"; }
notices() { grep -cx 'To turn it off: tally telemetry off, or set TALLY_TELEMETRY_LEVEL=none or DO_NOT_TRACK=1' out || :; }
# tells NUMBER: so many notices were shown.
tells() { [ "$(notices)" -eq "$1" ] || { fail "$ran, with $with: $(notices) notices and not $1"; cat out err; }; }

mkdir data
printf 'one\n' >data/table
start_data_plane
told() { sed -n 's/.*"event":"\([^"]*\)".*/\1/p' received | paste -s -d ' ' -; }
sync="init_started init_completed sync_run_started sync_run_completed"
base="TALLY_RUDDERSTACK_DATA_PLANE_URL=http://127.0.0.1:$port TALLY_USER_ID=user-1 TALLY_TEAM_ID=team-1"
# newcomer NAME: whoever runs tally from now on has never run it.
newcomer() {
    home="XDG_CONFIG_HOME=$work/$1/config XDG_STATE_HOME=$work/$1/state"
    with="$base $home"
    marker=$work/$1/state/tally/telemetry-notice
    : >received
}

newcomer first
run 0 at_terminal sync data --verbose
tells 1
prints "tally sends usage events, errors and crash reports to its developers."
prints "Nothing is sent in this run."
prints "tally: telemetry level none: the notice was shown in this run; the next one sends"
[ -z "$(told)" ] || fail "$ran: tells $(told) on the run that shows the notice"
[ "$(find first -mindepth 1 | sort | paste -s -d ' ' -)" = "first/state first/state/tally first/state/tally/telemetry-notice" ] ||
    fail "$ran: leaves $(find first)"
run 0 at_terminal sync data
tells 0
[ "$(told)" = "$sync" ] || fail "$ran: tells $(told) on the second run"

# Not shown, nothing kept, and sent or not as without it.
spares() {
    tells 0
    [ ! -e "$marker" ] || fail "$ran, with $with: says that the notice was shown"
    [ "$(told)" = "$1" ] || fail "$ran, with $with: tells $(told)"
}
newcomer pipe
run 0 tally sync data
spares "$sync"
silent
newcomer ci
with="$with CI=true"
run 0 at_terminal sync data
spares "$sync"
newcomer silent
with="$with DO_NOT_TRACK=1"
run 0 at_terminal sync data
spares ""
newcomer flag
run 0 at_terminal --telemetry-level=stats sync data
spares "$sync"
newcomer looking
run 0 at_terminal telemetry status
spares ""
# shellcheck disable=SC2086  # a list of assignments without spaces
env -i PATH="$PATH" HOME=/nonexistent $with "$programs/tally" telemetry status >piped
# shellcheck disable=SC2086
env -i PATH="$PATH" HOME=/nonexistent $with python3 -c 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]))' \
    "$programs/tally" telemetry status </dev/null | tr -d '\r' >shown
[ -s piped ] && cmp -s piped shown || fail "status says something else on a terminal"
run 0 at_terminal --help
spares ""

newcomer login
run 0 at_terminal login
tells 1
[ -z "$(told)" ] || fail "$ran: tells $(told) on the run that shows the notice"

# Where it cannot be recorded that it was shown.
newcomer forgetful
printf 'a file\n' >forgetful
for _ in 1 2; do
    run 0 at_terminal sync data
    tells 1
    prints "This notice will appear again, because it cannot be recorded that you have seen it: $marker cannot be created: Not a directory"
    [ -z "$(told)" ] || fail "$ran: tells $(told) on a run that shows the notice"
done

# Two first runs at once.
copies=2
round=0
while [ $round -lt 20 ]; do
    round=$((round + 1))
    newcomer "twins$round"
    run 0 at_terminal sync data
    tells 1
    [ "$(told)" = "$sync" ] || fail "$ran: tells $(told), and one of two runs shows the notice"
done
exit $failed
