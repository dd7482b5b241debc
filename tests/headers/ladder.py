"""Checks include/candor: a header includes only what stands above it in the ladder of rooms, no cycles among the files of
one room, an include guard of its path's name, httplib.h only in httplib/, what depends on the operating system only where
that is at home, and files that hold one idea."""

import pathlib
import re
import sys

LADDER = [
    "version.hpp", "platform", "policy", "consent", "identity", "privacy", "event", "delivery", "rudderstack", "sentry", "otlp",
    "telemetry_options.hpp", "telemetry_session.hpp", "telemetry.hpp", "telemetry_report.hpp", "command.hpp", "testing.hpp", "core.hpp",
    "httplib", "candor.hpp", "presets",
]
MOST_LINES = 450  # "about 400": room for the comment that a header starts with

# Where headers of an operating system are included and `#if` asks for one.
SYSTEM_ROOMS = ("candor/platform/", "candor/httplib/", "candor/sentry/stack.hpp")
SYSTEM_MACRO = re.compile(
    r"#\s*(?:if|ifdef|ifndef|elif)\b.*?\b(_WIN32|_WIN64|__MINGW\w+|__CYGWIN__|__linux__|__ANDROID__|__APPLE__|__unix__"
    r"|__\w+BSD__|__GLIBC__|_POSIX_\w+|_SC_\w+)\b"
)
NO_SYSTEM_HEADER = re.compile(r"[a-z_]+|cxxabi\.h|httplib\.h|(?:candor|nlohmann)/.*")  # the first are the standard library's

include = pathlib.Path(__file__).resolve().parents[2] / "include"
complaints = []
graph = {}


def room(header):
    name = header.split("/")[1]
    if name not in LADDER:
        complaints.append(f"{header}: {name} is not in the ladder")
        return len(LADDER)
    return LADDER.index(name)


for path in sorted(include.rglob("*.hpp")):
    header = str(path.relative_to(include).as_posix())
    text = path.read_text()
    graph[header] = re.findall(r"#\s*include <(candor/[^>]+)>", text)
    for other in graph[header]:
        if room(other) > room(header):
            complaints.append(f"{header} includes {other}, which stands below it")
    if re.search(r'#\s*include "', text):
        complaints.append(f"{header}: candor's headers are included as <candor/...>")
    if "#include <httplib.h>" in text and not header.startswith("candor/httplib/"):
        complaints.append(f"{header} includes httplib.h")
    if not header.startswith(SYSTEM_ROOMS):
        asked = sorted(set(SYSTEM_MACRO.findall(text)))
        included = [name for name in re.findall(r"#\s*include <([^>]+)>", text) if not NO_SYSTEM_HEADER.fullmatch(name)]
        for what in asked + included:
            complaints.append(f"{header} depends on the operating system by {what}, which is for platform/ to do")
    if "#include <windows.h>" in text and header != "candor/platform/windows.hpp":
        complaints.append(f"{header} includes windows.h, as only <candor/platform/windows.hpp> does")
    guard = re.sub(r"[/.]", "_", header).upper()
    if not re.search(rf"#ifndef {guard}\n#define {guard}\n", text) or not text.endswith("\n#endif\n"):
        complaints.append(f"{header}: the include guard is not {guard}, around the whole file")
    if text.count("\n") > MOST_LINES:
        complaints.append(f"{header} has {text.count(chr(10))} lines, more than {MOST_LINES}")


def visit(header, path):
    if header in path:
        complaints.append("a cycle: " + " -> ".join([*path[path.index(header):], header]))
        return
    if header not in visited:
        visited.add(header)
        for other in graph.get(header, []):
            visit(other, [*path, header])


visited = set()
for header in graph:
    visit(header, [])

print(f"{len(graph)} headers")
print("\n".join(complaints))
sys.exit(1 if complaints or not graph else 0)
