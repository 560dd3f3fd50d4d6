"""Processes found by a mark in their environment, and which of them are ranks."""

import os
from pathlib import Path


def environment_of(pid):
    """[b"NAME=value"]; raises OSError when it is gone or not ours."""
    return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


def marked(mark):
    """Process ids that carry `mark`, "NAME=value"; ourselves and zombies aside."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if mark.encode() in environment_of(entry.name):
                found.append(int(entry.name))
        except OSError:
            pass
    return found


def ranks(mark, binary):
    """Process ids of the marked ranks that run `binary`, by rank."""
    found = {}
    for pid in marked(mark):
        try:
            if os.readlink(f"/proc/{pid}/exe") != binary:
                continue
            for variable in environment_of(pid):
                name, _, value = variable.partition(b"=")
                if name in (b"OMPI_COMM_WORLD_RANK", b"PMI_RANK"):
                    found[int(value)] = pid
        except OSError:
            pass
    return found
