"""Compiles and runs every C++ example of README.md. What a `console` block behind an example shows is what it prints.

usage: readme.py COMPILER_AND_FLAGS LIBRARIES DIRECTORY: words for a shell, and where to build

All examples become one program, each in a namespace of its own: the headers are most of what there is to compile.
"""

import os
import pathlib
import re
import shlex
import subprocess
import sys

compiler, libraries, directory = shlex.split(sys.argv[1]), shlex.split(sys.argv[2]), pathlib.Path(sys.argv[3])
readme = (pathlib.Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
environment |= {name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")}

includes = ["#include <candor/candor.hpp>", "#undef NDEBUG", "#include <cassert>", "#include <iostream>"]
examples = []  # what stands in README.md
shown = []  # (example, command line, what it prints)
for kind, text in re.findall(r"^```(cpp|console)\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL):
    if kind == "console":
        shown += [(len(examples) - 1, *pair) for pair in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)]
        continue
    includes += [line for line in re.findall(r"^#include .*$", text, re.MULTILINE) if line not in includes]
    body = re.sub(r"^#include .*\n", "", text, flags=re.MULTILINE)
    if "int main(" in body:
        body = body.replace("int main(int argc, char** argv)", "int run(int argc, char** argv)")
        body = body.replace("int main()", "int run(int, char**)")
        end = body.rindex("\n}")
        body = body[:end] + "\n    return 0;" + body[end:]  # which main need not say
    else:
        body = f"int run(int, char**) {{\n{body}    return 0;\n}}\n"
    examples.append(f"namespace example{len(examples)} {{\n{body}}}\n")
if len(examples) < 3 or not shown:
    sys.exit("README.md has lost its examples")

numbers = range(len(examples))
source = directory / "examples.cpp"
choices = "".join(f"    if (which == {n}) return example{n}::run(argc - 1, argv + 1);\n" for n in numbers)
main = f"int main(int argc, char** argv) {{\n    const int which = std::stoi(argv[1]);\n{choices}    return 99;\n}}\n"
source.write_text("\n".join(includes) + "\n" + "".join(examples) + main, encoding="utf-8")
program = source.with_suffix("")
subprocess.run([*compiler, str(source), "-o", str(program), *libraries], check=True)


def run(example, arguments=(), variables=()):
    return subprocess.run([str(program), str(example), *arguments], check=True, cwd=directory,
                          env=environment | dict(variables), text=True, stdout=subprocess.PIPE, timeout=60).stdout


for number in numbers:
    run(number)
for number, command, expected in shown:
    words = shlex.split(command)
    variables = [word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word)]
    got = run(number, [word for word in words if not re.match(r"[A-Z_]+=|\./", word)], variables)
    if got != expected:
        sys.exit(f"README.md shows for `{command}`:\n{expected}and it prints:\n{got}")
