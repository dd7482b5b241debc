"""Checks that tests/ mirrors include/candor: a test file a header, which includes its header first and is listed in
tests.txt, and nothing listed that is not there. What is private to a room is tested through its neighbours."""

import pathlib
import re
import sys

tests = pathlib.Path(__file__).resolve().parents[1]
include = tests.parent / "include" / "candor"
listed = {line for line in (tests / "tests.txt").read_text().splitlines() if line and not line.startswith("#")}
complaints = []
PRIVATE = {
    "delivery/delivery_state.hpp", "delivery/delivery_worker.hpp", "delivery/storage.hpp",
    "httplib/server_connection.hpp", "httplib/service_threads.hpp", "otlp/metrics_writer.hpp", "platform/descriptor.hpp",
    "platform/windows.hpp", "telemetry_report.hpp", "telemetry_session.hpp",
}

for header in sorted(include.rglob("*.hpp")):
    path = header.relative_to(include)
    test = pathlib.Path("root" if len(path.parts) == 1 else path.parent) / f"{path.stem}_test.cpp"
    if path.as_posix() in PRIVATE and not (tests / test).exists():
        continue
    if not (tests / test).exists():
        complaints.append(f"<candor/{path}> has no test {test}")
        continue
    first = re.search(r"#include .*", (tests / test).read_text())[0]
    if first != f"#include <candor/{path.as_posix()}>":
        complaints.append(f"{test} does not include its header first")

there = {
    path.relative_to(tests).as_posix()
    for pattern in ("*/*_test.cpp", "*/*/*_test.cpp", "compile_fail/*.cpp", "fuzz/*_fuzz.cpp", "*/*.sh", "headers/*.py")
    for path in tests.glob(pattern)
    if path.parent.name != "support"
} - {"headers/portable.sh"}  # which CI runs once
complaints += [f"{path} is not listed in tests.txt" for path in sorted(there - listed)]
complaints += [f"tests.txt lists {path}, which is not there" for path in sorted(listed - there)]

print(f"{len(listed)} lines in tests.txt")
print("\n".join(complaints))
sys.exit(1 if complaints or not listed else 0)
