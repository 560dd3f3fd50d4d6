#!/usr/bin/env python3
"""Compares chat templates of real models with transformers, by hand: files *.jinja, or model directories.

Needs: pip install transformers==5.17.0 jinja2==3.1.6
Usage: compare.py --check PROGRAM FILE_OR_DIRECTORY…      (PROGRAM: the build's bin/check_cases)
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import chats


def config_of(path):
    if path.suffix == ".jinja":
        return {"chat_template": path.read_bytes().decode(), "bos_token": "<s>", "eos_token": "</s>"}
    config = json.loads(path.read_text(encoding="utf-8"))
    return {key: value for key, value in config.items() if key == "chat_template" or key.endswith("_token")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", required=True)
    parser.add_argument("paths", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    configs = {}
    for path in arguments.paths:
        for file in sorted([*path.rglob("*.jinja"), *path.rglob("tokenizer_config.json")]) if path.is_dir() else [path]:
            config = config_of(file)
            if "chat_template" in config:
                configs[str(file)] = config
    cases = [chats.expected(name, config, key) for name, config in configs.items() for key in chats.REQUESTS]
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump({"configs": configs, "requests": chats.REQUESTS, "chats": cases}, file)
        file.flush()
        return subprocess.run([arguments.check, file.name], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
