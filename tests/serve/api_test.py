#!/usr/bin/env python3
"""`lockstep serve` through the `openai` package, which is installed into a virtual environment; skipped where PyPI cannot be reached.

  api_test.py --mpirun mpirun --lockstep build/cpu/bin/lockstep --ranks 2 --venv build/cpu/serve-venv
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from server import Failure, Server, expect, launch  # noqa: E402

HERE = Path(__file__).resolve().parent
HELLO = [{"role": "user", "content": "Hello"}]


def enter_venv(directory):
    """Goes on with the environment's Python, where the package is."""
    python = Path(directory) / "bin" / "python"
    if Path(sys.prefix).resolve() == Path(directory).resolve():
        return
    wanted = (HERE / "requirements.txt").read_text()
    stamp = Path(directory) / "installed"
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", directory], check=True)
        done = subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--timeout", "20", "--retries", "2",
                               "-r", HERE / "requirements.txt"], capture_output=True, text=True)
        if done.returncode != 0:
            print(f"SKIPPED: the packages cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
            sys.exit(launch.SKIPPED)
        stamp.write_text(wanted)
    os.execv(python, [str(python), *sys.argv])


def check_models(client):
    models = client.models.list().data
    expect([model.id for model in models] == ["tiny"], models)
    expect(client.models.retrieve("tiny").max_model_len == 512, "max_model_len")


def check_completions(client):
    fixed = dict(model="tiny", max_tokens=12, seed=3, temperature=0.9, extra_body={"ignore_eos": True})
    one = client.completions.create(prompt="abc", **fixed)
    expect(one.object == "text_completion" and one.choices[0].finish_reason == "length", one)
    expect((one.usage.prompt_tokens, one.usage.completion_tokens, one.usage.total_tokens) == (3, 12, 15), one.usage)
    expect(client.completions.create(prompt="abc", **fixed).choices[0].text == one.choices[0].text, "a seeded request is not repeated")
    expect(client.completions.create(prompt=[97, 98, 99], **fixed).choices[0].text != "", "token ids")

    parts = list(client.completions.create(prompt="abc", stream=True, stream_options={"include_usage": True}, **fixed))
    expect("".join(part.choices[0].text for part in parts if part.choices) == one.choices[0].text, parts)
    expect(parts[-1].usage.completion_tokens == 12 and not parts[-1].choices, parts[-1])
    expect(parts[-2].choices[0].finish_reason == "length", parts[-2])

    # Several prompts, n, echo, log-probabilities.
    many = client.completions.create(prompt=["ab", "xyz"], n=2, logprobs=3, echo=True, **fixed)
    expect([choice.index for choice in many.choices] == [0, 1, 2, 3], many)
    for choice, prompt in zip(many.choices, ("ab", "ab", "xyz", "xyz")):
        logprobs = choice.logprobs
        expect(choice.text.startswith(prompt), choice)
        expect(len(logprobs.tokens) == len(prompt) + 12 and logprobs.token_logprobs[0] is None, logprobs)
        expect(all(value <= 0 for value in logprobs.token_logprobs[1:]) and logprobs.text_offset[:2] == [0, 1], logprobs)
        expect(all(1 <= len(top) <= 4 for top in logprobs.top_logprobs[1:]), logprobs.top_logprobs)
    expect(many.choices[0].text != many.choices[1].text, "two continuations with different seeds are the same")
    # What lm-eval asks for: the prompt's log-probabilities.
    prompt = client.completions.create(model="tiny", prompt=[1, 2, 3, 4], max_tokens=0, echo=True, logprobs=1, temperature=0)
    expect(len(prompt.choices[0].logprobs.token_logprobs) == 4 and prompt.usage.completion_tokens == 0, prompt)

    # A bias decides; a stop string ends, also across tokens; min_tokens holds it off.
    a = {"model": "tiny", "prompt": "q", "logit_bias": {str(token_of("a")): 100}, "max_tokens": 8}
    expect(client.completions.create(**a).choices[0].text == "aaaaaaaa", "logit_bias")
    stopped = client.completions.create(**a, stop=["aaa"]).choices[0]
    expect((stopped.text, stopped.finish_reason) == ("", "stop"), stopped)
    late = client.completions.create(**a, stop=["aaa"], extra_body={"min_tokens": 4}).choices[0]
    expect(late.text == "aaaa" and late.finish_reason == "stop", late)
    by_id = client.completions.create(**a, extra_body={"stop_token_ids": [token_of("a")]}).choices[0]
    expect((by_id.text, by_id.finish_reason) == ("", "stop"), by_id)


def token_of(character):
    """In the tests' tokenizer."""
    return ord(character) - ord("!")


def check_chat(client):
    fixed = dict(model="tiny", messages=HELLO, max_completion_tokens=10, seed=5, temperature=1, extra_body={"ignore_eos": True})
    one = client.chat.completions.create(**fixed)
    expect(one.object == "chat.completion" and one.choices[0].message.role == "assistant", one)
    expect(one.usage.prompt_tokens == len("<user>Hello<assistant>") and one.usage.completion_tokens == 10, one.usage)
    parts = list(client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **fixed))
    text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    expect(text == one.choices[0].message.content, f"{text!r} streamed, {one.choices[0].message.content!r} at once")
    expect(parts[0].choices[0].delta.role == "assistant" and parts[-1].usage.completion_tokens == 10, parts)
    expect(parts[-1].usage.prompt_tokens_details.cached_tokens >= 0, parts[-1].usage)

    several = list(client.chat.completions.create(stream=True, n=3, **fixed))
    texts = ["".join(part.choices[0].delta.content or "" for part in several if part.choices[0].index == i) for i in range(3)]
    at_once = client.chat.completions.create(n=3, **fixed)
    expect(texts == [choice.message.content for choice in at_once.choices], texts)
    expect(texts[0] == text and len(set(texts)) == 3, texts)

    logged = client.chat.completions.create(logprobs=True, top_logprobs=2, **fixed).choices[0].logprobs.content
    expect(len(logged) == 10 and all(len(entry.top_logprobs) == 2 and entry.logprob <= 0 for entry in logged), logged)
    parts = client.chat.completions.create(logprobs=True, top_logprobs=2, stream=True, **fixed)
    streamed = [entry for part in parts if part.choices[0].logprobs for entry in part.choices[0].logprobs.content]
    expect([entry.token for entry in streamed] == [entry.token for entry in logged], streamed)

    tools = [{"type": "function", "function": {"name": "weather", "description": "d", "parameters": {"type": "object", "properties": {"z": {}, "a": {}}}}}]
    with_tools = client.chat.completions.create(model="tiny", messages=[
        *HELLO, {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "rain"}], tools=tools, max_tokens=4)
    expect(with_tools.usage.prompt_tokens > one.usage.prompt_tokens + 100, "the template was not told of the tools")
    content = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    parted = client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": content}], max_tokens=1)
    expect(parted.usage.prompt_tokens == one.usage.prompt_tokens + 1, "the parts of a message are joined by a line end")


