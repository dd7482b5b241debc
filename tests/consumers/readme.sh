# Every example of README.md compiles, runs and prints what it is said to.
. "$(dirname -- "$0")/../support/proof.sh"
python3 "$root/tests/consumers/readme.py" "$compile" "$libraries" "$scratch"
