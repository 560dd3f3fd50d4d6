#!/usr/bin/env python3
"""`lockstep chat` through a pipe, under mpirun, and in a terminal (a pty), where Ctrl-C stops the answer and not the program.

    chat_test.py --mpirun mpirun --lockstep build/cpu/bin/lockstep
"""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
import launch  # noqa: E402
from model_files import Model  # noqa: E402

LIMIT = 60  # seconds
# Every turn, so that the answers depend on all that was said.
TEMPLATE = "{% for m in messages %}[{{ m.role[0] }}]{{ m.content }}{% endfor %}[a]"


def expect(condition, *what):
    if not condition:
        sys.exit("chat_test: " + " ".join(map(str, what)))


class Pipe:
    def __init__(self, args, model):
        self.args, self.model = args, model

    def run(self, text, *more, ranks=0, code=0):
        """(stdout, stderr) of a chat with `text` as its input; ranks: under mpirun."""
        command = [self.args.lockstep, "chat", "--model", str(self.model), "--ignore-eos", "--max-tokens", "8", "--threads", "1", *more]
        if ranks:
            command = launch.rank_command(self.args.mpirun, ranks, command)
        done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=LIMIT, env=launch.environment())
        out, err = done.stdout.decode(), done.stderr.decode()  # whatever line ends there are
        expect(done.returncode == code, f"exit code {done.returncode} instead of {code} for {text!r}:\n{out}{err}")
        return out, err


def check_pipe(chat, work):
    one, _ = chat.run("hello\n")
    two, _ = chat.run("hello\nhow are you\n")
    expect(one.endswith("\n") and two.startswith(one) and len(two) > len(one), "answers in order:", repr(one), repr(two))
    expect(chat.run("hello\nhow are you")[0] == two, "a last line without its end")
    expect(chat.run("hello\n/reset\nhow are you\n")[0] != two, "/reset forgets")
    expect(chat.run("how are you\n")[0] == chat.run("hello\n/reset\nhow are you\n")[0][len(one):], "/reset forgets all")
    expect(chat.run("hello\nhow are you\n", ranks=2)[0] == two, "two ranks answer alike")
    expect(chat.run("hello\n/exit\nhow are you\n")[0] == one, "/exit ends")

    # Several lines: a backslash, quotes; and a system message.
    joined, _ = chat.run("one\\\ntwo\n")
    expect(joined == chat.run('"""one\ntwo"""\n')[0] == chat.run('"""\none\ntwo\n"""\n')[0], "two ways to write two lines")
    expect(joined != chat.run("one\ntwo\n")[0], "one text of two lines is not two texts")
    system, _ = chat.run("hello\n", "--system", "be brief")
    expect(system != one and system == chat.run("/system be brief\nhello\n")[0], "a system message from flag or command")
    expect(chat.run("/system be brief\n/system -\nhello\n")[0] == one, "/system - takes it away")
    expect(chat.run("/system be brief\n/system\n")[0] == "be brief\n", "/system shows it")
    expect(chat.run("//help\n")[0] not in ("", one), "// sends a text that begins with /")

    saved = work / "chat.json"
    chat.run(f"/system S\nhello\n/save {saved}\nagain\n/save {saved}\n")
    messages = json.loads(saved.read_text())["messages"]
    expect([m["role"] for m in messages] == ["system", "user", "assistant", "user", "assistant"], messages)
    expect([messages[i]["content"] for i in (0, 1, 3)] == ["S", "hello", "again"], messages)
    _, err = chat.run(f"hello\n/save {saved}\n", code=1)
    expect("exists" in err, "another chat's file is not overwritten:", err)

    out, _ = chat.run("/help\nhello\n/stats\n")
    expect("/reset" in out and re.search(r"\d+ prompt tokens .* 8 output tokens", out), out)
    for wrong, words in (("/nothing\nhello\n", "no command"), ('"""never closed\n', "not sent")):
        _, err = chat.run(wrong, code=1)
        expect(words in err, err)


def check_overflow(chat):
    """The context of 256 tokens: the oldest turns go, and that is said; a message that alone is too long is refused."""
    out, err = chat.run("".join(f"message number {i} of a long talk\n" for i in range(12)))
    expect(len(out) > 12 and "no longer fit the context of 256 tokens" in err, err)
    out, err = chat.run("x y z " * 300 + "\nhello\n", code=1)
    expect("exceeds the context of 256" in err and out == chat.run("hello\n")[0], err)


