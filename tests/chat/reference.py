"""Renders templates as transformers does; what it gives is what Lockstep must give.

Needs: pip install transformers==5.17.0 jinja2==3.1.6
"""

import re

from transformers.utils import chat_template_utils

ENVIRONMENT = chat_template_utils._compile_jinja_template("").environment
ADDRESS = re.compile(r" at 0x[0-9a-f]+|TemplateReference")


def render(source, variables):
    """The text, or None and why it is refused. Texts that hold memory addresses count as refused."""
    try:
        text = ENVIRONMENT.from_string(source).render(**variables)
        text.encode()  # no lone surrogates
    except RecursionError:
        return None, "RecursionError"
    except Exception as error:  # whatever a template can raise
        return None, f"{type(error).__name__}: {error}"[:80]
    return (None, "a memory address") if ADDRESS.search(text) else (text, None)


def case_of(source, variables, **more):
    text, error = render(source, variables)
    return {"template": source, **more, **({"error": error} if text is None else {"text": text})}
