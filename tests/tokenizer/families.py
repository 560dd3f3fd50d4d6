"""tokenizer.json of the families that Lockstep reads, each as its publisher configures it, around a vocabulary trained on the spot.

The configurations are those of the published files; only vocabulary and merges are ours.
"""

import json

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")
QWEN3_5 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CL100K = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
          r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|"
          r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
O200K = TEKKEN.replace("]+|[^\\r", "]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r").replace("]*|\\p{N}|", "]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}|")
KIMI = r"[\p{Han}]+|" + O200K.replace("\\p{Lo}\\p{M}]", "\\p{Lo}\\p{M}&&[^\\p{Han}]]")
DEEPSEEK_LLM = [
    "[\r\n]",
    r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹ"
    r"ℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+",
    r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", "[一-龥ࠀ-一가-퟿]+"]
DEEPSEEK_CODER = ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+"]
DEEPSEEK_V3 = [
    r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^" "\r\n" r"\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[" "\r\n" r"]*|\s*["
    "\r\n" r"]+|\s+(?!\S)|\s+"]
BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"
CLIP = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
WORDS = r"\w+|[^\w\s]+|\b"
UNCOMMON = r"(?:\h{4}|\R|\p{han}{,2}\w|[[:punct:]x-z]+|[\P{L}&&[^\s\d]]{2,4}|\p{C}+|\W)"


def added(content, special=True, **flags):
    return AddedToken(content, special=special, **({"normalized": not special} | flags))


class Maker:
    """Makes the families around vocabularies of a given size."""

    def __init__(self, corpus, vocab_size):
        self.corpus = corpus
        self.vocab_size = vocab_size

    def train(self, tokenizer, special=(), alphabet=(), **options):
        size = self.vocab_size + len(special) + len(alphabet)
        trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=list(special), initial_alphabet=list(alphabet), show_progress=False,
                                      max_token_length=16, **options)
        tokenizer.train_from_iterator(self.corpus, trainer)

    def byte_level(self, pre, special, more=(), normalizer=None, decoder=None, post=None, model=None):
        """special: tokens in front of the vocabulary; more: added behind it."""
        tokenizer = Tokenizer(models.BPE())
        tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.decoder = normalizer, pre, decoder or decoders.ByteLevel()
        self.train(tokenizer, special, sorted(pre_tokenizers.ByteLevel.alphabet()))
        tokenizer.add_tokens(list(more))
        if post:
            tokenizer.post_processor = post
        result = json.loads(tokenizer.to_str())
        result["model"] |= model or {}
        return result

    def sentencepiece(self, normalizer, pre, decoder, more=(), model=None, bos="<s>", in_vocab=()):
        special = ["<unk>", "<s>", "</s>"] if bos == "<s>" else ["<pad>", "<eos>", bos, "<unk>"]
        bytes_ = [f"<0x{b:02X}>" for b in range(256)]
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.decoder = normalizer, pre, decoder
        self.train(tokenizer, special + list(in_vocab) + bytes_, limit_alphabet=min(600, self.vocab_size))
        result = json.loads(tokenizer.to_str())
        result["added_tokens"] = [t for t in result["added_tokens"] if t["content"] not in bytes_ and t["content"] not in in_vocab]
        result["model"] |= model or {}
        tokenizer = Tokenizer.from_str(json.dumps(result))
        tokenizer.add_tokens([added(t, special=False, normalized=False) for t in in_vocab])
        tokenizer.add_tokens(list(more))
        first = tokenizer.token_to_id(bos)
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, first)])
        return json.loads(tokenizer.to_str())

    def families(self):
        """Yields (name, function that makes tokenizer.json as a dictionary)."""
        for name in sorted(dir(self)):
            if name.startswith("make_"):
                yield name[5:], getattr(self, name)

    def make_gpt2(self):
        pre = pre_tokenizers.ByteLevel(add_prefix_space=False)
        result = self.byte_level(pre, [added("<|endoftext|>", normalized=True)], post=processors.ByteLevel(trim_offsets=False),
                                 model={"unk_token": "", "continuing_subword_prefix": "", "end_of_word_suffix": ""})
        result["model"]["merges"] = ["#version: 0.2"] + [" ".join(m) for m in result["model"]["merges"]]
        return result

    def make_roberta(self):
        pre = pre_tokenizers.ByteLevel(add_prefix_space=True)
        return self.byte_level(pre, [added("<s>"), added("</s>"), added("<mask>", lstrip=True)], post=processors.RobertaProcessing(("</s>", 1), ("<s>", 0)))

    def make_smollm(self):
        pre = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
        return self.byte_level(pre, [added("<|endoftext|>"), added("<|im_start|>"), added("<|im_end|>"), added("<repo_name>")])

    def split_bytes(self, *patterns, behavior="isolated", extra=(), invert=False):
        parts = [pre_tokenizers.Split(Regex(p), behavior, invert) for p in patterns]
        return pre_tokenizers.Sequence([*parts, *extra, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])

    def make_llama3(self):
        post = processors.Sequence([processors.ByteLevel(trim_offsets=True), processors.TemplateProcessing(
            single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|> $B", special_tokens=[("<|begin_of_text|>", 0)])])
        return self.byte_level(self.split_bytes(LLAMA3), [added("<|begin_of_text|>")],
                               [added(t) for t in ("<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")], post=post, model={"ignore_merges": True})

    def make_qwen2(self):
        return self.byte_level(self.split_bytes(QWEN2), [], [added(t) for t in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")], normalizers.NFC(),
                               post=processors.ByteLevel(trim_offsets=False), model={"continuing_subword_prefix": "", "end_of_word_suffix": ""})

    def make_qwen3(self):
        return self.byte_level(self.split_bytes(QWEN2), [], [added("<|endoftext|>"), added("<|im_start|>"), added("<|im_end|>")] +
                               [added(t, special=False, normalized=False) for t in ("<tool_call>", "</tool_call>", "<think>", "</think>")], normalizers.NFC(),
                               post=processors.ByteLevel(trim_offsets=False))

    def make_qwen3_5(self):
        return self.byte_level(self.split_bytes(QWEN3_5), [], [added("<|endoftext|>")], normalizers.NFC())

    def make_tekken(self):
        return self.byte_level(self.split_bytes(TEKKEN), [added(t) for t in ("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]")],
                               post=processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)]), model={"ignore_merges": True})

    def make_gpt_oss(self):
        return self.byte_level(self.split_bytes(O200K), [added("<|startoftext|>"), added("<|endoftext|>"), added("<|channel|>")])

    def make_kimi(self):
        return self.byte_level(self.split_bytes(KIMI), [added("[BOS]"), added("[EOS]")])

    def make_phi2(self):
        blanks = [added(" " * n, special=False) for n in range(31, 1, -1)] + [added("\t" * n, special=False) for n in range(9, 1, -1)]
        return self.byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), [added("<|endoftext|>")], blanks)

    def make_phi4(self):
        pre = self.split_bytes(CL100K, behavior="removed", invert=True)
        return self.byte_level(pre, [], [added("<|dummy_0|>", lstrip=True, rstrip=True), added("<|endoftext|>", lstrip=True, rstrip=True), added("<|im_start|>", lstrip=True, rstrip=True)])

    def make_deepseek_v2(self):
        pre = self.split_bytes(*DEEPSEEK_LLM, extra=[pre_tokenizers.Digits(individual_digits=True)])
        post = processors.TemplateProcessing(single="<｜begin▁of▁sentence｜> $A", pair="<｜begin▁of▁sentence｜> $A $B", special_tokens=[("<｜begin▁of▁sentence｜>", 0)])
        return self.byte_level(pre, [added("<｜begin▁of▁sentence｜>", normalized=True), added("<｜end▁of▁sentence｜>", normalized=True)], normalizer=normalizers.Sequence([]), post=post)

    def make_deepseek_coder(self):
        pre = self.split_bytes(*DEEPSEEK_CODER, extra=[pre_tokenizers.Digits(individual_digits=True)])
        more = [added(c, special=False, normalized=True) for c in "õ÷ÁýÀÿø"] + [added("<｜fim▁begin｜>", special=False, normalized=True), added("<|EOT|>", normalized=True)]
        return self.byte_level(pre, [added("<｜begin▁of▁sentence｜>", normalized=True)], more, normalizer=normalizers.Sequence([]))

    def make_deepseek_v3(self):
        return self.byte_level(self.split_bytes(*DEEPSEEK_V3), [added("<｜begin▁of▁sentence｜>"), added("<｜end▁of▁sentence｜>")],
                               [added("<｜User｜>", special=False, normalized=False), added("<think>", special=False, normalized=False)], normalizer=normalizers.Sequence([]))

    def make_falcon(self):
        pre = pre_tokenizers.Sequence([pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False), pre_tokenizers.Digits(False),
                                       pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated")])
        return self.byte_level(pre, [added(">>TITLE<<"), added("<|endoftext|>")])

    def make_bloom(self):
        return self.byte_level(self.split_bytes(BLOOM), [added("<unk>"), added("<s>"), added("</s>"), added("<pad>")])

    def make_words(self):
        return self.byte_level(self.split_bytes(WORDS), [added("<|endoftext|>")])

    def make_uncommon(self):
        return self.byte_level(self.split_bytes(UNCOMMON), [added("<|endoftext|>")])

    def make_bytes_normalized(self):
        pre = pre_tokenizers.Split(Regex(r"Ġ?[^Ġ]+"), "isolated")
        tokenizer = self.byte_level(pre, [added("<|endoftext|>")], [added("é token", special=False)], normalizers.ByteLevel())
        return tokenizer

    def llama_decoder(self):
        return decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])

    def make_llama2(self):
        return self.sentencepiece(normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), None, self.llama_decoder())

    def make_mistral(self):
        return self.sentencepiece(None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False), self.llama_decoder(), [added("[INST]"), added("[/INST]")])

    def make_phi3(self):
        return self.sentencepiece(normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), None, self.llama_decoder(),
                                  [added("<|endoftext|>"), added("<|assistant|>", rstrip=True), added("<|end|>", rstrip=True), added("<|user|>", rstrip=True)])

    def make_gemma(self):
        decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
        runs = ["\n" * n for n in range(1, 9)] + ["▁" * n for n in range(2, 9)] + ["<table>", "<h1>", "[toxicity=0]", "\t"]
        return self.sentencepiece(normalizers.Replace(" ", "▁"), pre_tokenizers.Split(" ", "merged_with_previous"), decoder,
                                  [added("<start_of_turn>"), added("<end_of_turn>"), added("<image_soft_token>")], bos="<bos>", in_vocab=runs)

    def make_metaspace(self):
        return self.sentencepiece(normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip()]),
                                  pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]), decoders.Metaspace())

    def words(self, normalizer, pre, decoder, special, model=None, post=None, **options):
        tokenizer = Tokenizer(models.BPE(unk_token=special[0], **{k: v for k, v in options.items() if v}))
        tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.decoder = normalizer, pre, decoder
        self.train(tokenizer, special, limit_alphabet=min(2000, 2 * self.vocab_size), **options)
        if post:
            tokenizer.post_processor = post
        result = json.loads(tokenizer.to_str())
        result["model"] |= model or {}
        return result

    def make_clip(self):
        normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
        pre = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(CLIP), "removed", True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
        return self.words(normalizer, pre, decoders.ByteLevel(), ["<|endoftext|>", "<|startoftext|>"], end_of_word_suffix="</w>",
                          post=processors.RobertaProcessing(("<|endoftext|>", 0), ("<|startoftext|>", 1), add_prefix_space=False, trim_offsets=False))

    def make_xlm(self):
        normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.Lowercase(), normalizers.StripAccents()])
        return self.words(normalizer, pre_tokenizers.BertPreTokenizer(), decoders.BPEDecoder("</w>"), ["<unk>", "<s>", "</s>"], end_of_word_suffix="</w>",
                          post=processors.BertProcessing(("</s>", 2), ("<s>", 1)))

    def make_subwords(self):
        normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Strip(right=False)])
        pre = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation("removed")])
        return self.words(normalizer, pre, decoders.WordPiece(), ["<unk>"], continuing_subword_prefix="##")

    def make_pieces(self):
        pre = pre_tokenizers.Sequence([pre_tokenizers.CharDelimiterSplit("e"), pre_tokenizers.FixedLength(length=7), pre_tokenizers.Punctuation("merged_with_next"),
                                       pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True)])
        return self.byte_level(pre, [added("<|endoftext|>")], normalizer=normalizers.NFKD())
