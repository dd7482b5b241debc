# row 29: however a program ends, that takes at most its `shutdown_timeout` and what is undelivered waits in the spool,
# where the network refuses and where it never answers. A later run delivers all of it, each event once.
# row 30: an event that comes after `shutdown()`, from a static object's destructor, is answered `closed`.
. "$(dirname -- "$0")/../support/proof.sh"

# shellcheck disable=SC2086  # a list of flags
compile -o "$scratch/exits" "$root/tests/root/exits.cpp" $libraries
mkdir "$scratch/home"
spool=$scratch/home/.local/state/exits/telemetry
ways="destructor exit quick_exit static late sigwait flag during_flush in_child"
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$scratch"' EXIT

# ends WAY URL: within 10 s on a busy machine, where the timeout is 0.3 and that of a request a minute. As if no run
# before it had failed.
ends() {
    rm -f "$spool"/*.breaker
    env -i PATH="$PATH" HOME="$scratch/home" timeout 10 "$scratch/exits" "$1" "$2" >"$scratch/out" 2>&1 ||
        fail "$1 with $2 ended with $?: $(cat "$scratch/out")"
}

# serve FILE COMMAND...: starts a server and waits until it has written its port to FILE.
serve() {
    file=$1
    shift
    "$@" &
    server=$!
    while [ ! -s "$file" ]; do kill -0 "$server" || fail "the server ended"; done
}

stop() {
    kill "$server"
    wait "$server" || :
    server=
}

# A server that takes connections and never answers, and a port that nobody listens on.
serve "$scratch/port" python3 -c '
import pathlib, signal, socket, sys
silent = socket.create_server(("127.0.0.1", 0), backlog=100)
refusing = socket.create_server(("127.0.0.1", 0))
port = refusing.getsockname()[1]
refusing.close()
pathlib.Path(sys.argv[1] + ".refusing").write_text(str(port))
pathlib.Path(sys.argv[1]).write_text(str(silent.getsockname()[1]))
signal.pause()' "$scratch/port"
refusing=$(cat "$scratch/port.refusing")

count=0
for port in "$refusing" "$(cat "$scratch/port")"; do
    for way in $ways; do
        ends "$way" "http://127.0.0.1:$port"
        count=$((count + 1))
        [ "$(find "$spool" -name '*.spool' | wc -l)" -eq $count ] || fail "$way leaves nothing in the spool"
        [ "$way" != late ] || grep -qx 'late: closed' "$scratch/out" || fail "a late event is not answered closed"
    done
done
stop
[ "$(find "$spool" -type f ! -name '*.spool' ! -name '*.breaker' ! -name '*-last.delivered' | wc -l)" -eq 0 ] || fail "something half-written is left"

rm "$scratch/port"
serve "$scratch/port" "$programs/data_plane" --port "$refusing" --port-file "$scratch/port" --print >"$scratch/received" \
    2>"$scratch/log"
ends destructor "http://127.0.0.1:$refusing"
stop
for way in $ways; do
    wanted=1
    [ "$way" != destructor ] || wanted=2 # and the fresh one
    [ "$(grep -c "\"way\":\"$way\"" "$scratch/received")" -eq $wanted ] || fail "of $way $wanted did not arrive"
done
[ "$(find "$spool" -name '*.spool' | wc -l)" -eq $((count / 2)) ] || fail "more was sent than to the server that is there"
