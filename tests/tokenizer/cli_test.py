#!/usr/bin/env python3
"""`lockstep tokenize` and `lockstep bench tokenize` from outside: golden ids through the command line, texts with line ends and invalid
UTF-8, and figures that fit each other.

Usage: cli_test.py --lockstep build/cpu/bin/lockstep
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

DATA = pathlib.Path(__file__).resolve().parent.parent / "unit" / "text" / "data"


def run(command, data=b""):
    return subprocess.run(command, input=data, capture_output=True, timeout=120)


def expect(holds, *what):
    if not holds:
        raise SystemExit(" ".join(map(str, what)))


def lines_of(done):
    expect(done.returncode == 0, done.stderr.decode())
    return done.stdout.split(b"\n")[:-1]


def check_tokenize(program, directory, golden, texts):
    tokenize = [program, "tokenize", "--model", str(directory)]
    quoted = b"".join(json.dumps(t).encode() + b"\n" for t in texts)
    expect([json.loads(line) for line in lines_of(run([*tokenize, "--json"], quoted))] == golden["encoded"], "ids of JSON texts")
    plain = [(t, ids) for t, ids in zip(texts, golden["encoded"]) if "\n" not in t]
    got = lines_of(run(tokenize, b"".join(t.encode() + b"\n" for t, _ in plain)))
    expect([json.loads(line) for line in got] == [ids for _, ids in plain], "ids of lines")
    expect(lines_of(run(tokenize, b"a\xffb\n")) == lines_of(run(tokenize, "a\ufffdb\n".encode())), "ids of invalid UTF-8")
    ids = b"".join(json.dumps(i).encode() + b"\n" for i in golden["random_ids"])
    for skip, flags in enumerate(([], ["--skip-special-tokens"])):
        got = lines_of(run([*tokenize, "--decode", "--json", *flags], ids))
        expect([json.loads(line) for line in got] == [pair[skip] for pair in golden["random_decoded"]], "texts of ids", flags)
    bad = run([*tokenize, "--json"], b'"fine"\nnot quoted\n')
    expect(bad.returncode != 0 and b"line 2" in bad.stderr, "a line that is no JSON string:", bad.stderr.decode())


def check_bench(program, directory):
    with tempfile.TemporaryDirectory() as folder:
        text, result = pathlib.Path(folder, "text"), pathlib.Path(folder, "result.json")
        text.write_bytes(b"Some words, and 1 number.\n" * 2000)
        bench = [program, "bench", "tokenize", "--model", str(directory), "--json", str(result), "--repeats", "1"]
        for flags in (["--text", str(text)], ["--megabytes", "1"]):
            done = run([*bench, *flags])
            expect(done.returncode == 0 and b"MB/s" in done.stdout, done.stderr.decode())
            rows = json.loads(result.read_text())["rows"]
            expect([row["what"].split(",")[0] for row in rows] == ["encode", "encode", "encode", "decode"], rows)
            for row in rows:
                expect(row["bytes"] > 0 and row["tokens"] > 0 and row["seconds"] > row["floor_seconds"] > 0, row)
                expect(abs(row["bytes_per_second"] * row["seconds"] / row["bytes"] - 1) < 1e-9, row)
            expect(rows[0]["bytes"] == rows[3]["bytes"], "decoding gives the text back:", rows)
        missing = run([*bench, "--text", str(text) + "-missing"])
        expect(missing.returncode != 0 and b"missing" in missing.stderr, missing.stderr.decode())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lockstep", required=True)
    program = parser.parse_args().lockstep
    cases = json.loads((DATA / "family_cases.json").read_text(encoding="utf-8"))
    for family in ("family_qwen3", "family_gemma", "family_deepseek_v3"):
        with tempfile.TemporaryDirectory() as directory:
            content = (DATA / f"{family}.tokenizer.json").read_bytes()
            pathlib.Path(directory, "tokenizer.json").write_bytes(content)
            check_tokenize(program, directory, cases["families"][family], cases["texts"])
            if family != "family_gemma":
                check_bench(program, directory)


if __name__ == "__main__":
    sys.exit(main())
