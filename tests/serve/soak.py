#!/usr/bin/env python3
"""Load on `lockstep serve` from clients of which many leave early: every request is accounted for, memory and descriptors do not grow,
and seeded answers are those of a lone run.

  soak.py --mpirun mpirun --lockstep build/cpu/bin/lockstep --requests 10000 --connections 256 [--ranks 2] [--model DIR]
"""

import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import malformed  # noqa: E402
from server import Server, expect, launch  # noqa: E402

TIMEOUT = 300  # for one answer


def make_bodies(count, longest, rng):
    """Different requests, each with a seed."""
    common = "You are asked the following. "
    bodies = []
    for i in range(count):
        text = (common if rng.random() < 0.5 else "") + "".join(rng.choice("abcdefgh ,.") for _ in range(rng.randrange(1, 60)))
        fields = {"model": "tiny", "max_tokens": rng.randrange(1, longest), "seed": i, "temperature": rng.choice([0, 0.7, 1.0]),
                  "ignore_eos": True, "stream": rng.random() < 0.6}
        if rng.random() < 0.3:
            fields["top_p"] = 0.9
        if rng.random() < 0.5:
            bodies.append(("/v1/chat/completions", {**fields, "messages": [{"role": "user", "content": text}]}))
        else:
            bodies.append(("/v1/completions", {**fields, "prompt": text}))
    return bodies


def text_of(choice):
    if "text" in choice:
        return choice["text"]
    return (choice.get("message") or choice.get("delta") or {}).get("content") or ""


class Client:
    """One connection, opened again when it was left."""

    def __init__(self, server):
        self.server = server
        self.reader = self.writer = None

    async def send(self, path, body):
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection(self.server.host, self.server.port)
        self.writer.write(malformed.post(path, json.dumps(body).encode()))
        await self.writer.drain()

    def leave(self):
        if self.writer is not None:
            self.writer.transport.abort()
        self.reader = self.writer = None

    async def head(self):
        """(status, is it a stream, length of the body)"""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
        return int(lines[0].split()[1]), "text/event-stream" in fields["content-type"], int(fields.get("content-length", 0))

    async def ask(self, path, body, most_parts=None):
        """(status, text, whether it came to its end); leaves after `most_parts` parts of a stream."""
        await self.send(path, body)
        status, streams, length = await self.head()
        if not streams:
            answer = json.loads(await self.reader.readexactly(length))
            return status, "".join(map(text_of, answer.get("choices", []))), True
        text = ""
        held = b""
        parts = 0
        while True:
            size = int(await self.reader.readline(), 16)
            held += (await self.reader.readexactly(size + 2))[:-2]
            if size == 0:
                return status, text, True
            while b"\n\n" in held:
                event, held = held.split(b"\n\n", 1)
                if event == b"data: [DONE]":
                    continue
                text += "".join(map(text_of, json.loads(event[6:])["choices"]))
                parts += 1
                if parts == most_parts:
                    self.leave()
                    return status, text, False


class Soak:
    def __init__(self, server, bodies, alone, seed):
        self.server, self.bodies, self.alone = server, bodies, alone
        self.rng = random.Random(seed)
        self.counts = dict(answered=0, left=0, retried=0)
        self.wrong = []
        self.left_to_do = 0

    async def work(self):
        client = Client(self.server)
        while self.left_to_do > 0:
            self.left_to_do -= 1
            number = self.rng.randrange(len(self.bodies))
            path, body = self.bodies[number]
            way = self.rng.random()
            if way < 0.15:  # leaves at some time without having read anything
                await client.send(path, body)
                await asyncio.sleep(self.rng.random() * 0.3)
                client.leave()
                self.counts["left"] += 1
                continue
            most_parts = self.rng.randrange(1, 10) if way < 0.3 else None
            while True:
                status, text, whole = await asyncio.wait_for(client.ask(path, body, most_parts), TIMEOUT)
                if status != 429:
                    break
                self.counts["retried"] += 1
                await asyncio.sleep(0.1)
            self.counts["answered" if whole else "left"] += 1
            right = self.alone[number]
            if status != 200 or (text != right if whole else not right.startswith(text)):
                self.wrong.append((number, status, text, right))
        client.leave()

    async def run(self, count, connections):
        self.left_to_do = count
        await asyncio.gather(*(self.work() for _ in range(connections)))


async def run_alone(server, bodies):
    client = Client(server)
    answers = []
    for path, body in bodies:
        status, text, _ = await client.ask(path, {**body, "stream": False})
        expect(status == 200, (status, text))
        answers.append(text)
    client.leave()
    return answers


def main():
    parser = launch.parser(__doc__, device=True)
    parser.add_argument("--requests", type=int, default=10000)
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--distinct", type=int, default=0, help="different requests (default: a tenth of them, at most 200)")
    parser.add_argument("--longest", type=int, default=48, help="tokens of an answer")
    parser.add_argument("--model", help="a directory (default: a small random model)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    bodies = make_bodies(args.distinct or min(200, args.requests // 10), args.longest, rng)
    model = ["--model", args.model, "--served-model-name", "tiny", "--max-model-len", 512] if args.model else None
    with tempfile.TemporaryDirectory() as directory, \
            Server(args, Path(directory), "--disable-log-requests", "--max-queue", 64, ranks=args.ranks, model=model) as server:
        start = time.monotonic()
        alone = asyncio.run(run_alone(server, bodies))
        print(f"{len(bodies)} requests alone: {time.monotonic() - start:.1f} s", flush=True)
        soak = Soak(server, bodies, alone, args.seed)
        first = args.requests // 4
        asyncio.run(soak.run(first, args.connections))  # buffers grow to their size
        before = server.wait_idle()
        start = time.monotonic()
        asyncio.run(soak.run(args.requests - first, args.connections))
        seconds = time.monotonic() - start
        after = server.wait_idle()
        time.sleep(0.5)
        after = server.metrics()
        total = args.requests + len(bodies)
        ended = after["vllm:request_success_total"]
        memory = [values["process_resident_memory_bytes"] / 2**20 for values in (before, after)]
        descriptors = [int(values["process_open_fds"]) for values in (before, after)]
        print(f"{args.requests} requests over {args.connections} connections, {args.ranks} ranks: {soak.counts}, {len(soak.wrong)} wrong; "
              f"{(args.requests - first) / seconds:.0f} requests/s; ended {ended:.0f} of {total}; memory {memory[0]:.1f} -> {memory[1]:.1f} MiB, "
              f"descriptors {descriptors[0]} -> {descriptors[1]}; KV in use {after['vllm:kv_cache_usage_perc']:.4f}", flush=True)
        expect(not soak.wrong, f"other answers than alone: {soak.wrong[:5]}")
        expect(soak.counts["answered"] + soak.counts["left"] == args.requests, soak.counts)
        # A request that was sent whole ends at the server, one way or the other; the retried ones were refused before.
        expect(ended == total, f"{ended} of {total} requests ended")
        expect(descriptors[1] <= descriptors[0] + 2, f"descriptors grow: {descriptors}")
        expect(memory[1] <= memory[0] * 1.05 + 16, f"memory grows: {memory}")
    print("passed")


if __name__ == "__main__":
    main()
