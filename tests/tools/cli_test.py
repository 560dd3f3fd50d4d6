#!/usr/bin/env python3
"""What the tools of the command line print for a sound model: inspect, config, version; alone and under mpirun, where one rank speaks."""

import re
import sys
import tempfile
from pathlib import Path

from model_files import DOWN, Model

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
import launch  # noqa: E402

TIMEOUT_S = 60


class Failure(Exception):
    pass


def expect(condition, what):
    if not condition:
        raise Failure(what)


def main():
    args = launch.parser(__doc__).parse_args()

    def run(*arguments, ranks=0, code=0):
        command = [args.lockstep, *map(str, arguments)]
        process = launch.start(launch.rank_command(args.mpirun, ranks, command) if ranks else command)
        out, err = launch.finish(process, TIMEOUT_S)
        expect(process.returncode == code, f"{arguments}: exit code {process.returncode}\n{out}\n{err}")
        return out

    def same_under_mpirun(*arguments):
        alone = run(*arguments)
        expect(run(*arguments, ranks=2) == alone, f"{arguments}: two ranks print something else than one")
        return alone

    with tempfile.TemporaryDirectory(prefix="lockstep-cli-") as directory:
        where, sound = Path(directory) / "model", Model()
        sound.write(where)

        version = same_under_mpirun("--version")
        expect(re.match(r"lockstep \d+\.\d+\.\d+ \(.+\)\nbackends: cpu", version), f"--version: {version}")

        listed = same_under_mpirun("inspect", where)
        for name, tensor in sound.tensors.items():
            line = rf"^{re.escape(name)} +BF16 +{re.escape(str(tensor.shape))} +{len(tensor.data)} +model\.safetensors$"
            expect(re.search(line, listed, re.MULTILINE), f"inspect: no line for {name}:\n{listed}")
        total = sum(len(tensor.data) for tensor in sound.tensors.values())
        expect(f"{len(sound.tensors)} tensors in 1 file, {total} bytes" in listed, f"inspect: the total is wrong:\n{listed}")

        dealt = same_under_mpirun("inspect", where, "-tp", "3")
        rows = re.findall(r"^ +(\d) .* (\d+) +\d+\.\d%$", dealt, re.MULTILINE)
        expect([rank for rank, _ in rows] == ["0", "1", "2"], f"inspect -tp 3: not three ranks:\n{dealt}")
        expect(f"the whole model reads {total} bytes" in dealt, f"inspect -tp 3: the total is wrong:\n{dealt}")
        expect("model.layers.*.mlp.down_proj.weight [42, 70]" in dealt, f"inspect -tp 3: {DOWN} is missing:\n{dealt}")

        checked = same_under_mpirun("inspect", where, "--check")
        expect(f"checked: {total // 2} numbers of {len(sound.tensors)} tensors" in checked, f"inspect --check:\n{checked}")
        expect("checked: the tensors are those that the configuration asks for" in checked, f"inspect --check:\n{checked}")
        expect("checked: the tokenizer's 256 ids lie within the vocabulary of 331" in checked, f"inspect --check:\n{checked}")

        resolved = same_under_mpirun("config", "--model", where, "--dtype", "float32", "--max-num-seqs", "3")
        expect(f"# {total // 2} parameters" in resolved and "max-num-seqs: 3" in resolved, f"config:\n{resolved}")
        again = Path(directory) / "again.yaml"
        again.write_text(resolved)
        expect(run("config", "--model", again) == resolved, f"config: what it prints does not resolve to itself:\n{resolved}")

        for arguments in (("inspect",), ("inspect", where, "--chekc"), ("config",), ("nonsense",), ("inspect", where, "-tp", "0")):
            run(*arguments, code=2)
    print("the tools print what they should")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failure, TimeoutError) as error:
        print(f"FAILED: {error}")
        sys.exit(1)