def check_forms(client):
    """What the output must be, be the model as random as it may."""
    fixed = dict(model="tiny", messages=HELLO, max_tokens=200, seed=1, temperature=1)

    def text(form):
        choice = client.chat.completions.create(response_format=form, **fixed).choices[0]
        return choice.message.content if choice.finish_reason == "stop" else None

    schema = {"type": "object", "properties": {"b": {"type": "boolean"}, "a": {"enum": ["x", "y"]}}, "required": ["b", "a"], "additionalProperties": False}
    answer = json.loads(text({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}))
    expect(isinstance(answer["b"], bool) and answer["a"] in ("x", "y") and len(answer) == 2, answer)
    by_vllm = client.completions.create(model="tiny", prompt="x", max_tokens=9, extra_body={"structured_outputs": {"regex": "(yes|no)"}})
    expect(by_vllm.choices[0].text in ("yes", "no"), by_vllm)
    tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    for choice in ("required", {"type": "function", "function": {"name": "f"}}):
        message = client.chat.completions.create(tools=tools, tool_choice=choice, **{**fixed, "max_tokens": 400}).choices[0].message
        call = message.tool_calls[0].function
        expect(call.name == "f" and set(json.loads(call.arguments)) == {"a", "b"}, message)


def check_errors(client, openai):
    def refused(kind, status, words, **fields):
        try:
            client.chat.completions.create(**{"model": "tiny", "messages": HELLO, "max_tokens": 1, **fields})
        except kind as error:
            expect(error.status_code == status, error)
            expect(all(word in str(error) for word in words), error)
            expect(error.body["type"] and "code" in error.body, error.body)
            return
        raise Failure(f"not refused: {fields}")

    refused(openai.NotFoundError, 404, ["'none'", "'tiny'"], model="none")
    refused(openai.BadRequestError, 400, ["temperature", "-1"], temperature=-1)
    refused(openai.BadRequestError, 400, ["messages"], messages=[])
    refused(openai.BadRequestError, 400, ["context", "512"], messages=[{"role": "user", "content": "x" * 600}])
    refused(openai.BadRequestError, 400, ["JSON schema", "/type", "odd"], response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "odd"}}})
    refused(openai.BadRequestError, 400, ["bogus"], extra_body={"bogus": 1})
    refused(openai.BadRequestError, 400, ["256"], logit_bias={"256": 1})


async def check_many(openai, url):
    """What is asked at once is answered as if alone."""
    client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0)

    async def ask(i):
        answer = await client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": f"Number {i}"}], max_tokens=5 + i % 20,
                                                      seed=i, temperature=0.8, extra_body={"ignore_eos": True})
        expect(answer.usage.completion_tokens == 5 + i % 20, answer.usage)
        return answer.choices[0].message.content

    alone = [await ask(i) for i in range(20)]
    expect(await asyncio.gather(*map(ask, range(20))) == alone, "other answers at once than alone")
    await client.close()


def main():
    parser = launch.parser(__doc__, device=True)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--venv", required=True)
    args = parser.parse_args()
    enter_venv(args.venv)
    import openai

    with tempfile.TemporaryDirectory() as directory, Server(args, Path(directory), ranks=args.ranks) as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)
        check_models(client)
        check_completions(client)
        check_chat(client)
        check_forms(client)
        check_errors(client, openai)
        asyncio.run(check_many(openai, server.url + "/v1"))
        server.wait_idle()
        client.close()
    print("passed")


if __name__ == "__main__":
    main()
