#!/bin/sh
# usage: telemetry_test.sh PROGRAMS, the directory that holds tally and data_plane. What a user of tally sees of its
# telemetry and says about it, and what a data plane is told then.
. "$(dirname -- "$0")/../support/tally.sh"

mkdir data
printf 'one\n' >data/table
start_data_plane
told() { sed -n 's/.*"event":"\([^"]*\)".*/\1/p' received | paste -s -d ' ' -; }
plane=TALLY_RUDDERSTACK_DATA_PLANE_URL=http://127.0.0.1:$port
homes="XDG_CONFIG_HOME=$work/config XDG_STATE_HOME=$work/state"
with="$homes $plane TALLY_USER_ID=user-1 TALLY_TEAM_ID=team-1"
# says JSON: the status of tally as JSON has all that is in JSON.
says() {
    run 0 tally telemetry --json
    python3 - "$work/out" "$1" <<'END' || fail "$ran: does not say $1"
import json, sys
said, wanted = json.load(open(sys.argv[1])), json.loads(sys.argv[2])
sys.exit(0 if said | wanted == said else f"{said}")
END
}

says '{"level": "all", "source": "default", "spooled": 0, "sends": {"analytics": true, "errors": false}}'
says "{\"endpoint\": \"http://127.0.0.1:$port\"}"
run 0 tally telemetry preview
for event in login_success init_started init_completed sync_run_started sync_run_completed; do
    grep -q "\"event\":\"$event\"" out || fail "$ran: lacks $event"
done
[ -z "$(told)" ] || fail "$ran: tells $(told)"
[ ! -e state ] && [ ! -e config ] || fail "looking has left something behind"

run 0 tally telemetry off
prints "Saved: none, in $work/config/tally/telemetry.json."
run 0 tally sync data
[ -z "$(told)" ] || fail "$ran: tells $(told) although the user has said no"
says '{"level": "none", "source": "saved choice", "sends": {"analytics": false, "errors": false}}'
with="$with TALLY_TELEMETRY_LEVEL=errors"
run 0 tally telemetry on
prints "In this environment TALLY_TELEMETRY_LEVEL=errors takes precedence."
with=${with% *}
run 0 tally sync data
[ "$(told)" = "init_started init_completed sync_run_started sync_run_completed" ] || fail "$ran: tells $(told)"

# What is sent is logged where the user wants that, and debugging sends nothing.
: >received
with="$with TALLY_TELEMETRY_LOG=$work/sent.log"
run 0 tally sync data
run 0 tally telemetry log --json
python3 - out received <<'END' || fail "the log has not what the data plane received"
import json, sys
logged = [json.loads(request["body"]) for request in json.load(open(sys.argv[1]))["requests"]]
names = [message["event"] for request in logged for message in request["batch"]]
received = [json.loads(line)["event"] for line in open(sys.argv[2])]
sys.exit(0 if names == received and len(names) == 4 else f"{names} {received}")
END
[ "$(stat -c %a sent.log)" = 600 ] || fail "others can read the log"
with=${with% *}
: >received
with="$with TALLY_TELEMETRY_DEBUG=1"
run 0 tally sync data
complains '"event": "sync_run_completed"'
[ -z "$(told)" ] || fail "$ran: tells $(told)"
with=${with% *}
run 0 tally telemetry
grep -q '^  last delivered 20' out || fail "$ran: does not know of the last delivery"

# What waits is seen, and goes with the consent.
kill "$server"
wait "$server" || fail "the data plane does not end well"
server=
run 0 tally sync data
says '{"level": "all", "spooled": 4}'
run 0 tally telemetry purge
says '{"level": "all", "spooled": 0}'
run 0 tally sync data
says '{"spooled": 4}'
run 0 tally telemetry level errors
says '{"level": "errors", "spooled": 0}'

run 2 tally telemetry level loud
complains "level takes one of none, errors, stats, all, not loud"
[ ! -s out ] || fail "$ran: prints on standard output"
says '{"level": "errors"}'
run 2 tally telemetry sync
complains "usage: telemetry"
run 0 tally telemetry catalog
prints '# What tally can send'
exit $failed
