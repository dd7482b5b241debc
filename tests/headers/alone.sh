# Every header compiles alone, also when it is included twice. The core does not reach httplib.h, nor the light headers
# <thread>: a program pays only for what it uses. A second argument names the one header to look at.
. "$(dirname -- "$0")/../support/proof.sh"

cd "$root/include"
if [ $# -eq 1 ]; then
    case $compile in
    *single_header*) headers=candor/candor.hpp ;; # which is all of them
    *) headers=$(find candor -name '*.hpp') ;;
    esac
    printf '%s\n' "$headers" | xargs -n 1 -P 2 sh "$root/tests/headers/alone.sh" "$programs"
    exit
fi
header=$2

printf '#include <%s>\n#include <%s>\n' "$header" "$header" >"$scratch/alone.cpp"
compile -fsyntax-only -MD -MF "$scratch/reached" "$scratch/alone.cpp" || fail "<$header> does not compile alone"
case $compile in
*single_header*) exit 0 ;; # one file reaches everything
esac
case $header in
candor/httplib/* | candor/candor.hpp) exit 0 ;;
candor/consent/* | candor/identity/* | candor/event/*) heavy='(/thread|httplib\.h)' ;;
*) heavy='httplib\.h' ;;
esac
! grep -Eo "[^ ]*$heavy( |\$)" "$scratch/reached" >&2 || fail "<$header> reaches what stands above"
