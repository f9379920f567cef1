"""A model that does what a request asks, behind every dialect: calls the tools it must call, fits the request's schemas,
counts the images that it sees. What a real provider would refuse, it refuses."""

import ast
import json
import re

from asks import Ask, Refused, read
from dialects import Reply, answer
from recorder import Answer, Call

THOUGHT = "Let me look at the tide table first."


def speak(call: Call, model: str) -> Answer:
    try:
        ask = read(call)
    except Refused as refused:
        return refusal(call, str(refused))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        return refusal(call, f"{type(error).__name__}: {error}")
    return answer(call, model, decide(ask))


def refusal(call: Call, message: str) -> Answer:
    message = f"the provider cannot read this: {message}"
    if "enerateContent" in call.path:
        return Answer(400, {"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}})
    error = {"type": "invalid_request_error", "message": message}
    if call.path.endswith("/messages"):
        return Answer(400, {"type": "error", "error": error})
    return Answer(400, {"error": {**error, "param": None, "code": None}})


def decide(ask: Ask) -> Reply:
    thought = THOUGHT if ask.thinks else ""
    must = ask.choice not in ("auto", "none")
    if ask.tools and (must or (ask.choice == "auto" and not ask.results)):
        names = [ask.choice] if ask.choice in ask.tools else [n for n in ask.tools if n in ask.question] or list(ask.tools)
        schema = ask.tools[names[0]]
        open_ended = not schema.get("properties") and "json" in ask.wording.lower()
        arguments = loose(ask) if open_ended else fill(schema, ask.wording, names[0], schema)
        return Reply(calls=[(names[0], arguments)], thought=thought)
    if schema := ask.schema or (written_schema(ask.wording) if "json" in ask.wording.lower() else None):
        text = json.dumps(fill(schema, ask.wording, "", schema), ensure_ascii=False)
        fenced = not ask.schema and not ask.json and "```json" in ask.wording
        return Reply(text=f"```json\n{text}\n```" if fenced else text, thought=thought)
    if ask.json:
        return Reply(text=json.dumps(loose(ask)), thought=thought)
    return cut(ask, Reply(text=prose(ask), thought=thought))


def loose(ask: Ask) -> dict:
    """Any JSON object, as far as the text says what is to be in it."""
    if schema := written_schema(ask.wording):
        return fill(schema, ask.wording, "", schema)
    keys = re.findall(r"'(\w+)'", ask.wording) or ["answer"]
    return {key: f"A {key}." for key in keys}


def prose(ask: Ask) -> str:
    if ask.results:
        return f"The tool says: {' and '.join(ask.results)}"
    seen = " and ".join(f"{kind} of {size}" for kind, size in ask.media)
    return f"I see {seen}." if seen else f"I hear you say: {ask.question}"


def cut(ask: Ask, reply: Reply) -> Reply:
    """Ends the text where the caller asked: at a stop text, or after so many words."""
    for stop in ask.stop:
        if stop in reply.text:
            reply.text, reply.ended = reply.text.partition(stop)[0].strip(), stop
    words = reply.text.split()
    if ask.limit and len(words) > ask.limit:
        reply.text, reply.ended = " ".join(words[: ask.limit]), "limit"
    return reply


def written_schema(text: str) -> dict | None:
    """A JSON Schema that stands in the text, as clients put it there for models that only know JSON."""
    for found in re.finditer(r"\{", text):
        try:
            value, _ = json.JSONDecoder().raw_decode(text, found.start())
        except ValueError:
            value = python_literal(text[found.start() :].partition("\n")[0])
        if isinstance(value, dict) and "properties" in value:
            return value
    return None


def python_literal(text: str):
    """Some clients write a schema as Python prints it."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None


def fill(schema: dict, wording: str, name: str, root: dict):
    """A value that fits a schema, of what the text says where it says something."""
    if pointer := schema.get("$ref"):
        target = root
        for step in pointer.removeprefix("#/").split("/"):
            target = target[step]
        return fill(target, wording, name, root)
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            kinds = [kind for kind in schema[several] if kind.get("type") not in ("null", "NULL")]
            return fill(kinds[0], wording, name, root)
    if "const" in schema or schema.get("enum"):
        return schema.get("const", next(iter(schema.get("enum", [])), None))
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = (kind if isinstance(kind, str) else kind[0]).lower()
    if kind == "object":
        return {key: fill(inner, wording, key, root) for key, inner in schema.get("properties", {}).items()}
    if kind == "array":
        return [fill(schema.get("items", {}), wording, name, root) for _ in range(max(1, schema.get("minItems", 1)))]
    if kind in ("integer", "number"):
        return number(schema, wording, kind)
    return {"boolean": True, "null": None}[kind] if kind in ("boolean", "null") else text(wording, name)


def number(schema: dict, wording: str, kind: str):
    found = [float(n) for n in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.])", wording.partition("\n")[2] or wording)]
    value = found[0] if found else float(schema.get("minimum", 1))
    return int(value) if kind == "integer" else value


def text(wording: str, name: str) -> str:
    """What stands in quotes, or is named; in capitals once somebody asked for them."""
    quoted = re.findall(r"'([^']{2,40})'", wording)
    value = quoted[0] if quoted else f"The {name or 'answer'}"
    return value.upper() if "upper case" in wording else value
