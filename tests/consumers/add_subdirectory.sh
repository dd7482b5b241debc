# A program has candor's sources below its own and adds them with CMake's add_subdirectory.
. "$(dirname -- "$0")/../support/proof.sh"

export CXX="$compiler"
quietly cmake -S "$root/tests/consumers/add_subdirectory" -B "$scratch/consumer" "-DCANDOR=$root"
quietly cmake --build "$scratch/consumer"
env -i HOME=/nonexistent "$scratch/consumer/consumer"
