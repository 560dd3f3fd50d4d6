#!/usr/bin/env python3
"""Holds our grammars to Python's re and jsonschema: what a grammar produces at random is valid there, and what is valid there and
written as we write it is accepted; what is not valid is refused. Usage: compare.py SAMPLE_GRAMMAR [SEED]. Exits with 77 where
jsonschema is not installed."""

import itertools
import json
import random
import re
import subprocess
import sys

try:
    import jsonschema
except ImportError:
    print("jsonschema is not installed")
    sys.exit(77)

REGEXES = ["a|b|cd", "[a-c]{2,4}x?", "(ab|a)*b", "[^ab]c", "\\d{1,3}(\\.\\d+)?", "\\w+ \\w+", "a.c", "(?:a|(?P<n>b+)){2}", "^ab$", "",
           "a{,2}b{2,}", "[]a]+", "[a\\]\\-]*", "x*?y+?", "\\S\\s\\S", "(a|b)*abb", "a{0}b", "[\\d_]+", "\\W", "\\D", "(|a)b", "é+|世",
           "\\x41\\u0042", "[^\\W\\d]+", "((a?){3}){2}", "a\\|b", "\\.\\*"]

NODE = {"type": "object", "properties": {"value": {"type": ["integer", "null"], "minimum": -3, "maximum": 12},
                                        "below": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 3}},
        "required": ["value"], "additionalProperties": False}
SCHEMAS = [
    {"type": "string"}, {"type": "string", "minLength": 2, "maxLength": 4}, {"type": "string", "pattern": "^[a-c]+$"},
    {"type": "string", "pattern": "b"}, {"type": "string", "pattern": "^a|b$", "maxLength": 3}, {"type": "string", "pattern": "\\d\"$"},
    {"type": "integer"}, {"type": "integer", "minimum": -17, "maximum": 105}, {"type": "integer", "exclusiveMinimum": 9},
    {"type": "integer", "minimum": 99, "maximum": 1001}, {"type": "integer", "maximum": -8}, {"type": "integer", "minimum": 0.5},
    {"type": "number"}, {"type": "number", "minimum": 0, "maximum": 1}, {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "number", "minimum": -2.5, "maximum": 10.25}, {"type": "number", "exclusiveMinimum": -1.5, "maximum": -0.25},
    {"type": "number", "minimum": 3}, {"type": "number", "exclusiveMaximum": 0}, {"type": "boolean"}, {"type": "null"},
    {"enum": ["a", "a\"b", 1, 1.5, None, True, [1, {"x": "y"}], {"k": []}]}, {"const": "é\n"}, {"type": ["string", "null"], "maxLength": 2},
    {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 9}, "minItems": 2, "maxItems": 4},
    {"type": "array", "prefixItems": [{"type": "boolean"}, {"const": "x"}], "items": False, "minItems": 1},
    {"type": "array", "prefixItems": [{"type": "boolean"}], "items": {"type": "null"}, "maxItems": 3},
    {"type": "object", "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 3}, "b": {"type": "boolean"}, "c": {"const": "z"}},
     "required": ["b"], "additionalProperties": False},
    {"type": "object", "properties": {"ab": {"type": "null"}, "a": {"type": "boolean"}}, "additionalProperties": {"type": "integer"}},
    {"type": "object", "additionalProperties": {"enum": [1, 2]}}, {"type": "object", "required": ["k"]}, True, {},
    {"$ref": "#/$defs/node", "$defs": {"node": NODE}},
    {"anyOf": [{"type": "integer", "minimum": 3, "maximum": 5}, {"type": "string", "format": "date"}, NODE], "$defs": {"node": NODE}},
    {"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
               {"properties": {"a": {"minimum": 3, "maximum": 7}, "b": {"type": "boolean"}}}], "unevaluatedProperties": False},
    {"type": "object", "properties": {"a": {"type": "boolean"}}, "anyOf": [{"required": ["a"]}, {"properties": {"b": {"const": 1}}}]},
    {"type": "string", "format": "date-time"}, {"type": "string", "format": "uuid"}, {"type": "string", "format": "ipv4"},
    {"type": "string", "format": "time"}, {"type": "string", "format": "email"}, {"type": "string", "format": "ipv6"},
]
REFUSED = [({"not": {}}, "/not"), ({"properties": {"a": {"if": True}}}, "/properties/a/if"), ({"type": "strin"}, "/type"),
           ({"minLenght": 3}, "/minLenght"), ({"items": {"uniqueItems": True, "type": "array"}}, "/items/uniqueItems"),
           ({"$ref": "#/$defs/x"}, "/$ref"), ({"type": "string", "format": "regex"}, "/format"), ({"$ref": "http://x/y"}, "/$ref"),
           ({"type": "string", "pattern": "(?=a)"}, "/pattern"), ({"anyOf": []}, "/anyOf"), ({"$ref": "#"}, ""), ([], "/"),
           ({"type": "string", "maxLength": 900000}, "/"), ({"patternProperties": {"a": {}}}, "/patternProperties")]


