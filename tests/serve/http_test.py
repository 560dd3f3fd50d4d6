#!/usr/bin/env python3
"""`lockstep serve` as clients may mistreat it: malformed requests, keys, TLS, clients that leave or do not read, overload, signals.

  http_test.py --mpirun mpirun --lockstep build/cpu/bin/lockstep [--case NAME]
"""

import http.client
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import malformed  # noqa: E402
from server import SLOW, Server, expect, launch  # noqa: E402

LONG = {"prompt": "abc", "max_tokens": 500, "ignore_eos": True, "temperature": 0}


def post_bytes(body, path="/v1/completions", **fields):
    return malformed.post(path, json.dumps({**body, **fields}).encode())


def case_routes(args, directory):
    with Server(args, directory) as server:
        expect(server.request("GET", "/health")[0] == 200, "/health")
        status, headers, page = server.request("GET", "/")
        expect(status == 200 and b"</html>" in page and "default-src 'none'" in headers["Content-Security-Policy"], "the page")
        expect(b"http://" not in page and b"https://" not in page, "the page asks for something from outside")
        expect(json.loads(server.request("GET", "/version")[2])["version"], "/version")
        expect(server.request("HEAD", "/version")[2] == b"", "HEAD has a body")
        status, answer = server.post("/tokenize", {"prompt": "a!", "return_token_strs": True})
        expect(answer == {"count": 2, "max_model_len": 512, "tokens": [64, 0], "token_strs": ["a", "!"]}, answer)
        expect(server.post("/tokenize", {"messages": [{"role": "user", "content": "a"}]})[1]["count"] == len("<user>a<assistant>"), "a chat")
        expect(server.post("/detokenize", {"tokens": [64, 0]})[1] == {"prompt": "a!"}, "/detokenize")
        for path, method, status in (("/nothing", "GET", 404), ("/v1/completions", "GET", 405), ("/health", "POST", 405)):
            expect(server.request(method, path)[0] == status, f"{method} {path}")
        expect(server.request("POST", "/tokenize", b"{}", headers={"Content-Type": "text/plain"})[0] == 415, "another type")
        # One connection, several requests, some sent ahead; chunked; 100-continue.
        with socket.create_connection((server.host, server.port), timeout=30) as connection:
            small = {"prompt": "x", "max_tokens": 1}
            body = json.dumps(small).encode()
            connection.sendall(post_bytes(small) * 3)
            connection.sendall(malformed.head(fields=["Transfer-Encoding: chunked", "Content-Type: application/json"]) +
                               b"%x;ext=1\r\n" % len(body) + body + b"\r\n0\r\nTrailer: x\r\n\r\n")
            connection.sendall(malformed.head(fields=[f"Content-Length: {len(body)}", "Content-Type: application/json", "Expect: 100-continue",
                                                      "Connection: close"]))
            time.sleep(1)
            connection.sendall(body)
            answer = b""
            while part := connection.recv(65536):
                answer += part
            expect(answer.count(b"HTTP/1.1 200 OK") == 5 and answer.count(b'"text_completion"') == 5, answer)
        with socket.create_connection((server.host, server.port), timeout=30) as connection:  # HTTP/1.0 has no chunks
            connection.sendall(post_bytes(LONG, max_tokens=3, stream=True).replace(b"HTTP/1.1", b"HTTP/1.0"))
            answer = b""
            while part := connection.recv(65536):
                answer += part
            expect(b"chunked" not in answer and answer.endswith(b"data: [DONE]\n\n"), answer)
        values = server.wait_idle()
        expect(values["vllm:generation_tokens_total"] == 8 and values["vllm:request_success_total"] == 6, values)
        expect(values["vllm:time_to_first_token_seconds_count"] == 6, values)
    log = server.log()
    expect("first token" in log and "abc" not in log, "the log has the prompt, or no line for a request:\n" + log)


def case_malformed(args, directory):
    rng = random.Random(args.seed)
    with Server(args, directory, "--read-timeout", 2, "--max-body-mib", 1) as server:
        failures = []
        for i in range(args.count):
            data, half_close, kind = malformed.make(rng)
            status = malformed.ask(server.host, server.port, data, half_close)
            if not 400 <= status < 500:
                failures.append((i, kind, status, data[:300]))
        slow = threading.Thread(target=lambda: slow_ones.append(malformed.ask(server.host, server.port, malformed.head(), False, pace=0.5)))
        slow_ones = []
        slow.start()
        large = malformed.ask(server.host, server.port, post_bytes({"prompt": "x" * (2 << 20)}), False)
        expect(large == 413, f"a body that is too large: {large}")
        slow.join()
        expect(slow_ones == [408], f"a slow client: {slow_ones}")
        expect(not failures, f"{len(failures)} of {args.count} were not refused: {failures[:10]}")
        expect(server.post("/v1/completions", {"prompt": "x", "max_tokens": 2})[0] == 200, "a good request afterwards")
        server.wait_idle()


