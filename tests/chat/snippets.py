"""Small templates, one for each means of the language, and those that are wrong."""

SNIPPETS = r"""
a {% raw %}{{ x }} {% if %}{% endraw %} b
{%- raw -%} {{ x }} {%- endraw -%} b
{# comment #}a{#- b -#} c {#+ d +#}
{{ 1_000 + 0x1f + 0b11 + 0o17 }} {{ 1e3 }} {{ 1.5e-3 }} {{ 1_0.2_5 }} {{ 00 }}
{{ 'a\x41\u00e9\101\n\\\'\q' ~ "b" 'c' }}
{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % -3 }} {{ -7 % 3 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 2 ** 3 ** 2 }} {{ 2 ** -1 }} {{ 5 / 2 }} {{ 4 / 2 }} {{ -2 ** 2 }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 == true }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ 1 in [1, 2] not in [true] }}
{{ not 1 == 2 }} {{ not (1 and 0) or 3 }} {{ none or 'x' and 'y' }} {{ 'x' if false }} {{ 'x' if 0 else 'y' if 1 else 'z' }}
{{ list[0] }}{{ list[-1] }}{{ list[9] }} {{ list[1:] }} {{ list[::-1] }} {{ list[::2] }} {{ u[2:5] }} {{ u[-1] }} {{ u[::-1] }} {{ 'abc'[5:1:-2] }}
{{ (1,) }} {{ () }} {{ (1, 2) }} {{ 1, 2 }} {{ [] }} {{ {} }} {{ {'a': [1, (2,)], 1: none, true: 'x'} }} {{ [1.0, 1e16, 1e-5, 123456.789, -0.0, 1e15] }}
{{ ["it's", 'say "x"', "both '\"", 'é\n\t\\\x00\u200b'] }}
{{ d.a }} {{ d['b'] }} {{ d.items }} {{ d.nope }} {{ d['items'] }} {{ d.get('x', 'y') }} {{ d.get('nope') }} {{ d.nested.k[1].z }} {{ d.nested.k.1.z }}
{{ d.keys() }} {{ d.values()|list|length }} {{ {'a': 1}.items() }} {{ d.keys()|list }} {{ 'a' in d }} {{ ('a', 1) in d.items() }} {{ 1 in d.values() }}
{{ d.pop }} {{ d.update is defined }} {{ list.append is defined }} {{ d.__class__ }} {{ s._x }} {{ {'_x': 1}._x }}
{{ d.update({'a': 2}) }}
{{ list.append(3) }}
{{ s.__class__.mro() }}
{{ d.pop('a') }}
{{ ''.__class__ ~ 'x' }}
{{ nope }}|{{ nope is undefined }}|{{ nope|default('d') }}|{{ nope|length }}|{{ nope|list }}|{{ nope == nope2 }}|{{ nope ~ 'x' }}|{{ [nope] }}|{% for x in nope %}x{% endfor %}|{{ nope|upper }}|{{ nope is callable }}
{{ nope.x }}
{{ nope['x'] }}
{{ nope + 1 }}
{{ nope() }}
{{ -nope }}
{{ nope|int }}
{{ nope|tojson }}
{{ nope < 1 }}
{{ 'a' + 1 }}
{{ 1 / 0 }}
{{ [] + () }}
{{ none < 1 }}
{{ 'x'.nope() }}
{{ 5 is nope }}
{{ 5|nope }}
{% if false %}{{ 5|nope }}{{ 5 is nope }}{% endif %}fine
{{ 'fine' if true else 5|nope }}
{% if false %}{% for x in [] %}{{ x|nope }}{% endfor %}{% endif %}
{{ (5|nope) if false else 1 }}{{ 5|nope }}
{% for x in [1, 2, 3] %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('a', 'b') }}{{ loop.changed(x // 2) }};{% endfor %}
{% for x in [1, 2, 3, 4] if x is even %}{{ loop.index }}/{{ loop.length }}:{{ x }}{{ loop.nextitem is defined }} {% else %}none{% endfor %}
{% for x in [] %}a{% else %}none{{ x }}{% endfor %}{% for x in [1] %}{% break %}{% else %}E{% endfor %}{% for x in [1, 2] %}{% continue %}{% else %}F{% endfor %}{% for x in [1, 2] %}{% if loop.first %}{% continue %}{% endif %}{{ x }}{% else %}G{% endfor %}
{% for a, (b, c) in [(1, (2, 3)), [4, 'xy']] %}{{ a }}{{ b }}{{ c }} {% endfor %}{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for c in 'héy' %}{{ c }}.{% endfor %}{% for k in d %}{{ k }}{% endfor %}
{% for x in [1, [2, [3]], 4] recursive %}{% if x is sequence %}<{{ loop(x) }}>{% else %}{{ x }}@{{ loop.depth }}{% endif %}{% else %}-{% endfor %}
{% for x in [1, 2] %}{% for y in 'ab' %}{{ loop.index }}{{ x }}{{ y }}{% endfor %}{{ loop.index }}{% endfor %}
{% for a, b in [1] %}{% endfor %}
{% for a, b in [[1, 2, 3]] %}{% endfor %}
{% for x in 5 %}{% endfor %}
{% for loop in [1] %}{% endfor %}
{% for x in [1] %}{{ loop([2]) }}{% endfor %}
{% break %}
{% for x in [1] %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}
{% set ns = namespace(n=0) %}{% for x in [1, 2, 3] if ns.n < 2 %}{% set ns.n = ns.n + 1 %}{{ x }}{% endfor %}
{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}{% if true %}{% set x = 9 %}{% endif %}{{ x }}
{% set a, b = 1, 2 %}{% set (c, d2) = 'xy' %}{{ a }}{{ b }}{{ c }}{{ d2 }}{% set ns = namespace() %}{% set ns.a, y = 3, 4 %}{{ ns.a }}{{ y }}{% set z = 1, %}{{ z }}
{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns['b'] }}{{ ns.nope }}{{ ns }}{% set ns.c = ns.a + 5 %}{{ ns.c }}{{ ns.a is defined }}
{% set x.y = 1 %}
{% set s.y = 1 %}
{% set true = 1 %}
{% set [a] = 1 %}
{% set a, b = 1 %}
{% set x %}a{{ n }}{% set inner = 1 %}{% endset %}{{ x }}|{{ inner }}|{% set y | upper | replace('A', 'b') %}a{{ s }}{% endset %}{{ y }}
{% macro m(a, b='B', c=a) %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, c=2) }}{{ m(b=3, a=1) }}{{ m() }}{{ m(*[1, 2], **{'c': 3}) }}{{ m }}{{ m.name }}{{ m.arguments }}{{ m.catch_kwargs }}{{ m.caller }}
{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, x=4) }}{{ m() }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}
{% macro m(a, a2=1, b) %}{% endmacro %}
{% macro m(b=b) %}{{ b }}{% endmacro %}{{ m() }}|{{ m(5) }}
{% set x = 1 %}{% macro m() %}{{ x }}{% set x = 5 %}{{ x }}{% endmacro %}{{ m() }}{% set x = 2 %}{{ m() }}{{ x }}
{% macro f(n) %}{{ n }}{% if n > 0 %},{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}
{% macro m() %}<{{ caller() }}|{{ caller(1) if caller is callable }}>{% endmacro %}{% call(x='d') m() %}body{{ x }}{% endcall %}
{% macro m(n) %}{% for i in range(n) %}{{ caller(i, i * 2) }}{% endfor %}{% endmacro %}{% set q = 'Q' %}{% call(a, b) m(2) %}({{ a }},{{ b }}{{ q }}){% endcall %}
{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}
{% macro m() %}{{ caller }}{{ caller is defined }}{% endmacro %}{{ m() }}
{% call 5 %}{% endcall %}
{% filter upper %}a{{ s }}{% endfilter %}{% filter replace('a', 'b')|title %}a cat{% endfilter %}
{% with a = 1, b = n %}{{ a }}{{ b }}{% set a = 5 %}{% endwith %}{{ a }}{% with %}{% set z = 3 %}{% endwith %}{{ z }}{% with n = 1, m = n %}{{ m }}{% endwith %}
{% print 1, 'a' %}{% print n %}
{% generation %}a{% set hidden = 1 %}{{ hidden }}{% endgeneration %}{{ hidden }}
{% if 1 %}a{% elif 2 %}b{% else %}c{% endif %}{% if 0 %}a{% elif 2 %}b{% else %}c{% endif %}{% if 0 %}a{% elif e %}b{% else %}c{% endif %}{% if n == 7 and not z: %}colon{% endif %}
{{ cycler('a', 'b').next() }}{% set c = cycler(1, 2, 3) %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.pos }}{{ c.next() }}{{ c.next() }}{{ c.reset() }}{{ c.current }}{{ c.items }}
{% set j = joiner('; ') %}{% for x in [1, 2, 3] %}{{ j() }}{{ x }}{% endfor %}{{ j.used }}
{{ range(3) }} {{ range(1, 10, 3)|list }} {{ range(5)[1:3] }} {{ range(5)[-1] }} {{ range(0) is iterable }} {{ 3 in range(5) }} {{ range(10, 0, -3)|list }} {{ range(3).stop }}
{{ range(100001) }}
{{ range(1, 2, 0) }}
{{ dict(a=1, b=2) }} {{ dict([('x', 1)], y=2) }} {{ dict({'a': 1}, a=2) }} {{ dict() }} {{ dict(d).a }}
{{ raise_exception('no: ' ~ n) }}
{{ lipsum is defined }}{{ strftime_now('%%')|length }}
{{ s.split(', ') }} {{ 'a  b c'.split() }} {{ ' a b c '.split(none, 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ 'abc'.split('') if false }} {{ ' a b c '.rsplit(maxsplit=1) }} {{ ''.split() }} {{ ''.split(',') }}
{{ 'a\nb\r\nc\x0bd'.splitlines() }} {{ 'a\nb\n'.splitlines(true) }} {{ 'a-b-c'.partition('-') }} {{ 'a-b-c'.rpartition('-') }} {{ 'abc'.partition('x') }} {{ 'abc'.rpartition('x') }}
{{ 'xxabcxx'.strip('x') }} {{ '  a '.lstrip() }}| {{ 'abcba'.rstrip('ab') }} {{ 'éaé'.strip('é') }} {{ 'a'.strip('') }}
{{ 'abc'.startswith('ab') }} {{ 'abc'.startswith(('x', 'a')) }} {{ 'abc'.endswith('') }} {{ 'abc'.startswith('b', 1) }} {{ 'abc'.endswith('b', 0, 2) }} {{ 'abc'.startswith('', 9) }}
{{ 'abcabc'.find('c') }} {{ 'abcabc'.rfind('c') }} {{ 'abc'.find('x') }} {{ 'aéb'.find('b') }} {{ 'aaa'.count('a') }} {{ 'aaa'.count('') }} {{ 'abcabc'.index('b', 2) }} {{ 'abcabc'.find('c', -2) }}
{{ 'abc'.index('x') }}
{{ 'aXbX'.replace('X', '-') }} {{ 'aaa'.replace('a', 'b', 2) }} {{ 'ab'.replace('', '-') }} {{ 'ab'.replace('', '-', 2) }}
{{ 'hello wORLD'.title() }} {{ "it's".title() }} {{ 'hELLO'.capitalize() }} {{ 'aB'.swapcase() }} {{ 'ß'.upper() }} {{ 'ΑΣ'.lower() }} {{ 'İ'.lower() }} {{ 'ŉ'.upper() }} {{ 'ǆ'.title() }} {{ 'ﬁ'.capitalize() }} {{ 'Straße'.casefold() }}
{{ '5'.zfill(3) }} {{ '-5'.zfill(4) }} {{ 'a'.ljust(3, '.') }} {{ 'a'.rjust(3) }} {{ 'ab'.center(5, '*') }} {{ 'abc'.center(6, '*') }} {{ 'abc'.center(2) }}
{{ '12'.isdigit() }} {{ '²'.isdigit() }} {{ '²'.isdecimal() }} {{ '½'.isnumeric() }} {{ 'aé'.isalpha() }} {{ 'a1'.isalnum() }} {{ ''.isalpha() }} {{ ' \t'.isspace() }} {{ 'A1'.isupper() }} {{ 'a1'.islower() }} {{ '1'.islower() }} {{ 'Ab Cd'.istitle() }} {{ 'é'.isascii() }}
{{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('c') }} {{ 'abc'.removeprefix('x') }} {{ 'a\tb'.expandtabs(4) }} {{ '-'.join(['a', 'b']) }} {{ '-'.join('ab') }} {{ ''.join([]) }}
{{ '-'.join([1]) }}
{{ '{} {}'.format(1, 'a') }} {{ '{1}{0}'.format(1, 2) }} {{ '{x.a}{y[0]}'.format(x=d, y=list) }} {{ '{{}}{!r}'.format('a') }} {{ '{:>5}|{:<5}|{:^5}|{:*^7}'.format('a', 'b', 'c', 'd') }} {{ '{:05d} {:+} {:,} {:x} {:#x} {:b} {:.3f} {:e} {:%} {:_}'.format(42, 3, 1234567, 255, 255, 5, 3.14159, 12345.678, 0.25, 1234567) }} {{ '{:{w}}'.format('a', w=3) }}|
{{ '{} {1}'.format(1, 2) }}
{{ '{'.format(1) }}
{{ '{0.__class__}'.format(1) ~ 'x' }}
{{ '{:d}'.format('a') }}
{{ '{a}'.format_map({'a': 1}) }}
{{ '%s %r %d %5.2f %-5s| %05d %x %X %o %e %% %c %+d %(a)s' % (1, 'a', 2, 3.14159, 'b', 42, 255, 255, 8, 12345.678, 'c', 3, 4) }}
{{ '%s %r %d %5.2f %-5s|%05d %x %X %o %e %% %c %+d' % (1, 'a', 2.9, 3.14159, 'b', 42, 255, 255, 8, 12345.678, 'c', 3) }} {{ '%(a)s-%(b)s' % {'a': 1, 'b': 2} }} {{ '%s' % 'x' }} {{ '%*d' % (5, 3) }} {{ '%s' % [1, 2] }}
{{ '%d' % 'a' }}
{{ '%s %s' % 'a' }}
{{ '%s' % (1, 2) }}
{{ [1, 2].count(1) }} {{ [1, 2].index(2) }} {{ (1, 2).index(1) }} {{ [1].copy() }} {{ d.copy().a }} {{ [1, 1.0, true].count(1) }}
{{ '' is string }}{{ 1 is string }}{{ {} is mapping }}{{ [] is iterable }}{{ 'a' is iterable }}{{ 1 is iterable }}{{ [] is sequence }}{{ {} is sequence }}{{ d.items() is sequence }}{{ 1 is number }}{{ true is number }}{{ 1.0 is float }}{{ true is integer }}{{ 1 is integer }}{{ none is none }}{{ 1 is boolean }}{{ true is true }}{{ 1 is true }}{{ range is callable }}{{ 3 is odd }}{{ -3 is odd }}{{ 4 is even }}{{ 9 is divisibleby 3 }}{{ 'a' is lower }}{{ 'A' is upper }}{{ 1 is sameas 1 }}{{ 1 is eq 1 }}{{ 1 is in [1] }}{{ 'upper' is filter }}{{ 'odd' is test }}{{ 'x'|safe is escaped }}{{ 1 is not defined }}{{ x is not none }}
{{ -5|abs }} {{ (-5)|abs }} {{ -2.5|abs }} {{ '42'|int }} {{ '4.7'|int }} {{ 'x'|int }} {{ 'x'|int(-1) }} {{ '0x1f'|int(0, 16) }} {{ '11'|int(base=2) }} {{ 3.99|int }} {{ '1_0'|int }} {{ true|int }} {{ none|int }} {{ ' 7 '|int }} {{ '1.5'|float }} {{ 'x'|float }} {{ 'nan'|float }} {{ '1e5'|float }} {{ 5|float }}
{{ 42.55|round }} {{ 42.55|round(1) }} {{ 2.5|round }} {{ 3.5|round }} {{ 42.55|round(1, 'floor') }} {{ 42.51|round(method='ceil') }} {{ 5|round }} {{ 1234|round(-2) }} {{ 1250.0|round(-2) }} {{ 2.675|round(2) }}
{{ [3, 1, 2]|sort }} {{ ['b', 'A', 'c']|sort }} {{ ['b', 'A']|sort(case_sensitive=true) }} {{ [1, 2]|sort(reverse=true) }} {{ users|sort(attribute='age')|map(attribute='name')|list }} {{ users|sort(attribute='age,name', reverse=true)|map(attribute='name')|join }} {{ [[2, 1], [1, 2]]|sort(attribute=0) }}
{{ [1, 'a']|sort }}
{{ d|dictsort }}
{{ {'b': 1, 'A': 2}|dictsort }} {{ {'b': 1, 'A': 2}|dictsort(true) }} {{ {'b': 1, 'A': 2}|dictsort(by='value', reverse=true) }}
{{ [1, 1, 2, 'a', 'A']|unique|list }} {{ ['a', 'A']|unique(true)|list }} {{ users|unique(attribute='age')|map(attribute='name')|list }}
{{ [3, 1, 2]|min }} {{ [3, 1, 2]|max }} {{ ['b', 'A']|min }} {{ []|max }} {{ users|max(attribute='age') }} {{ [1, 2, 3]|sum }} {{ users|sum(attribute='age') }} {{ [1.5]|sum(start=2) }} {{ [[1], [2]]|sum(start=[]) }}
{{ [1, 2, 3, 4, 5]|batch(2)|list }} {{ [1, 2, 3]|batch(2, 'x')|list }} {{ [1, 2, 3, 4, 5]|slice(3)|list }} {{ [1, 2, 3]|slice(2, 'x')|list }}
{{ users|groupby('age') }} {% for g in users|groupby('age') %}{{ g.grouper }}:{{ g.list|length }} {% endfor %}{% for a, b in users|groupby('name') %}{{ a }}{{ b|length }}{% endfor %}{{ [{'a': 'x'}, {'a': 'X'}, {}]|groupby('a', default='y') }}
{{ [1, 2, 3]|select('odd')|list }} {{ [0, 1, '']|select|list }} {{ [1, 2, 3]|reject('gt', 1)|list }} {{ users|selectattr('tags')|map(attribute='name')|list }} {{ users|rejectattr('age', 'equalto', 31)|map(attribute='name')|list }} {{ users|selectattr('tags', 'undefined')|list|length }}
{{ ['a', 'b']|map('upper')|list }} {{ users|map(attribute='nope', default='-')|list }} {{ ['a b', 'c']|map('replace', 'a', 'x')|join }} {{ users|map(attribute='tags.0')|list }} {{ [[1, 2]]|map('first')|list }} {{ [1]|map('nope') is iterable }}
{{ [1]|map('nope')|list }}
{{ [1]|map|list }}
{{ [1, 2]|map('upper')|length }}
{{ [1, 2]|first }} {{ [1, 2]|last }} {{ []|first }} {{ 'abc'|first }} {{ 'abc'|last }} {{ d|first }} {{ {'a': 1, 'b': 2}|last }} {{ range(3)|last }} {{ [1, 2]|reverse|list }} {{ 'abc'|reverse }} {{ [3]|random is undefined if false }}
{{ [1, 2]|select|last }}
{{ [1, 'a', none]|join(', ') }} {{ []|join }} {{ users|join('-', attribute='name') }} {{ 'abc'|join('.') }} {{ [1, 2]|join(3) }} {{ d|join(',') }}
{{ 'a\nb\n\nc'|indent }}|{{ 'a\nb'|indent(2, true) }}|{{ 'a\n\nb'|indent('> ', blank=true) }}|{{ ''|indent }}|{{ 'a\n'|indent(1) }}|
{{ 'foo bar baz qux'|truncate(9) }}|{{ 'foo bar baz qux'|truncate(9, true) }}|{{ 'foo bar baz qux'|truncate(11) }}|{{ 'foo bar baz qux'|truncate(11, false, '...', 0) }}|{{ 'é'|truncate(3) }}
{{ 'hello-world foo(bar'|title }} {{ 'a b  c_d 1'|wordcount }} {{ 'hELLO'|capitalize }} {{ 'ab'|center(6) }}| {{ '  x '|trim }} {{ 'xax'|trim('x') }} {{ 5|string ~ 1 }} {{ 'a'|default('b') }} {{ ''|default('b', true) }} {{ none|default('b') }} {{ none|d('b', boolean=true) }} {{ 1|upper }} {{ none|lower }}
{{ 'a/b c&é'|urlencode }} {{ {'a b': 1, 'c': '/'}|urlencode }} {{ 1000|filesizeformat }} {{ 1|filesizeformat }} {{ 123456789|filesizeformat }} {{ 2048|filesizeformat(true) }} {{ 10|filesizeformat }}
{{ '%s-%s'|format(1, 2) }} {{ '%(a)s'|format(a=1) }} {{ d|attr('a') }}|{{ d|attr('items') is callable }}|{{ ns|attr('x') if ns is defined }} {{ d|items|list|length }} {{ nope|items|list }} {{ [1]|items if false }}
{{ d|tojson }} {{ [1.0, none, true, 'é"\n/<>&', 1e20, -0.0]|tojson }} {{ {'b': 1, 'a': [1, {}], 'c': []}|tojson(indent=2) }} {{ {'b': 1, 'a': 2}|tojson(sort_keys=true) }} {{ 'é😀\x7f'|tojson(ensure_ascii=true) }} {{ [1, {'a': 2}]|tojson(separators=(',', ':')) }} {{ {1: 2, none: 3, true: 4, 1.5: 5}|tojson }} {{ (1, 2)|tojson(indent=0) }} {{ ''|tojson }} {{ [[]]|tojson(indent='\t') }}
{{ range(3)|tojson }}
{{ {(1, 2): 3}|tojson }}
{{ ('<a>'|safe) ~ '<b>' }} {{ ('<a>'|safe) + '<b>' }} {{ '<x>' + ('<a>'|safe)|upper + "'" }} {{ ('<a>'|safe)[1:] + '&' }} {{ '<'|safe == '<' }} {{ ['<'|safe] }}
{{ mixed }} {{ mixed|string|length }} {{ users }} {{ d }}
{{ {[]: 1} }}
{{ d[[]] }}{{ d[none] }}{{ list['a'] }}{{ list[1.5] }}{{ s[none] }}{{ n.x }}{{ none.x }}{{ n[0] }}
{{ [] in {} }}
{{ 1 in 'a' }}
{{ 'a' in none }}
{{ list[1:'a'] }}
{{ n[1:] }}
{{ list[::0] }}
{{ s() }}
{{ s|length(1) }}
{{ s|join(x=1) }}
{{ a b }}
{{ }}
{{ 1 +
{% if
{% if x %}
{% endif %}
{% unknown %}
{% for x %}{% endfor %}
{{ 'abc }}
{{ ) }}
{{ [1, 2 }}
{{ (1, 2] }}
{{ a = 1 }}
{{ f(a=1, 2) }}
{{ f(a=1, a=2) }}
{{ f(**d, *list) }}
{{ x is defined is defined }}
{{ 1 if }}
{{ d. }}
{{ $ }}
{{ 1.. }}
{% raw %}x
{# x
{% set %}
{% macro %}{% endmacro %}
{% else %}
{{ '\x4' }}
{{ dict(1) }}
{{ namespace(1) }}
{{ cycler() }}
{{ loop }}
""".strip("\n").split("\n")

