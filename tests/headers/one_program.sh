# All headers, in either order, in two translation units of one program: nothing is defined twice.
. "$(dirname -- "$0")/../support/proof.sh"

cd "$root/include"
find candor -name '*.hpp' | sort >"$scratch/headers"
sed 's/.*/#include <&>/' "$scratch/headers" >"$scratch/one.cpp"
sort -r "$scratch/headers" | sed 's/.*/#include <&>/' >"$scratch/two.cpp"
echo 'int main() {}' >>"$scratch/two.cpp"

# shellcheck disable=SC2086  # a list of flags
compile -o "$scratch/program" "$scratch/one.cpp" "$scratch/two.cpp" $libraries
"$scratch/program"
