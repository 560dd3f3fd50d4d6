"""Random expressions and small templates, most of which render, some of which are wrong."""

VARIABLES = {
    "s": "Hello, World", "u": "Straße é世界 ΣΑΣ", "w": "  two words \n", "e": "", "n": 7, "z": 0, "neg": -3, "f": 2.5, "g": 1e20, "b": True, "none_value": None,
    "list": [3, 1, 2], "words": ["pear", "Apple", "fig", "apple"], "mixed": [1, "a", None, 2.5, True, [1, 2], {"k": "v"}], "empty": [],
    "d": {"a": 1, "b": "x", "items": 5, "nested": {"k": [1, {"z": "deep"}]}}, "empty_dict": {},
    "users": [{"name": "Ann", "age": 31, "tags": ["x"]}, {"name": "bob", "age": 25, "tags": []}, {"name": "Cy", "age": 31}],
}
INTEGERS = ["0", "1", "2", "-1", "3", "7", "10", "n", "z", "neg", "true", "1_000"]
FLOATS = ["0.5", "2.0", "1e3", "f", "-1.25", "1e-7", "123456789.125", "g"]
STRINGS = ["s", "u", "w", "e", "'a'", "\"b c\"", "'é'", "','", "'x\\ny'", "'12'", "'-3.5'", "' 7 '", "'%s-%s'", "'{}'", "'ab' 'cd'", "'ß'", "'o'", "'A.b,C'"]
LISTS = ["list", "words", "mixed", "empty", "[1, 2, 3]", "['b', 'a']", "(1, 2)", "('x',)", "[[1, 2], [3]]", "range(4)", "range(5, 0, -2)", "users"]
DICTS = ["d", "empty_dict", "{'a': 1, 'b': 2}", "{1: 'x', 'y': [1]}", "d.nested", "users[0]", "{'B': 1, 'a': 2}"]
ANY = ["none", "nope", "none_value", "d.nope", "mixed[5]", "users[1].name"]
TESTS = ["defined", "undefined", "none", "string", "mapping", "iterable", "sequence", "number", "integer", "float", "boolean", "true", "false", "callable", "odd", "even",
         "lower", "upper", "escaped", "divisibleby(2)", "divisibleby 3", "eq(1)", "ne('a')", "lt(3)", "gt 2", "ge(1.5)", "le('m')", "sameas(none)", "sameas true", "in(list)", "in 'abc'",
         "filter", "test", "equalto('a')"]


