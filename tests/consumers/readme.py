"""Compiles and runs every C++ example of README.md. What a `console` block behind an example shows is what it prints.

usage: readme.py COMPILER_AND_FLAGS LIBRARIES DIRECTORY: words for a shell, and where to build
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

blocks = re.findall(r"^```(cpp|console)\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
program = None
shown = 0
for kind, text in blocks:
    if kind == "cpp":
        source = directory / f"example{shown}.cpp"
        if "int main(" not in text:
            text = f"#include <candor/candor.hpp>\n#undef NDEBUG\n#include <cassert>\n#include <iostream>\nint main() {{\n{text}}}\n"
        source.write_text(text, encoding="utf-8")
        program = source.with_suffix("")
        subprocess.run([*compiler, str(source), "-o", str(program), *libraries], check=True)
        subprocess.run([str(program)], check=True, cwd=directory, env=environment, stdout=subprocess.DEVNULL, timeout=60)
        shown += 1
        continue
    for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
        words = shlex.split(command)
        variables = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
        arguments = [word for word in words if not re.match(r"[A-Z_]+=|\./", word)]
        got = subprocess.run([str(program), *arguments], check=True, env=environment | variables, text=True,
                             stdout=subprocess.PIPE, timeout=60).stdout
        if got != expected:
            sys.exit(f"README.md shows for `{command}`:\n{expected}and it prints:\n{got}")
if shown < 3:
    sys.exit("README.md has lost its examples")
