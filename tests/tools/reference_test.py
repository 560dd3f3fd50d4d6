#!/usr/bin/env python3
"""docs/reference.md, the man page and the completions are what the program's options say."""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def run(*command, code=0, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=60, **options)
    assert done.returncode == code, f"{command} gave {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def completions(bash, line):
    """What bash offers after `line`, whose last word is being typed."""
    words = line.split(" ")
    script = f'{bash}\nCOMP_WORDS=({" ".join(repr(w) for w in words)}); COMP_CWORD={len(words) - 1}; compopt() {{ :; }}; _lockstep; echo "${{COMPREPLY[@]}}"'
    return run("bash", "-c", script).split()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lockstep", required=True)
    args = parser.parse_args()
    wanted = run(args.lockstep, "reference", "markdown")
    page = (ROOT / "docs" / "reference.md").read_text()
    assert page == wanted, "docs/reference.md differs from the program's options: run scripts/update_reference.sh and commit it"
    commands = [line.removeprefix("## lockstep ") for line in wanted.splitlines() if line.startswith("## lockstep ")]
    assert {"generate", "batch", "bench latency", "plan", "doctor"} <= set(commands), commands
    for command in commands:  # every option of --help is on the page
        part = wanted.split(f"## lockstep {command}\n")[1].split("\n## ")[0]
        for line in run(args.lockstep, *command.split(), "--help").splitlines():
            if line.startswith("  --"):
                name = line.split()[0].split(",")[0]
                assert name in part, f"{command}: {name} is not on the page"
    man = run(args.lockstep, "reference", "man")
    if shutil.which("man") and shutil.which("groff"):
        text = run("groff", "-man", "-Tutf8", "-ww", input=man)
        assert "lockstep" in text
    bash = run(args.lockstep, "reference", "bash")
    assert "doctor" in completions(bash, "lockstep do")
    assert completions(bash, "lockstep bench la") == ["latency"]
    assert "--prompts" in completions(bash, "lockstep generate --pro")
    assert completions(bash, "lockstep generate --device c") == ["cpu", "cuda"]
    for shell in ("zsh", "fish"):
        text = run(args.lockstep, "reference", shell)
        assert "generate" in text
        if shutil.which(shell):
            run(shell, "-n", input=text)
    run(args.lockstep, "reference", "tcsh", code=2)


if __name__ == "__main__":
    sys.exit(main())