def check_refusals(chat, work):
    for missing in ("tokenizer.json", "tokenizer_config.json"):
        broken = Model()
        del broken.texts[missing]
        broken.write(work / f"without_{missing}")
        _, err = Pipe(chat.args, work / f"without_{missing}").run("hello\n", code=1)
        expect("chat" in err and err.count("error") == 1, err)


class Terminal:
    """The chat in a terminal of its own."""

    def __init__(self, args, model, *more):
        self.text = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            env = {**launch.environment(), "TERM": "xterm", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}
            command = [args.lockstep, "chat", "--model", str(model), "--ignore-eos", "--threads", "1", *more]
            os.execve(command[0], command, env)

    def read_some(self, timeout):
        ready, _, _ = select.select([self.fd], [], [], timeout)
        if not ready:
            return False
        try:
            part = os.read(self.fd, 65536)
        except OSError:  # the other end is closed
            return False
        self.text += part
        return bool(part)

    def wait_for(self, what, after=0):
        """Until the terminal shows `what`; the place behind it."""
        end = time.monotonic() + LIMIT
        while (found := self.text.find(what, after)) < 0:
            expect(time.monotonic() < end, f"the terminal never shows {what!r} after {self.text[after:]!r}")
            self.read_some(0.2)
        return found + len(what)

    def type(self, text, editing=True):
        """editing: wait until keys go to the line editor. Before that the terminal itself takes Ctrl-D and backspace for its own."""
        stop = time.monotonic() + LIMIT
        while editing and termios.tcgetattr(self.fd)[3] & termios.ICANON:
            expect(time.monotonic() < stop, f"the chat does not edit lines; the terminal shows {self.text!r}")
            self.read_some(0.02)
        os.write(self.fd, text)

    def end(self):
        stop = time.monotonic() + LIMIT
        while time.monotonic() < stop:
            self.read_some(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        sys.exit(f"chat_test: the chat does not end; the terminal shows {self.text[-2000:]!r}")


def check_terminal(args, model):
    plain, _ = Pipe(args, model).run("hello\n")
    t = Terminal(args, model, "--max-tokens", "8")
    at = t.wait_for(b"> ", t.wait_for(b"/help"))
    t.type(b"jelx\x7flo\x01\x04h\x05\n")  # typed wrongly, and edited: backspace, to the start, delete, h, to the end
    at = t.wait_for(b"\n", at)
    at = t.wait_for(plain[:-1].replace("\n", "\r\n").encode(), at)
    at = t.wait_for(b"> ", at)
    t.type("é\x7f".encode() + b"\x1b[A\n")  # a character of two bytes erased whole; the line before, from the history
    at = t.wait_for(b"> ", t.wait_for(b"\n", at))
    t.type(b"half a line\x03")  # Ctrl-C forgets it
    at = t.wait_for(b"> ", t.wait_for(b"ends the chat", at))
    t.type(b"/stats\n")
    t.wait_for(b"chat: 2 answers", at)
    t.type(b"\x04")  # Ctrl-D
    expect(t.end() == 0, "Ctrl-D ends with code 0")


def check_interrupt(args, model):
    # Long enough to be stopped on the way.
    t = Terminal(args, model, "--max-tokens", "4000", "--max-model-len", "8000")
    at = t.wait_for(b"> ", t.wait_for(b"/help"))
    t.type(b"hello\n")
    at = t.wait_for(b"\n", at)
    while len(t.text) < at + 40:
        t.read_some(0.2)
    t.type(b"\x03", editing=False)
    at = t.wait_for(b"[stopped]", at)
    at = t.wait_for(b"> ", at)
    t.type(b"/stats\n")
    at = t.wait_for(b"chat: 1 answers", at)
    t.type(b"again\n")  # still there, and the answer that was cut is part of the chat
    at = t.wait_for(b"\n", t.wait_for(b"> ", at))
    while len(t.text) < at + 40:
        t.read_some(0.2)
    os.kill(t.pid, signal.SIGTERM)
    code = t.end()
    expect(code == 128 + signal.SIGTERM, f"SIGTERM ends the chat with {code}; the terminal shows {t.text[-300:]!r}")


def main():
    args = launch.parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        model = Model()
        model.texts["tokenizer_config.json"] = json.dumps({"chat_template": TEMPLATE})
        model.write(work / "model")
        model.config["max_position_embeddings"] = 8192
        model.write(work / "long")
        chat = Pipe(args, work / "model")
        check_pipe(chat, work)
        check_overflow(chat)
        check_refusals(chat, work)
        check_terminal(args, work / "model")
        check_interrupt(args, work / "long")


if __name__ == "__main__":
    main()
