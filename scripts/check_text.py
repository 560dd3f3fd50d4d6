#!/usr/bin/env python3
"""Checks the text files that git tracks: UTF-8, \\n line ends and a last one, no tabs, no trailing blanks, no left-overs, no long files.

Prints file:line of each breach and exits with 1 when there is one.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = {".h", ".cuh", ".cpp", ".cu", ".py", ".sh", ".cmake"}
SKIP = {".safetensors", ".png", ".jpg", ".bin", ".gguf"}
MAX_LINES = 700
BROKEN_ON_PURPOSE = "tests/fuzz/corpus/"  # what fuzzers start from is not text
LEFT_OVER = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b|^(<{7}|>{7}) ")


def breaches(path):
    """Yields (line, what)."""
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        yield 1, "not UTF-8"
        return
    data = "tests" in path.relative_to(ROOT).parts and path.suffix not in SOURCE | {".txt", ".md"}
    if data or path.name == "LICENSE":
        return
    if text and not text.endswith("\n"):
        yield text.count("\n") + 1, "no newline at the end"
    lines = text.split("\n")
    if path.suffix in SOURCE and len(lines) > MAX_LINES:
        yield len(lines), f"more than {MAX_LINES} lines: split the file"
    for number, line in enumerate(lines, 1):
        if "\r" in line:
            yield number, "carriage return"
        elif line != line.rstrip():
            yield number, "trailing blanks"
        if "\t" in line:
            yield number, "tab"
        if LEFT_OVER.search(line):
            yield number, "left-over"


def main():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout.decode()
    files = [ROOT / name for name in listed.split("\0") if name and Path(name).suffix not in SKIP and not name.startswith(BROKEN_ON_PURPOSE)]
    count = 0
    for path in files:
        for number, what in breaches(path) if path.is_file() else ():
            count += 1
            print(f"{path.relative_to(ROOT)}:{number}: {what}", file=sys.stderr)
    print(f"check_text: {len(files)} files, {count} breaches", file=sys.stderr)
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
