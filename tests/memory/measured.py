#!/usr/bin/env python3
"""Runs a command as one rank of mpirun and writes what the kernel counted for it: peak resident memory and bytes read.

  mpirun -np 2 measured.py DIRECTORY command...     writes DIRECTORY/<process id>.json per rank

The numbers are read when the process has ended but before it is reaped, so that nothing is missed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path


def main():
    directory, command = Path(sys.argv[1]), sys.argv[2:]
    process = subprocess.Popen(command)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    fields = dict(line.split(": ") for line in Path(f"/proc/{process.pid}/io").read_text().splitlines())
    _, status, usage = os.wait4(process.pid, 0)
    result = {"peak_rss": usage.ru_maxrss * 1024, "rchar": int(fields["rchar"]), "read_bytes": int(fields["read_bytes"])}
    (directory / f"{process.pid}.json").write_text(json.dumps(result))
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
