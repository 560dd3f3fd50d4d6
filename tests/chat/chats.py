"""Conversations, and what transformers makes of them with a chat template."""

import copy

from transformers.utils.chat_template_utils import render_jinja_template

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather at a place: \"now\" & <soon>", "parameters": {
        "type": "object", "properties": {"city": {"type": "string", "description": "A city, as in Zürich"}, "unit": {"type": "string", "enum": ["C", "F"]},
                                         "days": {"type": "integer", "default": 1}}, "required": ["city"]}}}
ADD = {"type": "function", "function": {"name": "add", "description": "Adds", "parameters": {"type": "object", "properties": {
    "values": {"type": "array", "items": {"type": "number"}}, "options": {"type": "object", "properties": {"exact": {"type": "boolean"}}}}}}}
CALL = {"role": "assistant", "content": "", "tool_calls": [{"id": "call00001", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Zürich", "days": 2}}}]}
ANSWER = {"role": "tool", "tool_call_id": "call00001", "name": "get_weather", "content": "{\"temperature\": 21.5}"}


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


SYSTEM = {"role": "system", "content": "Be brief. "}
TURNS = [user(" Hi\n"), assistant("  Hello 世界. "), user("Why?")]
USED = [user("Weather in Zürich?"), CALL, ANSWER]
REQUESTS = {
    "one": {"messages": [user("Hi")], "add_generation_prompt": True},
    "turns": {"messages": TURNS},
    "system": {"messages": [SYSTEM, *TURNS], "add_generation_prompt": True},
    "ends with assistant": {"messages": [SYSTEM, user("Hi"), assistant("Hello.")]},
    "wrong order": {"messages": [assistant("Hello."), user("a"), user("b")], "add_generation_prompt": True},
    "unknown role": {"messages": [user("a"), {"role": "narrator", "content": "b"}]},
    "thinking": {"messages": [user("1+1?"), assistant("<think>\nOne and one.\n</think>\n\n2"), user("and 2+2?"), assistant("4", reasoning_content="Two pairs.")],
                 "template_kwargs": {"enable_thinking": True}},
    "no thinking": {"messages": [user("1+1?")], "add_generation_prompt": True, "template_kwargs": {"enable_thinking": False, "thinking": False, "reasoning_effort": "low"}},
    "tools": {"messages": [SYSTEM, user("Weather?")], "tools": [WEATHER, ADD], "add_generation_prompt": True},
    "tools without system": {"messages": [user("Weather?")], "tools": [WEATHER], "add_generation_prompt": True},
    "tool results": {"messages": USED, "tools": [WEATHER], "add_generation_prompt": True},
    "two results": {"messages": [SYSTEM, *USED, ANSWER, assistant("Warm."), user("And add?")], "tools": [WEATHER, ADD], "add_generation_prompt": True},
    "null content": {"messages": [USED[0], {**CALL, "content": None}, ANSWER], "tools": [WEATHER], "add_generation_prompt": True},
    "arguments as text": {"messages": [USED[0], {**CALL, "tool_calls": [{"type": "function", "id": "abcdefghi", "function": {"name": "add", "arguments": "{\"values\": [1, 2]}"}}]}, ANSWER], "tools": [ADD]},
    "parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": " you"}]}], "add_generation_prompt": True},
    "image": {"messages": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}], "add_generation_prompt": True},
    "documents": {"messages": [user("What?")], "documents": [{"title": "T", "text": "One."}, {"title": "U", "text": "Two."}], "add_generation_prompt": True},
    "continued": {"messages": [SYSTEM, user("Name a river."), assistant("The Rhine is ")], "continue_final_message": "content"},
    "continued parts": {"messages": [user("a"), {"role": "assistant", "content": [{"type": "text", "text": "One"}, {"type": "image"}]}], "continue_final_message": "content"},
    "continued nothing": {"messages": [user("a"), {"role": "assistant"}], "continue_final_message": "content"},
    "developer": {"messages": [{"role": "developer", "content": "Rules."}, user("Hi")], "add_generation_prompt": True},
    "variables": {"messages": [user("Hi")], "add_generation_prompt": True, "template_kwargs": {
        "date_string": "01 Jan 2026", "bos_token": "<BOS>", "builtin_tools": ["code_interpreter"], "custom_tools": [WEATHER], "tools_in_user_message": False}},
}


def token(value):
    return value["content"] if isinstance(value, dict) else value


def template_of(config, tools):
    template = config["chat_template"]
    if isinstance(template, str):
        return template
    named = {entry["name"]: entry["template"] for entry in template}
    return named["tool_use"] if tools is not None and "tool_use" in named else named["default"]


def expected(name, config, key):
    """The case of one template and request."""
    request = copy.deepcopy(REQUESTS[key])
    tokens = {k: token(v) for k, v in config.items() if k.endswith("_token") and v is not None}
    tools = request.get("tools")
    case = {"config": name, "request": key}
    try:
        rendered, _ = render_jinja_template(
            conversations=[request["messages"]], tools=tools, documents=request.get("documents"), chat_template=template_of(config, tools),
            continue_final_message=request.get("continue_final_message", False), add_generation_prompt=request.get("add_generation_prompt", False),
            **{**tokens, **request.get("template_kwargs", {})})
        return {**case, "text": rendered[0]}
    except Exception as error:  # whatever a template can raise
        return {**case, "error": f"{type(error).__name__}: {error}"[:120]}
