"""What a provider was asked, read as strictly as the real one would: what those answer with a 400 is `Refused` here."""

import base64
import json
import re
from dataclasses import dataclass, field

from recorder import Call


class Refused(Exception):
    """A 400, with the words for it."""


@dataclass
class Ask:
    """A request, whatever its dialect. `choice` is `auto`, `none`, `any` or a tool's name; `schema` is what the answer
    must fit; `media` has a kind and a size for each image and file; `results` are those that the last turn brought."""

    system: str = ""
    question: str = ""
    tools: dict[str, dict] = field(default_factory=dict)
    choice: str = "auto"
    schema: dict | None = None
    json: bool = False
    results: list[str] = field(default_factory=list)
    media: list[tuple[str, int]] = field(default_factory=list)
    stop: list[str] = field(default_factory=list)
    limit: int | None = None
    thinks: bool = False

    @property
    def wording(self) -> str:
        """All text of the request that a model would heed."""
        return "\n".join([self.system, self.question, *self.results])


def need(holds, complaint: str) -> None:
    if not holds:
        raise Refused(complaint)


def known(value: dict, names: str, where: str) -> None:
    strange = set(value) - set(names.split())
    need(not strange, f"{where}: unknown {sorted(strange)}")


def read(call: Call) -> Ask:
    """The request, by the dialect of its path."""
    path = call.path.partition("?")[0]
    if "generateContent" in path or "streamGenerateContent" in path:
        return read_gemini(call.body)
    if path.endswith("/messages"):
        return read_messages(call.body, call.headers)
    return read_chat(call.body) if path.endswith("/chat/completions") else read_responses(call.body)


def data_url(url: str) -> tuple[str, int]:
    head, _, data = url.partition(",")
    if not head.startswith("data:"):
        need(url.startswith("https://"), f"no address: {url[:40]}")
        return "link", len(url)
    return sized(head.removeprefix("data:").removesuffix(";base64"), data)


def sized(kind: str, data: str) -> tuple[str, int]:
    return kind, len(base64.b64decode(data, validate=True))


# OpenAI, both of its dialects.

OPENAI_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
CHAT_FIELDS = """model messages stream stream_options tools tool_choice parallel_tool_calls response_format stop max_tokens
    max_completion_tokens temperature top_p n seed logprobs top_logprobs frequency_penalty presence_penalty logit_bias user
    metadata reasoning_effort verbosity service_tier store prompt_cache_key safety_identifier"""
RESPONSES_FIELDS = """model input instructions stream stream_options tools tool_choice parallel_tool_calls text
    max_output_tokens temperature top_p top_logprobs user metadata reasoning service_tier store include prompt_cache_key
    safety_identifier truncation"""


