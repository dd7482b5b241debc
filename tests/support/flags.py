"""Prints, quoted for a shell, the compiler with the flags that matter to a source that uses candor, as the build in the
given directory compiles support/main.cpp: include paths, macros, the language and the warnings."""

import json
import os
import pathlib
import shlex
import sys


def command(directory):
    for candidate in [directory, *directory.parents]:
        database = candidate / "compile_commands.json"
        if database.exists():
            for entry in json.loads(database.read_text()):
                if entry["file"].endswith("support/main.cpp"):
                    return entry["directory"], shlex.split(entry["command"])
    sys.exit(f"no compile command for support/main.cpp in or above {directory}")


def flags(directory, words):
    words = iter(words)
    for word in words:
        if word.startswith("-I") and len(word) > 2:
            yield "-I" + os.path.join(directory, word[2:])
        elif word in ("-I", "-isystem"):
            yield from (word, os.path.join(directory, next(words)))
        elif word.startswith("-isystem"):
            yield "-isystem" + os.path.join(directory, word[len("-isystem"):])
        elif word.startswith(("-D", "-W", "-std=")) or word == "-pthread":
            yield word


directory, words = command(pathlib.Path(sys.argv[1]).resolve())
compiler = words[1] if os.path.basename(words[0]) == "ccache" else words[0]
print(shlex.join([compiler, *flags(directory, words[1:])]))
