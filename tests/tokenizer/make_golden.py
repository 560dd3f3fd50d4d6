#!/usr/bin/env python3
"""Makes tests/unit/text/data/family_*: the families of families.py around tiny vocabularies, and what Hugging Face's `tokenizers` makes of some texts.

Needs: pip install tokenizers==0.23.3 jinja2
Usage: make_golden.py
"""

import json
import pathlib
import random
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "scripts" / "golden")]
import families  # noqa: E402
import make_tokenizer_golden as base  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

NAMES = ["bloom", "bytes_normalized", "clip", "deepseek_v2", "deepseek_v3", "falcon", "gemma", "gpt_oss", "kimi", "phi2", "phi3", "phi4", "pieces", "qwen3", "qwen3_5", "roberta",
         "subwords", "tekken", "uncommon", "words", "xlm"]


def main():
    out = HERE.parent / "unit" / "text" / "data"
    maker = families.Maker(base.CORPUS, 60)
    makers = dict(maker.families())
    cases = {}
    for name in NAMES:
        description = makers[name]()
        text = json.dumps(description, ensure_ascii=False, separators=(",", ":"))
        (out / f"family_{name}.tokenizer.json").write_text(text + "\n", encoding="utf-8")
        cases[f"family_{name}"] = base.make_cases(Tokenizer.from_str(text), random.Random(name))
    content = json.dumps({"texts": base.TEXTS, "families": cases}, ensure_ascii=False, separators=(",", ":"))
    (out / "family_cases.json").write_text(content + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