class Ours:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **question):
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def regex_texts(pattern, rng):
    letters = sorted(set("abcdxy 1._-]|\"" + "".join(c for c in pattern if c.isalnum())))
    yield from ("".join(t) for n in range(3) for t in itertools.product(letters, repeat=n))
    for _ in range(1500):
        yield "".join(rng.choice(letters) for _ in range(rng.randrange(3, 7)))


def check_regexes(ours, rng):
    count = 0
    for pattern in REGEXES:
        texts = list(regex_texts(pattern, rng))
        answer = ours.ask(kind="regex", text=pattern, count=50, seed=rng.randrange(1 << 30), **{"try": texts})
        assert "error" not in answer, (pattern, answer)
        for text in answer["samples"]:
            assert re.fullmatch(pattern, text), (pattern, text)
        for text, accepted in zip(texts, answer["accepted"]):
            assert accepted == bool(re.fullmatch(pattern, text)), (pattern, text, accepted)
        count += len(texts) + len(answer["samples"])
    return count


def some_value(rng, depth=0):
    kind = rng.randrange(8 if depth < 3 else 6)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind in (1, 2):
        return rng.randrange(-20, 130)
    if kind == 3:
        return rng.choice([0.5, -1.25, 3.0, 0.25, -0.75, 99.5])
    if kind in (4, 5):
        return "".join(rng.choice("abcxz1\"é\\\n ") for _ in range(rng.randrange(5)))
    if kind == 6:
        return [some_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {k: some_value(rng, depth + 1) for k in ["a", "ab", "b", "c", "k", "value", "below", "x"] if rng.random() < 0.3}


def declared_only(schema, value):
    """Whether the value has no property that we leave out where the schema does not mention others; see structured-output.md."""
    if isinstance(schema, bool) or schema == {}:
        return True
    names = set(schema.get("properties", {})) | set(schema.get("required", []))
    for part in schema.get("anyOf", []) + schema.get("allOf", []):
        names |= set(part.get("properties", {}))
    return not isinstance(value, dict) or not names or "additionalProperties" in schema or set(value) <= names


def check_schemas(ours, rng):
    count = valid = 0
    for schema in SCHEMAS:
        validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
        values = [some_value(rng) for _ in range(400)]
        texts = [json.dumps(v, ensure_ascii=rng.random() < 0.3) for v in values]
        answer = ours.ask(kind="schema", text=json.dumps(schema), count=60, seed=rng.randrange(1 << 30), **{"try": texts})
        assert "error" not in answer, (schema, answer)
        for text in answer["samples"]:
            assert validator.is_valid(json.loads(text)), (schema, text)
            count += 1
        for value, text, accepted in zip(values, texts, answer["accepted"]):
            good = validator.is_valid(value)
            if accepted:
                assert good, (schema, text, "accepted")
            # What we write in one way only may be refused in another.
            plain = isinstance(schema, dict) and not {"pattern", "format", "anyOf", "minimum"} & set(json.dumps(schema).split('"'))
            if good and plain and declared_only(schema, value) and "\\u" not in text and "." not in text:
                assert accepted, (schema, text, "refused")
                valid += 1
    assert count > 1000 and valid > 200, (count, valid)
    return count, valid


def main():
    rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 7)
    ours = Ours(sys.argv[1])
    regex_texts_checked = check_regexes(ours, rng)
    samples, valid = check_schemas(ours, rng)
    for schema, pointer in REFUSED:
        answer = ours.ask(kind="schema", text=json.dumps(schema))
        assert "error" in answer and f"'{pointer}" in answer["error"] or pointer == "" and "error" in answer, (schema, pointer, answer)
    print(f"{len(REGEXES)} regular expressions with {regex_texts_checked} texts, {len(SCHEMAS)} schemas: {samples} samples valid, "
          f"{valid} valid values accepted; {len(REFUSED)} schemas refused with their place")
    return 0


if __name__ == "__main__":
    sys.exit(main())
