#!/usr/bin/env python3
"""Answers of `lockstep serve` that must have a form, as jsonschema and Python's re see it: whatever the model says, it is valid. The
packages are installed into a virtual environment; skipped where PyPI cannot be reached.

  forms_test.py --mpirun mpirun --lockstep build/cpu/bin/lockstep --venv build/cpu/serve-venv [--model DIR --count 400 --ranks 2]
"""

import concurrent.futures
import json
import random
import re
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "grammar")]
from api_test import enter_venv  # noqa: E402
from server import Server, expect, launch  # noqa: E402

# Each of these ends by itself, so the answers must be whole.
NAME = {"type": "string", "minLength": 1, "maxLength": 12}
PLACE = {"type": "object", "properties": {"city": NAME, "inhabitants": {"type": "integer", "minimum": 0, "maximum": 40000000}},
         "required": ["city"], "additionalProperties": False}
BOUNDED = {
    "A person": {"type": "object", "properties": {"name": NAME, "age": {"type": "integer", "minimum": 0, "maximum": 120},
                                                  "student": {"type": "boolean"}, "grade": {"enum": ["A", "B", "C", None]}},
                 "required": ["name", "age"], "additionalProperties": False},
    "Some colours": {"type": "array", "items": {"enum": ["red", "green", "blue", "dark blue"]}, "minItems": 2, "maxItems": 5},
    "Two places": {"type": "array", "items": {"$ref": "#/$defs/place"}, "minItems": 2, "maxItems": 2, "$defs": {"place": PLACE}},
    "A measurement": {"type": "object", "properties": {"value": {"type": "number", "minimum": -40, "maximum": 60.5}, "unit": {"const": "°C"},
                                                       "at": {"type": "string", "format": "date-time"}},
                      "required": ["value", "unit", "at"], "additionalProperties": False},
    "A shape": {"anyOf": [{"type": "object", "properties": {"radius": {"type": "number", "minimum": 0, "maximum": 9}}, "required": ["radius"],
                           "additionalProperties": False},
                          {"type": "object", "properties": {"sides": {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 99},
                                                                      "minItems": 3, "maxItems": 4}},
                           "required": ["sides"], "additionalProperties": False}]},
    "An identifier": {"type": "object", "properties": {"id": {"type": "string", "format": "uuid"},
                                                       "code": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"}},
                      "required": ["id", "code"], "additionalProperties": False},
    "A yes, a no, or nothing": {"type": ["boolean", "null"]},
}
REGEXES = ["yes|no", "\\d{4}-\\d{2}-\\d{2}", "(red|green|blue)( and (red|green|blue)){0,2}", "[A-Z][a-z]{2,9}\\.", "é{1,3}|[世界]{2}"]


class Asker:
    def __init__(self, server, seed, max_tokens, schemas):
        import jsonschema

        self.server, self.rng, self.max_tokens = server, random.Random(seed), max_tokens
        self.validators = {}
        for schema in [*BOUNDED.values(), *schemas]:
            kind = jsonschema.Draft202012Validator
            self.validators[json.dumps(schema)] = kind(schema, format_checker=kind.FORMAT_CHECKER)
        self.schemas = schemas

    def make(self, number):
        """(the request, what an answer must be, whether it ends by itself)"""
        rng = self.rng
        body = {"model": "tiny", "max_tokens": self.max_tokens, "temperature": rng.choice([0, 0.7, 1.0, 2.0]), "seed": number,
                "n": rng.choice([1, 1, 1, 3]), "stream": rng.random() < 0.4}
        way = rng.random()
        if way < 0.2:
            pattern = rng.choice(REGEXES)
            body |= rng.choice([{"guided_regex": pattern}, {"structured_outputs": {"regex": pattern}}])
            return body | {"prompt": "A word: "}, lambda text: re.fullmatch(pattern, text) is not None, True
        if way < 0.7:
            task, schema = rng.choice(list(BOUNDED.items()))
        else:
            task, schema = "Anything", rng.choice(self.schemas)
        validator = self.validators[json.dumps(schema)]
        body |= rng.choice([{"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}},
                            {"guided_json": schema}])
        messages = [{"role": "user", "content": f"{task}, as JSON, please."}]
        return body | {"messages": messages}, lambda text: validator.is_valid(json.loads(text)), task != "Anything"

    def texts(self, body):
        """(text, finish_reason) of each choice"""
        path = "/v1/chat/completions" if "messages" in body else "/v1/completions"
        status, _, answer = self.server.request("POST", path, body, timeout=600)
        expect(status == 200, (status, answer, body))
        if body["stream"]:
            parts = [json.loads(line[6:]) for line in answer.decode().split("\n\n") if line.startswith("data: {")]
        else:
            parts = [json.loads(answer)]
        texts, reasons = [""] * body["n"], [None] * body["n"]
        for choice in (choice for part in parts for choice in part["choices"]):
            content = choice["text"] if "text" in choice else choice["delta" if "delta" in choice else "message"].get("content")
            texts[choice["index"]] += content or ""
            reasons[choice["index"]] = choice["finish_reason"] or reasons[choice["index"]]
        return list(zip(texts, reasons))

    def check(self, request):
        body, is_valid, ends = request
        whole = 0
        for text, reason in self.texts(body):
            expect(reason in (("stop",) if ends else ("stop", "length")), (reason, text, body))
            if reason == "stop":
                expect(is_valid(text), ("not valid", text, body))
                whole += 1
        return body["n"], whole


def main():
    parser = launch.parser(__doc__, device=True)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--venv", required=True)
    parser.add_argument("--count", type=int, default=60, help="requests")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--model", help="a directory (default: a small random model)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    enter_venv(args.venv)
    import compare

    model = ["--model", args.model, "--served-model-name", "tiny", "--max-model-len", 1024] if args.model else None
    with tempfile.TemporaryDirectory() as directory, Server(args, Path(directory), ranks=args.ranks, model=model) as server:
        asker = Asker(server, args.seed, 600 if args.model else 400, compare.SCHEMAS)
        requests = [asker.make(number) for number in range(args.count)]
        with concurrent.futures.ThreadPoolExecutor(args.connections) as pool:
            counts = list(pool.map(asker.check, requests))
        answers, whole = (sum(column) for column in zip(*counts))
        print(f"{args.count} requests, {answers} answers: {whole} whole and all of them valid, {answers - whole} cut by max_tokens", flush=True)
        expect(whole > answers / 2, "most answers were cut, so the test shows little")
        server.wait_idle()
    print("passed")


if __name__ == "__main__":
    main()
