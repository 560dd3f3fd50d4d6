"""`lockstep serve` on CPU ranks with a small random model, for the tests beside this file. Python's standard library only."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
for folder in ("support", "fault", "bench"):
    sys.path.insert(0, str(TESTS / folder))
import bench_test  # noqa: E402
import fault_test  # noqa: E402
import launch  # noqa: E402
from fault_test import Failure, expect  # noqa: E402, F401

START = 120  # seconds for a server to listen
# Every byte is a token: a random model writes all kinds of text, and invalid UTF-8.
MODEL = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
             vocab_size=256, max_position_embeddings=512)
# Takes some milliseconds a step, and has room to talk.
SLOW = dict(hidden_size=256, intermediate_size=1024, num_hidden_layers=16, num_attention_heads=4, num_key_value_heads=4, vocab_size=256,
            max_position_embeddings=20000)
TEMPLATE = ("{% if tools %}<tool_call>{{ tools|tojson }}</tool_call>{% endif %}{% for m in messages %}<{{ m.role }}>{{ m.content }}"
            "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}")


class Server:
    def __init__(self, args, directory, *flags, ranks=1, model=None, sizes=MODEL, environment=None):
        if model is None:
            text = directory / "tokenizer"
            text.mkdir(exist_ok=True)
            (text / "tokenizer.json").write_text(json.dumps(bench_test.tokenizer_json()))
            (text / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE}))
            model = ["--model", fault_test.yaml_model(directory, sizes), "--load-format", "dummy", "--tokenizer", text, "--served-model-name", "tiny"]
        command = [args.lockstep, "serve", *model, "--dtype", "float32", "--device", args.device, "--threads", 1, *launch.same_tokens(args), "--port", 0, *flags]
        command = launch.rank_command(args.mpirun, ranks, command) if ranks > 1 else list(map(str, command))
        self.ranks = ranks
        self.mark = f"LOCKSTEP_SERVE_TEST={uuid.uuid4()}"
        key, value = self.mark.split("=")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                        errors="replace", start_new_session=True, env={**launch.environment(), **(environment or {}), key: value})
        self.lines = []
        self.address = None
        self.listening = threading.Event()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        if not self.listening.wait(START) or self.address is None:
            self.kill()
            raise Failure("the server did not start:\n" + self.log())
        self.scheme, self.host, self.port = self.address
        self.url = f"{self.scheme}://{self.host}:{self.port}"

    def read(self):
        for line in self.process.stderr:
            self.lines.append(line)
            found = re.search(r"serving '.*' at (https?)://([^:]+):(\d+)", line)
            if found:
                self.address = found[1], found[2], int(found[3])
                self.listening.set()
        self.listening.set()

    def log(self):
        return "".join(self.lines[-200:])

    def request(self, method, path, body=None, headers=None, timeout=60):
        """(status, headers, body); body: bytes, or what becomes JSON."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
            connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def post(self, path, body, **more):
        status, _, answer = self.request("POST", path, body, **more)
        return status, json.loads(answer)

    def metrics(self):
        """{name: value summed over labels}"""
        values = {}
        for line in self.request("GET", "/metrics")[2].decode().splitlines():
            found = re.match(r"([a-zA-Z_:]+)(\{.*\})? (\S+)$", line)
            if found:
                values[found[1]] = values.get(found[1], 0.0) + float(found[3])
        return values

    def wait_idle(self, timeout=30):
        """Until nothing runs or waits; returns the metrics."""
        deadline = time.monotonic() + timeout
        while True:
            values = self.metrics()
            if values["vllm:num_requests_running"] == values["vllm:num_requests_waiting"] == 0:
                return values
            expect(time.monotonic() < deadline, f"still at work after {timeout} s: {values}")
            time.sleep(0.05)

    def root_pid(self):
        """That of rank 0."""
        if self.ranks == 1:
            return self.process.pid
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                environ = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if self.mark.encode() in environ and b"OMPI_COMM_WORLD_RANK=0" in environ:
                return int(entry.name)
        raise Failure("rank 0 is not found")

    def stop(self, timeout=60):
        """SIGTERM to rank 0, as a launcher that ends a job orderly sends it; the exit code must be 0."""
        os.kill(self.root_pid(), signal.SIGTERM)
        self.wait(timeout)
        expect(self.process.returncode == 0, f"exit code {self.process.returncode}:\n{self.log()}")

    def wait(self, timeout):
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(f"the server did not end within {timeout} s:\n{self.log()}") from None
        self.reader.join(10)

    def kill(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            if kind is None:
                self.stop()
            else:
                print(self.log(), file=sys.stderr)
                self.kill()
