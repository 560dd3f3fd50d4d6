"""Texts for tokenizers: random mixes of scripts, code, emoji, marks, blanks, special tokens and whatever text files there are."""

import glob
import unicodedata

SCRIPTS = [  # first and last code point, how much of it
    (0x41, 0x7A), (0x20, 0x7E), (0xA0, 0x17F), (0x370, 0x3FF), (0x400, 0x4FF), (0x530, 0x58F), (0x590, 0x5FF), (0x600, 0x6FF), (0x900, 0x97F), (0x980, 0x9FF),
    (0xB80, 0xBFF), (0xE00, 0xE7F), (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1780, 0x17FF), (0x1E00, 0x1EFF), (0x1F00, 0x1FFF), (0x3040, 0x30FF), (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF), (0xFF00, 0xFFEF), (0x10400, 0x1044F), (0x1D400, 0x1D7FF), (0x20000, 0x2A6DF), (0x30000, 0x323AF)]
WORDS = ("the and of to in that is was for with as on be at by this have from or had not are but what all were when we there can an your which their said if do will "
         "each about how up out them then she many some so these would other into has more her two like him see time could no make than first been its who now people "
         "I'm you're don't we'll they've CamelCase snake_case HTTPServer x1 O'Neill rock-n-roll naïve Straße œuvre").split()
CODE = ["def f(x):\n    return x + 1\n", "for (int i = 0; i < n; ++i) {\n\t\tsum += a[i];\n\t}\n", "if (x != y && !z) { /* … */ }", "#include <vector>\n", "SELECT * FROM t WHERE id=42;",
        "<div class=\"a\">&nbsp;</div>", "$HOME/.config/*.json", "0xDEADBEEF", "1e-9", "a->b::c<T>()", "\\frac{1}{2}", "//////", "=====", "-----\n", "```\n", "{}[]();", "\r\n\r\n", "\n\n\n"]
EMOJI = ["😀", "👩‍👩‍👧‍👦", "🇩🇪🇫🇷", "✌🏽", "❤️", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🤷🏿‍♀️", "1️⃣", "©️", "☎"]
MARKS = ["\u0301", "\u0308", "\u0323", "\u0327", "\u0345", "\u05b8", "\u064b", "\u093c", "\u0e38", "\u3099", "\u200d", "\u200c", "\ufe0f", "\u20e3", "\u1ab0", "\U0001d165"]
BLANKS = [" ", "  ", "   ", "    ", " " * 17, "\t", "\t\t", "\n", "\n\n", "\r\n", "\r", " \n", "\n ", "\u00a0", "\u2003", "\u3000", "\u2028", "\u0085", "\u180e", "\u200b", "\ufeff", "\x0b", "\x0c",
          "\x1c", "\x00", "▁", "▁▁"]


def random_script_word(rng):
    first, last = rng.choice(SCRIPTS)
    return "".join(chr(rng.randint(first, last)) for _ in range(rng.randint(1, 8)))


def random_character(rng):
    while True:
        c = chr(rng.randint(0, 0x10FFFF) if rng.random() < 0.3 else rng.randint(0, 0x1FFFF))
        if not 0xD800 <= ord(c) < 0xE000:
            return c


def random_part(rng, special):
    kind = rng.randrange(14)
    if kind < 4:
        return rng.choice((" ", "")) + rng.choice(WORDS)
    if kind == 4:
        return rng.choice(BLANKS)
    if kind == 5:
        return rng.choice(CODE)
    if kind == 6:
        return rng.choice(EMOJI)
    if kind == 7:
        return rng.choice(WORDS)[: rng.randint(1, 4)] + "".join(rng.choice(MARKS) for _ in range(rng.randint(1, 4)))
    if kind == 8:
        return str(rng.randrange(10 ** rng.randint(1, 12))) + rng.choice(("", ".", ",", "%", "e5"))
    if kind == 9:
        return rng.choice(special) if special else ""
    if kind == 10:
        return random_character(rng) * rng.randint(1, 3)
    if kind == 11:
        return "".join(rng.choice("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ \n") for _ in range(rng.randint(1, 6)))
    if kind == 12:
        return unicodedata.normalize(rng.choice(("NFD", "NFKD")), random_script_word(rng))
    return rng.choice(("", " ")) + random_script_word(rng)


def random_text(rng, special):
    return "".join(random_part(rng, special) for _ in range(rng.randint(1, 120)))


def file_texts(rng, total_bytes):
    """Stretches of text files of this machine, in many languages."""
    files = []
    for pattern in ("/usr/share/vim/vim*/tutor/*", "/usr/share/vim/vim*/lang/*", "/usr/share/vim/vim*/doc/*", "/usr/share/X11/locale/en_US.UTF-8/*", "/usr/share/cmake*/Modules/*",
                    "/usr/share/perl/*/unicore/*", "/usr/share/doc/*/*", "/usr/lib/python3*/*.py", "/usr/include/*.h"):
        files += sorted(glob.glob(pattern))
    rng.shuffle(files)
    texts, size = [], 0
    for file in files:
        try:
            with open(file, "rb") as f:
                text = f.read(200_000).decode("utf-8", "replace")
        except OSError:
            continue
        at = 0
        while at < len(text):
            n = rng.randint(1, 3000)
            texts.append(text[at:at + n])
            size += len(texts[-1].encode())
            at += n
        if size >= total_bytes:
            break
    return texts


def make_texts(rng, total_bytes, special):
    """About total_bytes of text, half of it random."""
    texts = file_texts(rng, total_bytes // 2)
    size = 0
    while size < total_bytes // 2:
        texts.append(random_text(rng, special))
        size += len(texts[-1].encode())
    rng.shuffle(texts)
    return texts