def strict(schema: dict, where: str) -> None:
    """What OpenAI requires of a strict schema: every object closed, every field of it required."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            need(schema.get("additionalProperties") is False, f"{where}: 'additionalProperties' must be false")
            need(set(schema.get("required", [])) == set(schema.get("properties", {})), f"{where}: all must be 'required'")
        for value in schema.values():
            strict(value, where)
    elif isinstance(schema, list):
        for value in schema:
            strict(value, where)


def openai_tools(ask: Ask, functions: list[dict], choice, where: str) -> None:
    for function in functions:
        known(function, "name description parameters strict", where)
        need(OPENAI_NAME.fullmatch(function["name"]), f"{where}: bad name {function['name']!r}")
        parameters = function.get("parameters") or {"type": "object", "properties": {}}
        need(parameters.get("type") == "object", f"{where}: its schema must be of an object")
        if function.get("strict"):
            strict(parameters, function["name"])
        ask.tools[function["name"]] = parameters
    need(choice in (None, "auto", "none") or ask.tools, "tool_choice is only allowed when tools are specified")
    if isinstance(choice, dict):
        need(choice["type"] == "function", f"tool_choice: {choice}")
        ask.choice = (choice.get("function") or choice)["name"]
        need(ask.choice in ask.tools, f"tool_choice: no tool {ask.choice}")
    else:
        need(choice in (None, "auto", "none", "required"), f"tool_choice: {choice}")
        ask.choice = {"required": "any", None: "auto"}.get(choice, choice)


def openai_format(ask: Ask, kind: str, wanted: dict) -> None:
    need(kind in ("text", "json_object", "json_schema"), f"response_format: {kind}")
    if kind == "json_object":
        ask.json = True
        need("json" in ask.wording.lower(), "messages must contain the word 'json' to use json_object")
    if kind == "json_schema":
        known(wanted, "type name description schema strict", "json_schema")
        need(OPENAI_NAME.fullmatch(wanted["name"]), f"json_schema: bad name {wanted['name']!r}")
        ask.schema = wanted["schema"]
        if wanted.get("strict"):
            strict(ask.schema, "response_format")


def read_chat(body: dict) -> Ask:
    known(body, CHAT_FIELDS, "body")
    ask = Ask(limit=body.get("max_completion_tokens", body.get("max_tokens")))
    need(body["messages"], "messages: none")
    open_calls: list[str] = []
    for message in body["messages"]:
        role, content = message["role"], message.get("content")
        if role != "tool":
            need(not open_calls, f"tool_calls without a result: {open_calls}")
            ask.results = []
        if role in ("system", "developer"):
            known(message, "role content name", role)
            ask.system += chat_text(ask, content, role)
        elif role == "user":
            known(message, "role content name", role)
            ask.question = chat_text(ask, content, role)
        elif role == "assistant":
            # Its thoughts come back to the provider that made them, in the field that it put them in.
            known(message, "role content name tool_calls refusal audio provider_specific_fields reasoning_content", role)
            calls = message.get("tool_calls") or []
            need(content is not None or calls or message.get("refusal"), "an assistant's message has no content")
            need(message.get("tool_calls") != [], "tool_calls: empty")
            chat_text(ask, content or "", role)
            for call in calls:
                known(call, "id type function", "tool_calls")
                need(isinstance(json.loads(call["function"]["arguments"]), dict), "arguments are no object")
                open_calls.append(call["id"])
        else:
            need(role == "tool", f"role {role}")
            # The name of the tool is no field of it, but many send it and none is refused.
            known(message, "role content tool_call_id name", role)
            need(message["tool_call_id"] in open_calls, f"a result of no call: {message['tool_call_id']}")
            open_calls.remove(message["tool_call_id"])
            ask.results.append(chat_text(ask, content, role))
    need(not open_calls, f"tool_calls without a result: {open_calls}")
    need("parallel_tool_calls" not in body or body.get("tools"), "parallel_tool_calls is only allowed with tools")
    openai_tools(ask, [tool["function"] for tool in body.get("tools", [])], body.get("tool_choice"), "tools")
    wanted = body.get("response_format") or {"type": "text"}
    openai_format(ask, wanted["type"], wanted.get("json_schema", {}))
    stop = body.get("stop") or []
    ask.stop = [stop] if isinstance(stop, str) else stop
    need(len(ask.stop) <= 4, "stop: more than 4")
    ask.thinks = body.get("reasoning_effort") not in (None, "none")
    return ask


def chat_text(ask: Ask, content, role: str) -> str:
    """The text of a message; images and files go to `ask.media`."""
    if isinstance(content, str):
        return content
    need(isinstance(content, list) and content, f"{role}: content is {content!r}")
    text = ""
    for part in content:
        kind = part["type"]
        known(part, f"type {kind}", f"{role}: {kind}")
        need(kind in {"text"} or role == "user" or (role, kind) == ("assistant", "refusal"), f"{kind} in {role}")
        if kind == "text":
            text += part["text"]
        elif kind == "image_url":
            ask.media.append(data_url(part["image_url"]["url"]))
        elif kind == "input_audio":
            ask.media.append(sized(f"audio/{part['input_audio']['format']}", part["input_audio"]["data"]))
        elif kind == "file":
            ask.media.append(data_url(part["file"]["file_data"]))
    return text


def read_responses(body: dict) -> Ask:
    known(body, RESPONSES_FIELDS, "body")
    ask = Ask(system=body.get("instructions") or "", limit=body.get("max_output_tokens"))
    need(ask.limit is None or ask.limit >= 16, "max_output_tokens: 16 is the least")
    turns = body["input"]
    calls: set[str] = set()
    for item in [{"role": "user", "content": turns}] if isinstance(turns, str) else turns:
        kind = item.get("type", "message")
        if kind != "function_call_output":
            ask.results = []
        if kind == "message":
            known(item, "type id status role content phase", kind)
            text = responses_text(ask, item["content"], item["role"])
            if item["role"] in ("system", "developer"):
                ask.system += text
            elif item["role"] == "user":
                ask.question = text
        elif kind == "function_call":
            known(item, "type id call_id name arguments status", kind)
            need(isinstance(json.loads(item["arguments"]), dict), "arguments are no object")
            need(str(item.get("id", "fc_")).startswith("fc_"), f"a call's id begins with fc_: {item.get('id')}")
            calls.add(item["call_id"])
        elif kind == "function_call_output":
            known(item, "type id call_id output status", kind)
            need(item["call_id"] in calls, f"a result of no call: {item['call_id']}")
            calls.remove(item["call_id"])
            output = item["output"]
            ask.results.append(output if isinstance(output, str) else responses_text(ask, output, "user"))
        else:
            need(kind == "reasoning", f"input: {kind}")
            known(item, "type id summary content encrypted_content status", kind)
    need(not calls, f"calls without a result: {calls}")
    tools = body.get("tools", [])
    for tool in tools:
        need(tool["type"] == "function", f"tools: {tool['type']}")
    functions = [{name: value for name, value in tool.items() if name != "type"} for tool in tools]
    openai_tools(ask, functions, body.get("tool_choice"), "tools")
    wanted = (body.get("text") or {}).get("format") or {"type": "text"}
    openai_format(ask, wanted["type"], wanted)
    ask.thinks = (body.get("reasoning") or {}).get("effort") not in (None, "none")
    return ask


def responses_text(ask: Ask, content, role: str) -> str:
    if isinstance(content, str):
        return content
    text = ""
    for part in content:
        kind = part["type"]
        own = ("output_text", "refusal") if role == "assistant" else ("input_text", "input_image", "input_file")
        need(kind in own, f"{kind} in {role}")
        if kind.endswith("_text"):
            text += part["text"]
        elif kind == "input_image":
            ask.media.append(data_url(part["image_url"]))
        elif kind == "input_file":
            ask.media.append(data_url(part["file_data"]))
    return text


# Anthropic.

MESSAGES_FIELDS = """model messages system max_tokens stream tools tool_choice stop_sequences temperature top_p top_k
    thinking metadata service_tier output_config cache_control"""
ANTHROPIC_ID = re.compile(r"[a-zA-Z0-9_-]+")


def read_messages(body: dict, headers: dict) -> Ask:
    known(body, MESSAGES_FIELDS, "body")
    ask = Ask(limit=body["max_tokens"], stop=body.get("stop_sequences", []))
    need(ask.limit > 0, "max_tokens: at least 1")
    need(all(stop.strip() for stop in ask.stop), "stop_sequences: each must contain non-whitespace")
    sampled = {"temperature", "top_p", "top_k"} & set(body)
    need(not sampled or headers["anthropic-version"] < "2026-10-21", f"{sampled} are not taken")
    need(body.get("temperature", 0) <= 1, "temperature: at most 1")
    ask.system = messages_text(ask, body.get("system", "."), "system")
    open_calls: list[str] = []
    for message in body["messages"]:
        known(message, "role content", "messages")
        role, content = message["role"], message["content"]
        need(role in ("user", "assistant", "system"), f"role {role}")
        need(content, "messages: content must not be empty")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        need(set(open_calls) == set(results), f"tool_use without tool_result right after: {open_calls} {results}")
        need(all(b["type"] == "tool_result" for b in blocks[: len(results)]), "tool_result blocks come first")
        open_calls, ask.results = [], []
        text = "".join(messages_block(ask, block, role, open_calls) for block in blocks)
        if role == "user":
            ask.question = text or ask.question
        elif role == "system":
            ask.system += text
    need(not open_calls, f"tool_use without tool_result: {open_calls}")
    anthropic_tools(ask, body)
    thinking = body.get("thinking", {"type": "disabled"})
    ask.thinks = thinking["type"] != "disabled"
    need(not ask.thinks or ask.choice in ("auto", "none"), "Thinking may not be enabled when tool_choice forces tool use")
    budget = thinking.get("budget_tokens", 1024)
    need(not ask.thinks or 1024 <= budget < ask.limit or thinking["type"] == "adaptive", "thinking.budget_tokens")
    wanted = (body.get("output_config") or {}).get("format")
    if wanted:
        known(wanted, "type schema", "output_config.format")
        ask.schema = wanted["schema"]
        closed(ask.schema)
    return ask


def closed(schema) -> None:
    """Anthropic asks of an answer's schema that its objects are closed."""
    if isinstance(schema, dict):
        need(
            schema.get("type") != "object" or schema.get("additionalProperties") is False,
            "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false",
        )
        for value in schema.values():
            closed(value)
    elif isinstance(schema, list):
        for value in schema:
            closed(value)


