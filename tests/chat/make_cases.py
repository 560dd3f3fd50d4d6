#!/usr/bin/env python3
"""Makes tests/chat/data/*.json: templates and chats, and what transformers makes of them. check_cases renders them again.

Needs: pip install transformers==5.17.0 jinja2==3.1.6 tokenizers
Usage: make_cases.py [--random N --seed SEED FILE]      (with --random: N random templates to FILE, to be checked by hand)
"""

import argparse
import json
import pathlib
import random
import warnings

import chats
import random_cases
import reference
import snippets
import templates

DATA = pathlib.Path(__file__).resolve().parent / "data"


def random_templates(count, seed):
    generator = random_cases.Generator(random.Random(seed))
    return [reference.case_of(generator.template(), random_cases.VARIABLES) for _ in range(count)]


def write(path, value):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("file", nargs="?", type=pathlib.Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # about unknown escapes in strings
    variables = random_cases.VARIABLES
    if arguments.random > 0:
        write(arguments.file, {"variables": variables, "cases": random_templates(arguments.random, arguments.seed)})
        return
    cases = [reference.case_of(source, variables) for source in snippets.SNIPPETS + snippets.WHITESPACE]
    write(DATA / "snippets.json", {"variables": variables, "cases": cases})
    # A few hundred of them, without what is documented to differ: integers beyond 64 bits, complex numbers, ranges as keys.
    small = [case for case in random_templates(450, 20) if len(case.get("text", "")) < 400 and "g" not in case["template"].split() and "(g" not in case["template"]]
    write(DATA / "random.json", {"variables": variables, "cases": small})
    configs = templates.configs()
    chat_cases = [chats.expected(name, config, key) for name, config in configs.items() for key in chats.REQUESTS]
    write(DATA / "chats.json", {"configs": configs, "requests": chats.REQUESTS, "chats": chat_cases})


if __name__ == "__main__":
    main()
