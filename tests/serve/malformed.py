"""Requests that are wrong, made at random, and what a server must answer: a 4xx each. Python's standard library only."""

import json
import re
import socket
import time

GOOD = {"/v1/chat/completions": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1},
        "/v1/completions": {"prompt": "Hi", "max_tokens": 1},
        "/tokenize": {"prompt": "Hi"},
        "/detokenize": {"tokens": [1, 2]}}


def head(path="/v1/completions", fields=(), method="POST", version="HTTP/1.1", host="Host: x"):
    lines = [f"{method} {path} {version}", *([host] if host else []), *fields]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def post(path, body, fields=()):
    return head(path, [f"Content-Length: {len(body)}", "Content-Type: application/json", *fields]) + body


def bad_json(rng):
    path = rng.choice(list(GOOD))
    text = bytearray(json.dumps(GOOD[path]).encode())
    kind = rng.randrange(6)
    if kind == 0:
        del text[rng.randrange(1, len(text)):]
    elif kind == 1:
        text[rng.randrange(len(text)):] = bytes(rng.randrange(256) for _ in range(20)) + b"\xff"
    elif kind == 2:
        text = b"[" * rng.choice([65, 1000, 200000])
    elif kind == 3:
        text = b'{"prompt": "\xff\xfe", "tokens": [1], "messages": []}'
    elif kind == 4:
        text = b'{"a":' * 5000 + b"1" + b"}" * 5000
    else:
        text = b'{"prompt": "a", "prompt": "b", "tokens": [1], "tokens": [2], "messages": [], "messages": []}'
    return post(path, bytes(text))


def bad_field(rng):
    path = rng.choice(["/v1/chat/completions", "/v1/completions"])
    wrong = {"temperature": ["hot", -1, 1e9, [], {}], "max_tokens": [-1, 1.5, "9", 10**30, []], "n": [0, -1, 10**9, "1", 1.5],
             "top_p": [0, 2, "x", []], "seed": ["s", 1.5, 10**30, {}], "stop": [3, [1], [""], {}, ["x"] * 100],
             "logit_bias": [[], 3, {"x": 1}, {"1": "a"}, {"99999": 1}, {"-1": 1}, {"1": 1e9}], "top_k": ["a", 1.5, -5],
             "stream": [1, "true", []], "stream_options": [3, {"x": 1}, []], "no_such_field": [1], "model": ["nope", 3, []],
             "stop_token_ids": [3, ["a"], [-1], [1.5]], "min_tokens": [-1, "x", 10**12], "best_of": [7, "x"], "logprobs": [-1, 1000, [], "x"],
             "priority": ["x", 1.5, 10**30], "cache_salt": [3, []], "response_format": [3, {"type": "no"}, {}]}
    name = rng.choice(list(wrong))
    return post(path, json.dumps({**GOOD[path], name: rng.choice(wrong[name])}).encode())


def bad_main(rng):
    if rng.random() < 0.5:
        value = rng.choice([None, 3, [], {}, [3], [{}], [{"role": 1}], "x", [{"role": "user", "content": 3}], [{"role": "user", "content": [{"type": "image_url"}]}]])
        return post("/v1/chat/completions", json.dumps({"messages": value}).encode())
    value = rng.choice([None, 3, [], {}, [[]], [-1], [1.5], ["a", 1], [99999], [10**20], "", "x" * 5000, [1] * 5000])
    return post("/v1/completions", json.dumps({"prompt": value}).encode())


def smuggling(rng):
    body = json.dumps(GOOD["/v1/completions"]).encode()
    length, chunked = f"Content-Length: {len(body)}", "Transfer-Encoding: chunked"
    fields = rng.choice([[length, chunked], [chunked, length], [length, length], [length, "Content-Length: 1"], [chunked, chunked],
                         ["Content-Length: +5"], ["Content-Length: -1"], ["Content-Length: 0x10"], ["Content-Length: 1, 1"], ["Content-Length:"],
                         ["Content-Length: 99999999999999999999999"], ["Transfer-Encoding: gzip, chunked"], ["Transfer-Encoding: xchunked"],
                         ["Transfer-Encoding : chunked"], ["Transfer-Encoding:\x0bchunked"], [" " + length], ["X: a", " " + length],
                         ["X: a\n" + length], ["X: a\r" + length], ["X: a\0b"], ["NoColon"], [": x"], ["Host: y"], ["Transfer-Encoding: identity"],
                         ["Transfer-Encoding: chunked\x00"], ["X Y: z"]])
    return head(fields=[*fields, "Content-Type: application/json"]) + body


def bad_http(rng):
    return rng.choice([
        head(version="HTTP/2.0"), head(version="HTTP/1.2"), head(version="http/1.1"), head(version=""), head(host=None), head("/no/such/route"),
        head("http://x/"), head("*"), head("/a b"), head(method="BREW"), head(method="G@T"), head("/v1/completions", method="GET"),
        head("/health", ["Content-Length: 0"], method="DELETE"), head("/" + "a" * 10000), head(fields=["X: " + "a" * 40000]),
        head(fields=[f"X{i}: y" for i in range(200)]), b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\0" * 100, b"\n\n\n", b"GET /\n\n",
        head(fields=["Content-Type: text/plain", "Content-Length: 2"]) + b"{}", head(fields=["Content-Length: 2"]) + b"{}",
        head(fields=["Expect: magic", "Content-Length: 2", "Content-Type: application/json"]) + b"{}",
        head(fields=["Content-Length: 999999999999", "Content-Type: application/json"]),
        head(fields=["Transfer-Encoding: chunked", "Content-Type: application/json"]) + rng.choice(
            [b"zz\r\n{}\r\n0\r\n\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n", b"2\r\n{}x\r\n0\r\n\r\n", b"2;" + b"a" * 300000, b"2\n{}\r\n0\r\n\r\n"]),
        bytes(rng.randrange(256) for _ in range(200)) + b"\r\n\r\n"])


def cut_short(rng):
    """Half of a request; the client then says that nothing more comes."""
    path = rng.choice(list(GOOD))
    text = post(path, json.dumps(GOOD[path]).encode())
    return text[:rng.randrange(1, len(text) - 1)]


KINDS = [bad_json, bad_field, bad_main, smuggling, bad_http, cut_short]


def make(rng):
    """(bytes, whether the client closes its side behind them, name)"""
    kind = rng.choice(KINDS)
    return kind(rng), kind is cut_short, kind.__name__


def ask(host, port, data, half_close, timeout=60, pace=None):
    """The status of the answer, 0 where the connection ended without one. pace: seconds between pieces of a slow client."""
    with socket.create_connection((host, port), timeout=timeout) as connection:
        try:
            if pace:
                for i in range(0, len(data), 7):
                    connection.sendall(data[i:i + 7])
                    time.sleep(pace)
            else:
                connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it was refused before all was sent; the answer tells
        answer = b""
        try:
            while b"\r\n\r\n" not in answer:
                part = connection.recv(65536)
                if not part:
                    break
                answer += part
        except ConnectionError:
            pass
    found = re.match(rb"HTTP/1\.1 (\d+) ", answer)
    return int(found[1]) if found else 0