def anthropic_tools(ask: Ask, body: dict) -> None:
    for tool in body.get("tools", []):
        known(tool, "name description input_schema strict cache_control type eager_input_streaming", "tools")
        need(re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", tool["name"]), f"tools: bad name {tool['name']!r}")
        need(tool["input_schema"].get("type") == "object", "tools: input_schema must be of an object")
        ask.tools[tool["name"]] = tool["input_schema"]
    choice = body.get("tool_choice", {"type": "auto"})
    known(choice, "type name disable_parallel_tool_use", "tool_choice")
    need("tool_choice" not in body or ask.tools, "tool_choice may only be specified while providing tools")
    ask.choice = choice.get("name", choice["type"])
    need(ask.choice in (*ask.tools, "auto", "any", "none"), f"tool_choice: no tool {ask.choice}")


def messages_text(ask: Ask, content, role: str) -> str:
    if isinstance(content, str):
        need(content.strip(), f"{role}: text must contain non-whitespace")
        return content
    return "".join(messages_block(ask, block, role, []) for block in content)


def messages_block(ask: Ask, block: dict, role: str, calls: list[str]) -> str:
    """The text of a block; its media, results and calls are stored in the request."""
    kind = block["type"]
    if kind == "text":
        known(block, "type text cache_control citations", kind)
        need(block["text"].strip(), "messages: text content blocks must contain non-whitespace text")
        return block["text"]
    if kind in ("image", "document") and role == "user":
        source = block["source"]
        known(block, "type source cache_control title context citations", kind)
        found = {"base64": lambda: sized(source["media_type"], source["data"]), "url": lambda: ("link", len(source["url"]))}
        ask.media.append(found[source["type"]]())
    elif kind == "tool_use" and role == "assistant":
        known(block, "type id name input cache_control caller", kind)
        need(ANTHROPIC_ID.fullmatch(block["id"]), f"tool_use.id: {block['id']}")
        need(isinstance(block["input"], dict), "tool_use.input must be an object")
        calls.append(block["id"])
    elif kind == "tool_result" and role == "user":
        known(block, "type tool_use_id content is_error cache_control", kind)
        ask.results.append(messages_text(ask, block["content"], role) if block.get("content") else "")
    else:
        need(kind in ("thinking", "redacted_thinking") and role == "assistant", f"{kind} in {role}")
        need(block.get("signature") or kind != "thinking", "thinking.signature: Field required")
    return ""


# Gemini.

GEMINI_FIELDS = "contents systemInstruction tools toolConfig generationConfig safetySettings cachedContent labels serviceTier"
CONFIG_FIELDS = """temperature topP topK candidateCount maxOutputTokens stopSequences seed presencePenalty frequencyPenalty
    responseMimeType responseSchema responseJsonSchema responseLogprobs logprobs thinkingConfig mediaResolution"""
GEMINI_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}")
# What its own schemas know; the field for JSON Schema takes more.
SCHEMA_FIELDS = """type format title description nullable enum items minItems maxItems properties required propertyOrdering
    minimum maximum minLength maxLength pattern minProperties maxProperties anyOf default example"""


