# row 48: what is sent at the end of a program arrives once and is not stored as well, over http and https, however long
# telemetry, cpp-httplib's own objects and OpenSSL live.
. "$(dirname -- "$0")/../support/proof.sh"

# shellcheck disable=SC2086  # a list of flags
compile -o "$scratch/exit_order" "$root/tests/root/exit_order.cpp" $libraries
mkdir "$scratch/home"
"$scratch/exit_order" serve "$scratch/server" >>"$scratch/received" &
server=$!
trap 'kill "$server"; rm -rf "$scratch"' EXIT
while [ ! -s "$scratch/server" ]; do kill -0 "$server" || fail "the server ended"; done
read -r plain secure authority <"$scratch/server"

for url in "http://127.0.0.1:$plain" "https://127.0.0.1:$secure"; do
    for way in global function_static leaked exit quick_exit; do
        : >"$scratch/received"
        global=
        [ $way != global ] || global=EXIT_ORDER_GLOBAL=$url
        # shellcheck disable=SC2086  # nothing or one word
        env -i PATH="$PATH" HOME="$scratch/home" SSL_CERT_FILE="$authority" $global timeout 60 "$scratch/exit_order" \
            $way "$url" >"$scratch/out" 2>&1 || fail "$way with $url ended with $?: $(cat "$scratch/out")"
        [ ! -s "$scratch/out" ] || fail "$way with $url: $(cat "$scratch/out")"
        for when in before "at the end"; do
            count=$(grep -c "\"when\":\"$when\"" "$scratch/received" || :)
            [ "$count" -eq 1 ] || fail "$way with $url: what was tracked $when arrived $count times"
        done
        [ -z "$(find "$scratch/home" -name '*.spool')" ] || fail "$way with $url: something is stored"
    done
done
