# Senders that others wrote report to candor's receiver, and its table then has exactly the right numbers: the
# OpenTelemetry SDK of JavaScript in every way it can be set up, and the OTLP exporter of OpenTelemetry's Rust libraries
# as Deno has it built in. No sender with an OTLP exporter of metrics is packaged in Debian 12.
. "$(dirname -- "$0")/../support/proof.sh"
install_npm_packages otlp/senders
cd "$packages"
export LC_ALL=C NO_COLOR=1 OTEL_METRIC_EXPORT_INTERVAL=20

# shellcheck disable=SC2086  # a list of flags
compile -o "$scratch/receive" "$root/tests/otlp/receive.cpp" $libraries
mkfifo "$scratch/input" "$scratch/output"

# gives WHAT COMMAND...: runs the sender COMMAND against a new receiver, which must have the expected rows then.
gives() {
    what=$1
    shift
    "$scratch/receive" <"$scratch/input" >"$scratch/output" &
    receiver=$!
    exec 3>"$scratch/input" 4<"$scratch/output"
    read -r endpoint <&4 || fail "the receiver did not start"
    quietly env "OTEL_EXPORTER_OTLP_ENDPOINT=http://$endpoint" "$@" 3>&- 4<&-
    exec 3>&-
    sort <&4 >"$scratch/rows"
    exec 4<&-
    wait "$receiver" || fail "the receiver failed after $what"
    sort "$root/tests/otlp/senders/expected" | diff -u - "$scratch/rows" || fail "wrong rows of $what"
    printf 'right: %s\n' "$what"
}

compressions=none
case $compile in *CPPHTTPLIB_ZLIB_SUPPORT*) compressions="none gzip" ;; esac
for temporality in cumulative delta; do
    for encoding in proto json; do
        for compression in $compressions; do
            gives "JavaScript, $temporality, $encoding, compression $compression" \
                env OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=$temporality \
                OTEL_EXPORTER_OTLP_COMPRESSION=$compression node sdk.mjs $encoding
        done
    done
done

deno=
for program in node_modules/@deno/*/deno; do
    if "$program" --version >"$scratch/log" 2>&1; then deno=$program; fi
done
if [ -z "$deno" ]; then
    printf 'not tested: there is no Deno for this machine\n'
    exit 0
fi
for temporality in cumulative delta; do
    for protocol in http/protobuf http/json; do
        gives "Rust, $temporality, $protocol" env OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=$temporality \
            OTEL_EXPORTER_OTLP_PROTOCOL=$protocol OTEL_DENO=true DENO_DIR="$scratch/deno" \
            "$deno" run --quiet --allow-env deno.mjs
    done
done