WHITESPACE = [
    "a\n  {% if true %}\n b\n  {% endif %}\nc\n", "a \n {%- if true -%} \n b {%- endif %} c", "a  {{ 'x' }}\n  {{- 'y' -}}  \n z", "  {%+ if true +%}\n{% endif %}",
    "a {# x #}\n b\r\n {# y #}\r\nc", "{% if true %}\n\n{% endif %}\n\n", "\t {% set x = 1 %} \n{{ x }}\n", "{{ 1 }}\n", "{{ 1 }}\n\n", "a{#- x -#}\n b", "a\n {#+ x #}\nb", "{% raw %}\n a {% endraw %}\n b",
    "x\n   {%- raw %}  a\n  {%- endraw %}\n b", "{%- for x in [1, 2] %}\n  {{- x }}\n{%- endfor %}\n", "\u00a0{%- if 1 %}\u2003a{% endif -%}\u3000 b", "{{ {'a': {'b': 'c'}}['a']['b'] }}}}", "{{ '}}' }}{% set x = '%}' %}{{ x }}",
    "a\rb\r\nc\n", "{{ 'a\r\nb' }}", "", "\n", "{{+ 1 }}{{ -1 }}{{-1 }}", "{%if true%}a{%endif%}", "{{1}}{#a#}{{2}}", "{ { } } {% if 1 %}{ {% endif %}", "# a\n## b\n{{ 1 }} {\n", "   {% if 1 %}a{% endif %}\n   {{ 2 }}",
]
