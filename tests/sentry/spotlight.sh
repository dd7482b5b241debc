# A server of Sentry's protocol understands what candor sends, as it understands Sentry's own SDK.
. "$(dirname -- "$0")/../support/proof.sh"
install_npm_packages sentry/spotlight
# shellcheck disable=SC2086  # a list of flags
compile -o "$scratch/report" "$root/tests/sentry/spotlight/report.cpp" $libraries
cd "$packages"
# In a network of its own, where there is nothing but loopback: Spotlight reports on itself otherwise.
if [ "$(id -u)" -eq 0 ]; then set -- --net; else set -- --net --map-root-user; fi
unshare "$@" true || skip "no network namespace can be made"
unshare "$@" sh -c 'ip link set lo up && exec node compare.mjs "$1"' - "$scratch/report"