def case_keys(args, directory):
    certificate, key = directory / "cert.pem", directory / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    with Server(args, directory, "--api-key", "first", "--ssl-certfile", certificate, "--ssl-keyfile", key,
                environment={"LOCKSTEP_API_KEY": "second"}) as server:
        expect(server.scheme == "https", server.url)
        context = ssl.create_default_context(cafile=certificate)

        def get(path, authorization=None, body=None):
            connection = http.client.HTTPSConnection(server.host, server.port, timeout=30, context=context)
            headers = {"Content-Type": "application/json", **({"Authorization": authorization} if authorization else {})}
            connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

        expect(get("/health")[0] == 200, "/health needs no key")
        for path in ("/", "/v1/models", "/metrics", "/version", "/nothing", "/tokenize"):
            expect(get(path)[0] == 401 and get(path, "Bearer wrong")[0] == 401, f"{path} without a key")
        for authorization in ("Bearer first", "Bearer second", "Basic OmZpcnN0"):
            expect(get("/v1/models", authorization)[0] == 200, authorization)
        status, answer = get("/v1/completions", "Bearer first", {**LONG, "max_tokens": 20, "stream": True})
        expect(status == 200 and answer.endswith(b"data: [DONE]\n\n"), answer)
        expect(malformed.ask(server.host, server.port, malformed.head("/health", method="GET"), True) == 0, "plain HTTP on a TLS port")
        expect(get("/health")[0] == 200, "after plain HTTP")
        os.kill(server.process.pid, signal.SIGTERM)
        server.wait(30)
        expect(server.process.returncode == 0, server.log())


def open_stream(server, **fields):
    connection = socket.create_connection((server.host, server.port), timeout=30)
    connection.sendall(post_bytes(LONG, stream=True, **fields))
    expect(connection.recv(20).startswith(b"HTTP/1.1 200"), "a stream")
    return connection


def case_leaving(args, directory):
    with Server(args, directory, "--max-num-seqs", 4, "--max-queue", 4, "--send-timeout", 2, ranks=args.ranks, sizes=SLOW) as server:
        before = server.wait_idle()
        streams = [open_stream(server, n=2, max_tokens=8000) for _ in range(2)]
        waiting = socket.create_connection((server.host, server.port), timeout=30)  # it waits for a place, and leaves before
        waiting.sendall(post_bytes(LONG, max_tokens=8000))
        time.sleep(0.3)
        waiting.close()
        for connection in streams:
            connection.close()
        values = server.wait_idle(timeout=10)
        expect(values["vllm:request_success_total"] - before["vllm:request_success_total"] == 3, values)
        expect(values["vllm:generation_tokens_total"] < 16000, "clients that left were served to the end")

        # One that does not read is given up; meanwhile others are served.
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect((server.host, server.port))
        slow.sendall(post_bytes(LONG, max_tokens=19000, stream=True, logprobs=20, n=4))
        deadline = time.monotonic() + 60
        aborted = values["vllm:request_success_total"]
        while server.metrics()["vllm:request_success_total"] <= aborted:
            expect(server.post("/tokenize", {"prompt": "x"})[0] == 200 and time.monotonic() < deadline, "a client that does not read is kept")
            time.sleep(0.1)
        server.wait_idle(timeout=10)
        slow.close()

        # Full: 429, with the time to come again.
        taken = [open_stream(server, max_tokens=8000) for _ in range(4)] + [socket.create_connection((server.host, server.port)) for _ in range(4)]
        for connection in taken[4:]:
            connection.sendall(post_bytes(LONG, max_tokens=8000))
        time.sleep(0.5)
        status, headers, answer = server.request("POST", "/v1/completions", {**LONG, "n": 4})
        expect(status == 429 and headers["Retry-After"] and json.loads(answer)["error"]["type"] == "rate_limit_error", (status, answer))
        expect(server.post("/v1/completions", {**LONG, "n": 9})[0] == 400, "more at once than there can ever be")
        for connection in taken:
            connection.close()
        server.wait_idle(timeout=10)


def case_signal(args, directory):
    """SIGTERM finishes what has begun and takes nothing more; what lasts too long is cut off."""
    with Server(args, directory, ranks=args.ranks, sizes=SLOW) as server:
        idle = http.client.HTTPConnection(server.host, server.port, timeout=30)
        idle.request("GET", "/health")
        idle.getresponse().read()
        stream = open_stream(server, max_tokens=300)
        os.kill(server.root_pid(), signal.SIGTERM)
        answer = b""
        while part := stream.recv(65536):
            answer += part
        expect(b"data: [DONE]" in answer, "a stream was cut off")
        server.wait(30)
        expect(server.process.returncode == 0, f"exit code {server.process.returncode}\n{server.log()}")
        expect(idle.sock.recv(1) == b"", "an idle connection was kept")
    with Server(args, directory, "--drain-timeout", 0, "--max-num-seqs", 1, sizes=SLOW) as server:
        streams = [open_stream(server, max_tokens=8000), socket.create_connection((server.host, server.port), timeout=30)]
        streams[1].sendall(post_bytes(LONG, max_tokens=8000))
        time.sleep(0.2)
        os.kill(server.root_pid(), signal.SIGTERM)
        server.wait(30)
        expect(server.process.returncode == 0, f"exit code {server.process.returncode}\n{server.log()}")


CASES = {name[5:]: function for name, function in list(globals().items()) if name.startswith("case_")}


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(CASES))
        return
    parser = launch.parser(__doc__, device=True)
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--count", type=int, default=400, help="malformed requests")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    for name, case in CASES.items():
        if args.case in (None, name):
            with tempfile.TemporaryDirectory() as directory:
                case(args, Path(directory))
            print(f"{name}: passed", flush=True)


if __name__ == "__main__":
    main()
