#!/usr/bin/env python3
"""Makes the golden data of tests/unit/text/data: small tokenizers of each family, trained on the spot, with the ids and texts that
Hugging Face's `tokenizers` gives, and chat templates of each style with what Jinja makes of them.

Needs: pip install tokenizers==0.23.3 jinja2
Usage: make_tokenizer_golden.py [OUTPUT_DIR]
"""

import json
import pathlib
import random
import sys

from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CORPUS = """The quick brown fox jumps over the lazy dog, and the dog doesn't mind. It's what they've always done; we'll see.
In 2024 about 1,234,567 people wrote 3.14159 things and 0 of them were wrong. Call 555-0199 or 42!
def main(argv):\n    for i in range(10):\n        print(f"{i:>4} {argv[i]!r}")\n    return 0\n
#include <vector>\nint main() { std::vector<int> v{1, 2, 3}; return v.size() == 3 ? 0 : 1; }\n
Le cœur a ses raisons que la raison ne connaît point. Où est-il allé, déjà ? À l'été, l'œuvre naïve.
Die Straße führt über den Fluß; größere Übel äußern sich früher. Ungefähr fünfundzwanzig Wörter.
Съешь ещё этих мягких французских булок, да выпей чаю. Широкая электрификация южных губерний.
Η γρήγορη καφέ αλεπού πηδάει πάνω από το τεμπέλικο σκυλί. Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.
敏捷的棕色狐狸跳过了懒狗。你好，世界！今天天气很好，我们去公园散步吧。
いろはにほへと ちりぬるを。東京は日本の首都です。カタカナも書きます。
다람쥐 헌 쳇바퀴에 타고파. 안녕하세요 세계.
نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر. عربي ١٢٣
ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश। हिन्दी १२३
เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน
""".split("\n")

TEXTS = [
    "", " ", "  ", "   a", "a   ", "\n", "\r\n", "\n\n\n", " \n \t x", "\t\t\tif x:\r\n\t\treturn  1\r\n",
    "Hello, world!", "hello  world   again", "I'm you're he's we'd they'll I've IT'S DON'T can’t 's 'S",
    "0123456789", "3.14 1,000,000 v1.2.3 x2y 12ab34", "١٢٣ १२३ ½ Ⅳ ² ㊿ 𝟘𝟙",
    "naïve café Ångström", "nai\u0308ve cafe\u0301 A\u030angstro\u0308m", "ﬁne ﬂow Ｆｕｌｌ ＷＩＤＴＨ ①②③",
    "e\u0301\u0323\u0302 a\u0327\u0301 \u0301x", "各国の漢字と仮名", "你好，世界。今天 2024 年", "Привет, мир! Ещё раз.",
    "مرحبا بالعالم", "नमस्ते दुनिया", "สวัสดีชาวโลก", "안녕하세요", "한글",
    "😀😃 👩‍👩‍👧‍👦 🇩🇪🇫🇷 ✌🏽 ❤️", "a😀b", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "zero\u200bwidth\ufeffbom\u00adsoft\u180emongolian",
    "nbsp\u00a0here\u2003em\u3000ideographic\u2028line\u2029par\u0085nel", "tab\tvt\x0bff\x0cfs\x1cus\x1f nul\x00 del\x7f",
    "snake_case camelCase kebab-case SCREAMING_CASE", "x=(a+b)*c/d-e%f^g&h|i~!j", "https://example.com/a?b=c&d=e#f",
    "<html><body class=\"x\">&amp;</body></html>", "```python\nprint('hi')\n```", "!!!???...---***", "$100 €200 £300 ¥400",
    "\U00031350\U0002ebf0 \U000105c0\U00010d40 \u1c89\U00011f50", "a\ufffdb \U0010ffff \ue000",
    "ſs 'ſ 'ſt ıI K Å", "word <|endoftext|> word<|endoftext|>", "<s>[INST] hi [/INST]</s>", "<|endoftext|><|endoftext|>", "<|end", "▁a ▁▁b",
    "  leading and trailing  ", "ends with newline\n", "a\n \nb\n  \n  c", "a" * 33, " " * 20, "ab " * 9, "\u0301" * 9,
    "xMASKy MASK  MASK\nMASK.", "foo  LSTR foo LSTR", "RSTR  foo RSTR", "word wordy WORD word, aword word", "NORM ＮＯＲＭ norm", "é token e\u0301",
]

CONVERSATIONS = [
    [("user", "Hi")],
    [("system", "Be brief."), ("user", "What is the capital of France?")],
    [("user", " padded \n"), ("assistant", "  An answer. "), ("user", "And\nthen?")],
    [("system", ""), ("user", "é 世界 😀"), ("assistant", "<think>\nhm\n</think>\n\nYes."), ("user", "'quoted' \"text\" \\n {{ x }}")],
    [("assistant", "I begin."), ("user", "No.")],
    [("user", "one"), ("user", "two")],
    [("user", "a"), ("system", "late"), ("user", "b")],
    [("tool", "result")],
    [("user", "Q"), ("assistant", "last")],
]

