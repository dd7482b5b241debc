# What a header brings with it: the core does not reach httplib.h, nor the light headers <thread>, so that a program pays
# only for what it uses. (That each compiles alone is shown by its test, which includes it first.)
. "$(dirname -- "$0")/../support/proof.sh"

case $compile in
*single_header*) exit 0 ;; # one file reaches everything
esac

# reaches PATTERN HEADERS: fails if one of them brings in a file that matches.
reaches() {
    rm -f "$scratch"/*.cpp
    for header in $2; do
        printf '#include <%s>\n' "$header" >"$scratch/$(printf '%s' "$header" | tr / -).cpp"
    done
    compile -M "$scratch"/*.cpp >"$scratch/reached"
    [ "$(grep -c '\.o:' "$scratch/reached")" -eq "$(printf '%s\n' "$2" | wc -l)" ] || fail "not every header was read"
    awk -v heavy="$1" '/\.o:/ { header = $1 } $0 ~ heavy { print header, "reaches", $0; found = 1 } END { exit found }' \
        "$scratch/reached" || fail "a header reaches what stands above it"
}

cd "$root/include"
light=$(find candor/consent candor/identity candor/event -name '*.hpp')
core=$(find candor -name '*.hpp' ! -path 'candor/httplib/*' ! -path candor/candor.hpp)
reaches '/thread( |$)' "$light"
reaches '/httplib\.h( |$)' "$core"
