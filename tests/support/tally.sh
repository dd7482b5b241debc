# What the scripts that test tally share. They are called with the directory that holds the programs, and work in a
# directory of their own, which goes away with them; so does the process whose number is in `server`.
set -eu
[ $# -eq 1 ] || exit 2
programs=$(CDPATH='' cd -- "$1" && pwd)
work=$(mktemp -d)
server=
finish() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || :
        wait "$server" || :
    fi
    chmod -R u+rwx "$work"
    rm -rf "$work"
}
trap finish EXIT
cd "$work"

failed=0
fail() {
    printf 'FAILED: %s\n' "$*"
    failed=1
}

# run STATUS COMMAND...: what it prints goes to ./out and ./err, and it must end with STATUS.
run() {
    wanted=$1
    shift
    status=0
    "$@" >"$work/out" 2>"$work/err" || status=$?
    ran="$*"
    [ $status -eq "$wanted" ] || {
        fail "$ran: ended with $status and not $wanted"
        cat "$work/out" "$work/err"
    }
}

# tally ARGS...: with nothing in the environment but what a test puts into `with`.
with=
# shellcheck disable=SC2086  # a list of assignments without spaces
tally() {
    env -i PATH="$PATH" HOME=/nonexistent $with "$programs/tally" "$@"
}

prints() { grep -qxF -- "$1" "$work/out" || { fail "$ran: does not print '$1'"; cat "$work/out"; }; }
complains() { grep -qF -- "$1" "$work/err" || { fail "$ran: does not complain of '$1'"; cat "$work/err"; }; }
sums() { sed -n 's/, [0-9]* ms$//p' "$work/out" | grep -qxF -- "$1" || { fail "$ran: the sum is not '$1'"; cat "$work/out"; }; }
silent() { [ ! -s "$work/err" ] || { fail "$ran: complains"; cat "$work/err"; }; }

# usage ARGS...: tally must call them wrong in one line.
usage() {
    run 2 tally "$@"
    [ ! -s out ] || fail "$ran: prints on standard output"
    [ "$(wc -l <err)" -eq 1 ] || fail "$ran: does not complain in one line"
}

# locks PATH...: keeps tally, run as `limited`, from reading them. False where this machine lets nobody be kept from a
# file. The superuser reads everything, unless two of its capabilities are taken away.
locks() {
    unprivileged=
    if [ "$(id -u)" -eq 0 ]; then
        without="-dac_override,-dac_read_search"
        unprivileged="setpriv --bounding-set=$without --inh-caps=$without"
    fi
    chmod 000 "$@"
    # shellcheck disable=SC2086  # a command with its arguments, or nothing
    ! $unprivileged cat "$1" >/dev/null 2>err && grep -qi 'permission denied' err
}
# shellcheck disable=SC2086  # lists of words without spaces
limited() { env -i PATH="$PATH" HOME=/nonexistent $with $unprivileged "$programs/tally" "$@"; }

# start_data_plane: tells ./received what it receives and ./log what it does; `port` is where it listens.
start_data_plane() {
    mkfifo port
    # Holds the FIFO, so that read ends if it dies.
    "$programs/data_plane" --port-file port --print >>received 2>log 4>port &
    server=$!
    read -r port <port || {
        cat log
        exit 1
    }
}