QWEN3 = """{%- if tools %}
    {{- '<|im_start|>system\\n# Tools' }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(searching=true, last_query=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.searching and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.searching = false %}
        {%- set ns.last_query = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set content = message.content %}
        {%- set reasoning = '' %}
        {%- if message.reasoning_content is defined and message.reasoning_content is not none %}
            {%- set reasoning = message.reasoning_content %}
        {%- elif '</think>' in message.content %}
            {%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}
            {%- set reasoning = message.content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query and (loop.last or reasoning) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' ~ message.content ~ '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""

LLAMA3_1 = """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- The system message is taken out, to be put in its place. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if builtin_tools is defined %}
    {{- "Tools: " + builtin_tools | reject('equalto', 'code_interpreter') | join(", ") + "\\n\\n"}}
{%- endif %}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

CHATML_LOOP = "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
CHAT_TEMPLATES = {
    "chatml": "{% for message in messages %}" + CHATML_LOOP,
    "chatml_default_system": "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI assistant named Lock, trained by Step<|im_end|>\n' }}{% endif %}" + CHATML_LOOP,
    "chatml_text": "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system\nYou help.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n  {% if message['content'] is string %}\n{{ message['content'] }}<|im_end|>\n{% endif %}\n {# a remark #}\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "qwen2_5": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- for tool in tools %}
        {{- tool | tojson }}
    {%- endfor %}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou are Lock, created by Step. You are a helpful assistant.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- message.content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
""",
    "qwen3": QWEN3,
    "llama2": "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}",
    "llama3": "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
    "llama3_1": LLAMA3_1,
    "mistral": "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}",
    "mistral_nemo": """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- for message in loop_messages | rejectattr("role", "equalto", "tool") | selectattr("tool_calls", "undefined") %}
    {%- if (message["role"] == "user") != (loop.index0 % 2 == 0) %}
        {{- raise_exception("Roles must alternate!") }}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST]" + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST]" + message["content"] + ("[/INST] " if message == user_messages[-1] else "[/INST]") }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- message["content"] + eos_token}}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported!") }}
    {%- endif %}
{%- endfor %}
""",
}

LLAMA3_REGEX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2_REGEX = LLAMA3_REGEX.replace("{1,3}", "")
O200K_REGEX = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])


def added(content, **flags):
    return AddedToken(content, **({"normalized": False} | flags))


def train(tokenizer, vocab_size, special=(), alphabet=()):
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=list(special), initial_alphabet=list(alphabet), show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def byte_level(pre_tokenizer, normalizer=None, vocab_size=430):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    return train(tokenizer, vocab_size, [added("<|endoftext|>", special=True)], sorted(pre_tokenizers.ByteLevel.alphabet()))


def regex_then_bytes(*patterns, behavior="isolated"):
    parts = [pre_tokenizers.Split(Regex(p), behavior) for p in patterns]
    return pre_tokenizers.Sequence([*parts, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def sentencepiece(normalizer, pre_tokenizer, decoder, byte_fallback, fuse_unk=True):
    special = ["<unk>", "<s>", "</s>"]
    bytes_ = [f"<0x{b:02X}>" for b in range(256)] if byte_fallback else []
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=fuse_unk, byte_fallback=byte_fallback))
    tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.decoder = normalizer, pre_tokenizer, decoder
    train(tokenizer, 760 if byte_fallback else 500, special + bytes_)
    description = json.loads(tokenizer.to_str())
    description["added_tokens"] = [t for t in description["added_tokens"] if t["content"] in special]
    tokenizer = Tokenizer.from_str(json.dumps(description))
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    return tokenizer


def make_tokenizers():
    """Yields name, tokenizer.json as a dictionary."""
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False)

    gpt2 = json.loads(byte_level(bytes_).to_str())
    del gpt2["model"]["type"]  # as in old files
    gpt2["model"] |= {"continuing_subword_prefix": "", "end_of_word_suffix": "", "merges": ["#version: 0.2"] + [" ".join(m) for m in gpt2["model"]["merges"]]}
    yield "gpt2", gpt2

    smollm2 = byte_level(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), bytes_]))
    smollm2.add_special_tokens([added("<|im_start|>"), added("<|im_end|>")])
    yield "smollm2", json.loads(smollm2.to_str())

    llama3 = byte_level(regex_then_bytes(LLAMA3_REGEX))
    llama3.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing(single="<|endoftext|> $A", pair="<|endoftext|> $A $B", special_tokens=[("<|endoftext|>", 0)])])
    llama3 = json.loads(llama3.to_str())
    llama3["model"]["ignore_merges"] = True
    llama3["model"]["merges"] = [m for m in llama3["model"]["merges"] if m != ["Ġ", "t"]]  # so that it makes a difference
    yield "llama3", llama3

    yield "qwen2", json.loads(byte_level(regex_then_bytes(QWEN2_REGEX), normalizers.NFC()).to_str())
    yield "o200k", json.loads(byte_level(regex_then_bytes(O200K_REGEX), vocab_size=300).to_str())

    deepseek = byte_level(regex_then_bytes(r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-퟿]+", r"\p{N}{1,3}"), normalizers.Sequence([]), vocab_size=300)
    yield "deepseek", json.loads(deepseek.to_str())

    llama_decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    yield "llama2", json.loads(sentencepiece(normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), None, llama_decoder, True).to_str())
    yield "mistral", json.loads(sentencepiece(None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False), llama_decoder, True).to_str())
    yield "metaspace", json.loads(sentencepiece(normalizers.NFKC(), pre_tokenizers.Metaspace(), decoders.Metaspace(), False).to_str())
    yield "unknown", json.loads(sentencepiece(normalizers.Replace(Regex(r" {2,}"), " "), pre_tokenizers.Metaspace(prepend_scheme="never"), None, False, fuse_unk=False).to_str())

    splits = byte_level(pre_tokenizers.Sequence([
        pre_tokenizers.Split("-", "merged_with_previous"), pre_tokenizers.Split(Regex(r"\p{Lu}"), "merged_with_next"),
        pre_tokenizers.Split(Regex(r"\d"), "contiguous"), pre_tokenizers.Split(Regex(r"[^\S\n]+|[\S]+"), "removed", invert=True),
        pre_tokenizers.Split("?", "removed"), pre_tokenizers.ByteLevel(add_prefix_space=True)]), normalizers.NFD(), vocab_size=300)
    splits.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Replace(Regex(r"\s+"), "_"), decoders.Strip("_", 2, 0)])
    yield "splits", json.loads(splits.to_str())

    tokens = byte_level(bytes_, normalizers.NFKC(), vocab_size=300)
    tokens.add_tokens([added("MASK", lstrip=True, rstrip=True), added("LSTR", lstrip=True), added("RSTR", rstrip=True), added("word", single_word=True),
                       added("NORM", normalized=True), added("ﬁne", normalized=True), added("é token", normalized=True), added("  "), added("a😀")])
    tokens.add_special_tokens([added("<s>"), added("[INST]", lstrip=True)])
    yield "added_tokens", json.loads(tokens.to_str())


def make_cases(tokenizer, rng):
    encoded = [tokenizer.encode(t, add_special_tokens=False).ids for t in TEXTS]
    special = tokenizer.encode("x", add_special_tokens=True).ids
    decode = lambda ids: [tokenizer.decode(ids, skip_special_tokens=skip) for skip in (False, True)]
    size = tokenizer.get_vocab_size()
    random_ids = [[rng.randrange(size + 3) for _ in range(rng.randrange(1, 20))] for _ in range(25)]
    # Texts that decoding gives back unchanged are null.
    decoded = [None if decode(ids) == [t, t] else decode(ids) for ids, t in zip(encoded, TEXTS)]
    return {"encoded": encoded, "special": special, "decoded": decoded, "random_ids": random_ids, "random_decoded": [decode(ids) for ids in random_ids]}


def render(source, conversation):
    def raise_exception(message):
        raise ValueError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    environment.filters["tojson"] = lambda x: json.dumps(x, ensure_ascii=False)
    environment.globals["raise_exception"] = raise_exception
    messages = [{"role": role, "content": content} for role, content in conversation]
    try:
        return environment.from_string(source).render(messages=messages, tools=None, documents=None, add_generation_prompt=True, bos_token="<s>", eos_token="</s>")
    except ValueError:
        return None  # refused


def main():
    here = pathlib.Path(__file__).resolve().parent
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here.parent.parent / "tests" / "unit" / "text" / "data"
    out.mkdir(parents=True, exist_ok=True)

    def write(name, value):
        (out / name).write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")

    cases = {}
    for name, description in make_tokenizers():
        write(f"{name}.tokenizer.json", description)
        cases[name] = make_cases(Tokenizer.from_str(json.dumps(description)), random.Random(name))
    write("tokenizer_cases.json", {"texts": TEXTS, "families": cases})
    templates = {n: {"source": s, "rendered": [render(s, c) for c in CONVERSATIONS]} for n, s in CHAT_TEMPLATES.items()}
    write("chat_cases.json", {"conversations": CONVERSATIONS, "templates": templates})


if __name__ == "__main__":
    main()