def camel(value):
    """Gemini takes its fields in either spelling; what a caller named himself keeps its name."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    own = ("args", "response", "responseJsonSchema", "parametersJsonSchema", "properties", "labels")
    names = {name: re.sub(r"_([a-z])", lambda found: found[1].upper(), name) for name in value}
    return {names[name]: inner if names[name] in own else camel(inner) for name, inner in value.items()}


def read_gemini(body: dict) -> Ask:
    body = camel(body)
    known(body, GEMINI_FIELDS, "body")
    config = body.get("generationConfig", {})
    known(config, CONFIG_FIELDS, "generationConfig")
    ask = Ask(limit=config.get("maxOutputTokens"), stop=config.get("stopSequences", []))
    need(len(ask.stop) <= 5, "stopSequences: more than 5")
    for part in body.get("systemInstruction", {}).get("parts", []):
        known(part, "text", "systemInstruction")
        ask.system += part["text"]
    need(body["contents"], "contents: none")
    open_calls = 0
    for content in body["contents"]:
        known(content, "role parts", "contents")
        role = content.get("role", "user")
        need(role in ("user", "model") and content["parts"], f"contents: {role} with {len(content['parts'])} parts")
        results = sum("functionResponse" in part for part in content["parts"])
        need(results == open_calls, "the number of function response parts must be that of the function call parts")
        open_calls, ask.results = 0, []
        texts = [gemini_part(ask, part, role) for part in content["parts"]]
        open_calls = sum("functionCall" in part for part in content["parts"])
        if role == "user":
            ask.question = "".join(texts) or ask.question
    need(not open_calls, "function calls without responses")
    gemini_tools(ask, body)
    if schema := config.get("responseSchema"):
        gemini_schema(schema)
    ask.schema = config.get("responseJsonSchema") or schema
    ask.json = config.get("responseMimeType") == "application/json"
    need(ask.json or not ask.schema, "a schema needs responseMimeType application/json")
    thinking = config.get("thinkingConfig", {})
    ask.thinks = bool(thinking.get("includeThoughts"))
    return ask


def gemini_part(ask: Ask, part: dict, role: str) -> str:
    known(part, "text inlineData fileData functionCall functionResponse thought thoughtSignature mediaResolution", "part")
    kinds = set(part) & {"text", "inlineData", "fileData", "functionCall", "functionResponse"}
    need(len(kinds) == 1, f"a part has one kind of data: {sorted(part)}")
    if call := part.get("functionCall"):
        need(role == "model" and isinstance(call.get("args", {}), dict), "functionCall.args must be an object")
    if result := part.get("functionResponse"):
        known(result, "id name response parts", "functionResponse")
        need(role == "user" and isinstance(result["response"], dict) and result["name"], f"functionResponse: {result}")
        ask.results.append(json.dumps(result["response"], ensure_ascii=False))
        for inner in result.get("parts", []):
            ask.media.append(sized(inner["inlineData"]["mimeType"], inner["inlineData"]["data"]))
    if blob := part.get("inlineData"):
        ask.media.append(sized(blob["mimeType"], blob["data"]))
    if file := part.get("fileData"):
        ask.media.append(("link", len(file["fileUri"])))
    return "" if part.get("thought") else part.get("text", "")


def gemini_tools(ask: Ask, body: dict) -> None:
    for tool in body.get("tools", []):
        known(tool, "functionDeclarations", "tools")
        for function in tool["functionDeclarations"]:
            known(function, "name description parameters parametersJsonSchema behavior response responseJsonSchema", "functionDeclarations")
            need(GEMINI_NAME.fullmatch(function["name"]), f"functionDeclarations: bad name {function['name']!r}")
            if own := function.get("parameters"):
                gemini_schema(own)
            ask.tools[function["name"]] = own or function.get("parametersJsonSchema") or {"type": "object"}
    config = body.get("toolConfig", {}).get("functionCallingConfig", {})
    known(config, "mode allowedFunctionNames", "functionCallingConfig")
    allowed = config.get("allowedFunctionNames", [])
    need(not allowed or config["mode"] in ("ANY", "VALIDATED"), "allowedFunctionNames need the mode ANY")
    need(set(allowed) <= set(ask.tools), f"allowedFunctionNames: {allowed}")
    mode = config.get("mode", "AUTO").lower()
    ask.choice = allowed[0] if len(allowed) == 1 else mode


def gemini_schema(schema: dict) -> None:
    known(schema, SCHEMA_FIELDS, "schema")
    for inner in [*schema.get("properties", {}).values(), *schema.get("anyOf", []), *filter(None, [schema.get("items")])]:
        gemini_schema(inner)