class Generator:
    def __init__(self, rng):
        self.rng = rng

    def pick(self, options):
        return self.rng.choice(options)

    def one(self, depth, *kinds):
        """An expression of one of the kinds; now and then of another."""
        kind = self.pick(kinds) if self.rng.random() > 0.06 else self.pick(["integer", "float", "string", "list", "dict", "any", "boolean"])
        return getattr(self, kind)(depth - 1)

    def atom(self, options, depth, more):
        if depth <= 0 or self.rng.random() < 0.2:
            return self.pick(options)
        return self.pick(more)()

    def number(self, depth):
        return self.one(depth, "integer", "integer", "float")

    def any(self, depth):
        if depth <= 0:
            return self.pick(ANY + INTEGERS + FLOATS + STRINGS + LISTS + DICTS)
        return self.one(depth, "integer", "float", "string", "string", "list", "dict", "boolean", "other")

    def other(self, depth):
        one = self.one
        return self.atom(ANY, depth, [
            lambda: f"{one(depth, 'list')}[{one(depth, 'integer')}]", lambda: f"{one(depth, 'dict')}[{one(depth, 'string')}]",
            lambda: f"{one(depth, 'list')}|{self.pick(['first', 'last', 'min', 'max', 'sum', 'list|last'])}",
            lambda: f"{one(depth, 'dict')}.get({one(depth, 'string')}{self.pick(['', ', 5', ', none'])})",
            lambda: f"({one(depth, 'any')} if {one(depth, 'boolean')}{self.pick(['', ' else ' + one(depth, 'any')])})",
            lambda: f"({one(depth, 'any')} {self.pick(['or', 'and'])} {one(depth, 'any')})",
            lambda: f"{one(depth, 'any')}|default({one(depth, 'any')}{self.pick(['', ', true', ', boolean=true'])})",
            lambda: f"{one(depth, 'list')}|{self.pick(['min', 'max'])}(attribute={self.pick(['0', chr(39) + 'age' + chr(39), chr(39) + 'name' + chr(39)])})",
            lambda: f"users|sum(attribute='age')", lambda: f"{self.pick(['users', 'd', 's', 'none', 'n'])}.{self.pick(['name', 'a', 'items', 'nope', 'append', '__class__', 'upper'])}"])

    def integer(self, depth):
        one = self.one
        return self.atom(INTEGERS, depth, [
            lambda: f"({one(depth, 'integer')} {self.pick(['+', '-', '*', '//', '%'])} {one(depth, 'integer')})", lambda: f"({one(depth, 'integer')} ** {self.pick('0123')})",
            lambda: f"-{one(depth, 'integer')}", lambda: f"{one(depth, 'string', 'list', 'dict')}|{self.pick(['length', 'count'])}",
            lambda: f"{one(depth, 'string', 'float', 'integer')}|int{self.pick(['', '(5)', '(default=1)', '(0, 16)'])}", lambda: f"{one(depth, 'integer')}|abs",
            lambda: f"{one(depth, 'string')}.{self.pick(['find', 'rfind', 'count', 'index'])}({one(depth, 'string')}{self.pick(['', ', 1', ', -3', ', 0, 4'])})",
            lambda: f"{one(depth, 'string')}|wordcount", lambda: f"{one(depth, 'list')}.{self.pick(['count', 'index'])}({one(depth, 'any')})"])

    def float(self, depth):
        one = self.one
        return self.atom(FLOATS, depth, [
            lambda: f"({self.number(depth)} / {self.number(depth)})", lambda: f"({one(depth, 'float')} {self.pick(['+', '-', '*', '//', '%'])} {self.number(depth)})",
            lambda: f"{one(depth, 'string', 'integer')}|float", lambda: f"{self.number(depth)}|round{self.pick(['', '(1)', '(2)', '(1, ' + chr(39) + 'floor' + chr(39) + ')', '(method=' + chr(39) + 'ceil' + chr(39) + ')', '(-1)'])}",
            lambda: f"({one(depth, 'float')} ** {self.pick(['2', '0.5', '-1'])})"])

    def string(self, depth):
        one = self.one
        text = lambda: one(depth, "string")
        return self.atom(STRINGS, depth, [
            lambda: f"({text()} + {text()})", lambda: f"({one(depth, 'any')} ~ {one(depth, 'any')})", lambda: f"({text()} * {self.pick('0123')})",
            lambda: f"{text()}.{self.pick(['upper', 'lower', 'title', 'capitalize', 'swapcase', 'strip', 'lstrip', 'rstrip', 'casefold', 'expandtabs'])}()",
            lambda: f"{text()}.{self.pick(['strip', 'lstrip', 'rstrip', 'removeprefix', 'removesuffix'])}({text()})",
            lambda: f"{text()}|{self.pick(['upper', 'lower', 'title', 'capitalize', 'trim', 'string', 'indent', 'safe', 'urlencode', 'center(12)', 'indent(2, true)', 'indent(blank=true)', 'trim(' + chr(39) + 'aH ' + chr(39) + ')', 'reverse'])}",
            lambda: f"{text()}.replace({text()}, {text()}{self.pick(['', ', 1', ', -1', ', 0'])})", lambda: f"{text()}|replace({text()}, {one(depth, 'any')}{self.pick(['', ', 2'])})",
            lambda: f"{text()}[{self.bound(depth)}:{self.bound(depth)}{self.pick(['', ':', ':2', ':-1'])}]", lambda: f"{text()}[{one(depth, 'integer')}]",
            lambda: f"{text()}.join({one(depth, 'list', 'string')})", lambda: f"{one(depth, 'list', 'string')}|join{self.pick(['', '(' + text() + ')'])}",
            lambda: f"{text()}.{self.pick(['center', 'ljust', 'rjust', 'zfill'])}({one(depth, 'integer')})", lambda: f"{text()}.rjust({one(depth, 'integer')}, '*')",
            lambda: f"{one(depth, 'any')}|tojson{self.pick(['', '', '(indent=2)', '(ensure_ascii=true)', '(sort_keys=true)', '(separators=(' + chr(39) + ',' + chr(39) + ',' + chr(39) + ':' + chr(39) + '))', '(indent=' + chr(39) + '-' + chr(39) + ')'])}",
            lambda: f"{one(depth, 'any')}|string", lambda: f"({self.pick([chr(39) + '%s|%s' + chr(39), chr(39) + '%5.2f %d' + chr(39), chr(39) + '%-4s|%05d' + chr(39), chr(39) + '%r %x' + chr(39)])} % ({one(depth, 'any')}, {self.number(depth)}))",
            lambda: f"'{self.pick(['{} {}', '{1}{0}', '{0!r:>8} {1}', '{:>6}|{:<4}', '{:05d} {}', '{:.2f} {}', '{:,} {:x}', '{0[0]} {1}', '{:+} {:e}'])}'.format({one(depth, 'any', 'integer')}, {one(depth, 'any', 'integer')})",
            lambda: f"{text()}|truncate({self.pick(['5', '8, true', '6, false, ' + chr(39) + '..' + chr(39), '5, true, ' + chr(39) + '-' + chr(39) + ', 0'])})",
            lambda: f"{self.pick(['%s-%s', '%d', '%(a)s', '%%'])!r}|format({self.pick(['1, 2', '3', 'a=4', ''])})", lambda: f"{self.number(depth)}|filesizeformat{self.pick(['', '(true)'])}"])

    def bound(self, depth):
        return self.pick(["", "", self.one(depth, "integer")])

    def list(self, depth):
        one = self.one
        quoted = lambda *names: "'" + self.pick(names) + "'"
        return self.atom(LISTS, depth, [
            lambda: f"[{one(depth, 'any')}, {one(depth, 'any')}]", lambda: f"({one(depth, 'any')}, {one(depth, 'any')})", lambda: f"({one(depth, 'list')} + {one(depth, 'list')})",
            lambda: f"({one(depth, 'list')} * {self.pick('012')})",
            lambda: f"{one(depth, 'string')}.{self.pick(['split', 'rsplit'])}({self.pick(['', one(depth, 'string'), one(depth, 'string') + ', 1', 'none, 1', 'maxsplit=1'])})",
            lambda: f"{one(depth, 'string')}.{self.pick(['splitlines()', 'splitlines(true)', 'partition(' + chr(39) + 'o' + chr(39) + ')', 'rpartition(' + chr(39) + ' ' + chr(39) + ')'])}",
            lambda: f"{one(depth, 'list', 'string')}|list", lambda: f"{one(depth, 'list')}[{self.bound(depth)}:{self.bound(depth)}{self.pick(['', ':2', ':-1', ':-2'])}]",
            lambda: f"{one(depth, 'list')}|sort{self.pick(['', '(true)', '(case_sensitive=true)', '(reverse=true)', '(attribute=0)'])}",
            lambda: f"users|sort(attribute={quoted('age', 'name', 'age,name', 'nope')}{self.pick(['', ', reverse=true'])})",
            lambda: f"{one(depth, 'list')}|{self.pick(['unique', 'reverse', 'batch(2)', 'batch(2, 0)', 'slice(2)', 'slice(3, none)', 'slice(2, 9)'])}|list",
            lambda: f"{one(depth, 'dict')}|{self.pick(['dictsort', 'dictsort(true)', 'dictsort(by=' + chr(39) + 'value' + chr(39) + ')', 'dictsort(reverse=true)', 'items|list', 'list'])}",
            lambda: f"{one(depth, 'dict')}.{self.pick(['items', 'keys', 'values'])}(){self.pick(['', '|list'])}",
            lambda: f"{one(depth, 'list')}|{self.pick(['select', 'reject'])}{self.pick(['', '(' + quoted('odd', 'string', 'defined', 'number', 'none', 'lower') + ')', '(' + quoted('gt', 'eq', 'ne', 'in') + ', ' + one(depth, 'any') + ')'])}|list",
            lambda: f"users|{self.pick(['selectattr', 'rejectattr'])}({quoted('age', 'name', 'tags', 'nope')}{self.pick(['', ', ' + quoted('defined', 'undefined', 'none', 'string'), ', ' + quoted('equalto', 'lt', 'in', '==') + ', ' + one(depth, 'any')])})|{self.pick(['list', 'map(attribute=' + chr(39) + 'name' + chr(39) + ')|list'])}",
            lambda: f"{one(depth, 'list')}|map({self.pick([quoted('upper', 'string', 'length', 'abs', 'int', 'trim', 'first'), 'attribute=' + quoted('name', 'age', 'tags.0', '0'), 'attribute=0', 'attribute=' + quoted('age', 'nope') + ', default=3', quoted('replace') + ', ' + chr(39) + 'a' + chr(39) + ', ' + chr(39) + 'b' + chr(39)])})|list",
            lambda: f"users|groupby({quoted('age', 'name', 'nope')}{self.pick(['', ', default=1', ', case_sensitive=true'])})"])

    def dict(self, depth):
        one = self.one
        return self.atom(DICTS, depth, [
            lambda: "{" + f"{one(depth, 'string', 'integer')}: {one(depth, 'any')}, 'k': {one(depth, 'any')}" + "}", lambda: f"dict({self.pick(['a=1', one(depth, 'dict'), one(depth, 'dict') + ', c=2', '[(1, 2)]', one(depth, 'list')])})",
            lambda: f"{one(depth, 'dict')}.copy()"])

    def boolean(self, depth):
        one = self.one
        return self.atom(["true", "false", "b"], depth, [
            lambda: f"({one(depth, 'any')} {self.pick(['==', '!='])} {one(depth, 'any')})", lambda: f"({self.number(depth)} {self.pick(['<', '<=', '>', '>='])} {self.number(depth)})",
            lambda: f"({one(depth, 'string')} {self.pick(['<', '>='])} {one(depth, 'string')})", lambda: f"({one(depth, 'list')} {self.pick(['<', '>='])} {one(depth, 'list')})",
            lambda: f"({one(depth, 'any')} {self.pick(['in', 'not in'])} {one(depth, 'list', 'dict', 'string')})", lambda: f"({self.number(depth)} < {self.number(depth)} <= {self.number(depth)})",
            lambda: f"(not {one(depth, 'any')})", lambda: f"({one(depth, 'any')} is {self.pick(['', 'not '])}{self.pick(TESTS)})",
            lambda: f"{one(depth, 'string')}.{self.pick(['startswith', 'endswith'])}({self.pick([one(depth, 'string'), '(' + chr(39) + 'a' + chr(39) + ', ' + one(depth, 'string') + ')', one(depth, 'string') + ', 1'])})",
            lambda: f"{one(depth, 'string')}.is{self.pick(['alpha', 'digit', 'alnum', 'space', 'upper', 'lower', 'title', 'ascii', 'decimal', 'numeric', 'printable'])}()"])

    def template(self):
        """An expression, in one of several surroundings."""
        rng, one = self.rng, self.one
        depth = rng.choice([2, 3, 3, 4, 5])
        kind = rng.random()
        if kind < 0.7:
            return "{{ " + one(depth, "any") + " }}"
        if kind < 0.78:
            return "{% for x in " + one(depth, "list", "dict", "string") + self.pick(["", " if x", " if x is string", " recursive"]) + " %}{{ loop." + self.pick(
                ["index", "revindex", "first", "last", "length", "previtem", "nextitem", "cycle('a', 'b')", "changed(x)", "depth"]) + " }}:{{ x }};{% else %}none{% endfor %}"
        if kind < 0.84:
            return "{% for a, b in " + one(depth, "dict") + ".items() %}{{ a }}={{ b }}{% if " + one(depth, "boolean") + " %}{% " + self.pick(["break", "continue"]) + " %}{% endif %},{% endfor %}"
        if kind < 0.9:
            return "{% set x = " + one(depth, "any") + " %}{% if " + one(depth, "any") + " %}\n  {{ x }}\n  {%- elif x %} b {% else -%} c {% endif %}|{{ x is defined }}"
        if kind < 0.95:
            return "{% macro m(a, b=" + one(2, "any") + ") %}[{{ a }}{{ b }}{{ varargs }}{{ kwargs }}]{% endmacro %}{{ m(" + self.pick(["", "1", one(depth, "any"), "b=2", "1, 2, 3", "1, c=4", "*list", "**d"]) + ") }}"
        return "{% set ns = namespace(t='') %}{% for i in range(3) %}{% set ns.t = ns.t ~ " + one(depth, "any") + " %}{% endfor %}{{ ns.t }}"
