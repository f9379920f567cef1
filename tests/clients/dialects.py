"""Providers of every dialect: how they tell an answer, whole and as a stream, each in its own way of counting tokens.

20 tokens went in, 8 of them cached and 3 written to the cache (Gemini has no such thing); 5 came out, 2 of them
reasoning. The small ones of `speak` call the request's tool, and write a text after its result.
"""

import json
from dataclasses import dataclass, field, replace

import bedrock
from recorder import Answer, Call

TEXT = "The tide turns at six, off Øresund."
ARGUMENTS = {"city": "Malmö", "unit": "C"}
CALL = json.dumps(ARGUMENTS, ensure_ascii=False)
TOOL = "get_weather"
RESULT = "12 degrees"

CHAT_USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 5,
    "total_tokens": 25,
    "prompt_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
RESPONSES_USAGE = {
    "input_tokens": 20,
    "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 3},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 25,
}
REPEATED = {
    "instructions": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
}
ANTHROPIC_INPUT = {"input_tokens": 9, "cache_read_input_tokens": 8, "cache_creation_input_tokens": 3}
ANTHROPIC_OUTPUT = {"output_tokens": 5, "output_tokens_details": {"thinking_tokens": 2}}
GEMINI_USAGE = {
    "promptTokenCount": 20,
    "cachedContentTokenCount": 8,
    "candidatesTokenCount": 3,
    "thoughtsTokenCount": 2,
    "totalTokenCount": 25,
}


@dataclass
class Reply:
    """What an answer says, whatever the dialect. `calls` are names of tools with their arguments; `ended` is `limit`
    where the caller's limit cut it, and a stop text where that ended it. Responses repeat their `request`."""

    text: str = ""
    calls: list[tuple[str, dict]] = field(default_factory=list)
    thought: str = ""
    ended: str | None = None
    request: dict = field(default_factory=dict)


SAID = Reply(text=TEXT)
CALLED = Reply(calls=[(TOOL, ARGUMENTS)])
SIGNATURE = "c2lnbmVkIGJ5IHRoZSB0aWRl"


def speak(call: Call, model: str) -> Answer:
    """The answer of the small provider whose path was called."""
    if call.path.partition("?")[0].endswith("/count_tokens"):
        return Answer(body={"input_tokens": 42})
    has_tools = call.body.get("tools") or call.body.get("toolConfig")
    return answer(call, model, CALLED if has_tools and RESULT.encode() not in call.raw else SAID)


def answer(call: Call, model: str, reply: Reply) -> Answer:
    """A reply in the dialect of the path that was called, and in the form that was asked for."""
    path = call.path.partition("?")[0]
    reply = replace(reply, request=call.body)
    if path.endswith(":streamGenerateContent"):
        return streamed(gemini_events(model, reply))
    if path.endswith(":generateContent"):
        return Answer(body=gemini(model, reply))
    name, arguments = reply.calls[0] if reply.calls else (None, {})
    if path.endswith("/converse-stream"):
        return streamed(bedrock.events(name, parts(as_text(arguments)), parts(reply.text)), headers=bedrock.STREAM)
    if path.endswith("/converse"):
        return Answer(body=bedrock.whole(name, arguments, reply.text))
    whole, events = {
        "/v1/chat/completions": (chat, chat_events),
        "/v1/responses": (responses, responses_events),
        "/v1/messages": (messages, messages_events),
    }[path]
    return streamed(events(model, reply)) if call.body.get("stream") else Answer(body=whole(model, reply))


def streamed(events: list[bytes], **fields) -> Answer:
    """The events in pieces that end anywhere, also within a character."""
    whole = b"".join(events)
    return Answer(pieces=[whole[at : at + 61] for at in range(0, len(whole), 61)], **fields)


def data(value: dict) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def named(value: dict) -> bytes:
    return b"event: " + value["type"].encode() + b"\n" + data(value)


def parts(text: str) -> list[str]:
    """A text in the pieces that a stream brings."""
    return [text[at : at + 9] for at in range(0, len(text), 9)]


PARTS = parts(TEXT)


def as_text(arguments: dict) -> str:
    return json.dumps(arguments, ensure_ascii=False)


def chat_finish(reply: Reply) -> str:
    return "length" if reply.ended == "limit" else "tool_calls" if reply.calls else "stop"


def chat(model: str, reply: Reply) -> dict:
    calls = [
        {"id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": as_text(arguments)}}
        for n, (name, arguments) in enumerate(reply.calls, 1)
    ]
    message = {"role": "assistant", "content": reply.text or None, "refusal": None}
    message |= {"tool_calls": calls} if calls else {}
    message |= {"reasoning_content": reply.thought} if reply.thought else {}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": chat_finish(reply)}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model}
    return {**head, "choices": [choice], "usage": CHAT_USAGE}


def chat_events(model: str, reply: Reply) -> list[bytes]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}

    def chunk(delta, finish=None):
        return data({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": None})

    def fragment(n, **fields):
        return chunk({"tool_calls": [{"index": n, **fields}]})

    events = [chunk({"role": "assistant", "content": None if reply.calls else ""})]
    events += [chunk({"reasoning_content": part}) for part in parts(reply.thought)]
    events += [chunk({"content": part}) for part in parts(reply.text)]
    for n, (name, arguments) in enumerate(reply.calls):
        events.append(fragment(n, id=f"call_{n + 1}", type="function", function={"name": name, "arguments": ""}))
        events += [fragment(n, function={"arguments": part}) for part in parts(as_text(arguments))]
    end = chunk({}, chat_finish(reply))
    return [*events, end, data({**head, "choices": [], "usage": CHAT_USAGE}), b"data: [DONE]\n\n"]


def responses_items(reply: Reply) -> list[dict]:
    items = []
    if reply.thought:
        summary = [{"type": "summary_text", "text": reply.thought}]
        items.append({"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": SIGNATURE})
    if reply.text:
        content = [{"type": "output_text", "text": reply.text, "annotations": [], "logprobs": []}]
        items.append({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content})
    for n, (name, arguments) in enumerate(reply.calls, 1):
        call = {"type": "function_call", "id": f"fc_{n}", "call_id": f"call_{n}", "name": name}
        items.append({**call, "arguments": as_text(arguments), "status": "completed"})
    return items


def responses(model: str, reply: Reply, begun: bool = False) -> dict:
    cut = reply.ended == "limit" and not begun
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": model,
        "status": "in_progress" if begun else "incomplete" if cut else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": [] if begun else responses_items(reply),
        "usage": None if begun else RESPONSES_USAGE,
        **{name: reply.request.get(name) or value for name, value in REPEATED.items()},
    }


def responses_events(model: str, reply: Reply) -> list[bytes]:
    begun = responses(model, reply, begun=True)
    events = [{"type": "response.created", "response": begun}, {"type": "response.in_progress", "response": begun}]
    for at, item in enumerate(responses_items(reply)):
        empty = {name: value for name, value in item.items() if name != "encrypted_content"}
        empty |= {name: "" if name == "arguments" else [] for name in ("arguments", "content", "summary") if name in item}
        empty |= {"status": "in_progress"} if "status" in item else {}
        events.append({"type": "response.output_item.added", "output_index": at, "item": empty})
        events += item_events(item, {"item_id": item["id"], "output_index": at})
        events.append({"type": "response.output_item.done", "output_index": at, "item": item})
    whole = responses(model, reply)
    events.append({"type": f"response.{whole['status']}", "response": whole})
    return [named({**event, "sequence_number": n}) for n, event in enumerate(events)]


def item_events(item: dict, place: dict) -> list[dict]:
    """What comes between an item's first and last event."""
    if item["type"] == "function_call":
        kind, arguments = "response.function_call_arguments", item["arguments"]
        deltas = [{"type": f"{kind}.delta", **place, "delta": part} for part in parts(arguments)]
        return [*deltas, {"type": f"{kind}.done", **place, "name": item["name"], "arguments": arguments}]
    if item["type"] == "reasoning":
        kind, [part], place = "response.reasoning_summary", item["summary"], {**place, "summary_index": 0}
        deltas = [{"type": f"{kind}_text.delta", **place, "delta": piece} for piece in parts(part["text"])]
        done = {"type": f"{kind}_text.done", **place, "text": part["text"]}
    else:
        kind, [part], place = "response", item["content"], {**place, "content_index": 0}
        deltas = [
            {"type": f"{kind}.output_text.delta", **place, "delta": piece, "logprobs": []}
            for piece in parts(part["text"])
        ]
        done = {"type": f"{kind}.output_text.done", **place, "text": part["text"], "logprobs": []}
    name = f"{kind}_part" if item["type"] == "reasoning" else f"{kind}.content_part"
    first = {"type": f"{name}.added", **place, "part": {**part, "text": ""}}
    return [first, *deltas, done, {"type": f"{name}.done", **place, "part": part}]


def messages_blocks(reply: Reply) -> list[dict]:
    blocks = [{"type": "thinking", "thinking": reply.thought, "signature": SIGNATURE}] if reply.thought else []
    blocks += [{"type": "text", "text": reply.text}] if reply.text else []
    for n, (name, arguments) in enumerate(reply.calls, 1):
        blocks.append({"type": "tool_use", "id": f"toolu_{n}", "name": name, "input": arguments})
    return blocks


def messages_stop(reply: Reply) -> dict:
    reason = "max_tokens" if reply.ended == "limit" else "tool_use" if reply.calls else "end_turn"
    stopped = reply.ended if reply.ended != "limit" else None
    return {"stop_reason": "stop_sequence" if stopped else reason, "stop_sequence": stopped}


def messages(model: str, reply: Reply) -> dict:
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": model}
    usage = {**ANTHROPIC_INPUT, **ANTHROPIC_OUTPUT}
    return {**head, "content": messages_blocks(reply), **messages_stop(reply), "usage": usage}


def messages_events(model: str, reply: Reply) -> list[bytes]:
    begun = {**messages(model, Reply()), "stop_reason": None, "usage": {**ANTHROPIC_INPUT, "output_tokens": 1}}
    usage = {**ANTHROPIC_INPUT, **ANTHROPIC_OUTPUT}
    events = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for at, block in enumerate(messages_blocks(reply)):
        if block["type"] == "tool_use":
            empty = {**block, "input": {}}
            pieces = ["", *parts(as_text(block["input"]))]
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        else:
            kind = block["type"]
            empty = {**block, kind: "", **({"signature": ""} if kind == "thinking" else {})}
            deltas = [{"type": f"{kind}_delta", kind: piece} for piece in parts(block[kind])]
            deltas += [{"type": "signature_delta", "signature": SIGNATURE}] if kind == "thinking" else []
        events.append({"type": "content_block_start", "index": at, "content_block": empty})
        events += [{"type": "content_block_delta", "index": at, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": at})
    events.append({"type": "message_delta", "delta": messages_stop(reply), "usage": usage})
    return [named(event) for event in [*events, {"type": "message_stop"}]]


def gemini_parts(reply: Reply) -> list[dict]:
    parts_of_turn = [{"text": reply.thought, "thought": True}] if reply.thought else []
    parts_of_turn += [{"text": reply.text}] if reply.text else []
    parts_of_turn += [{"functionCall": {"name": name, "args": arguments}} for name, arguments in reply.calls]
    if reply.thought and len(parts_of_turn) > 1:
        parts_of_turn[1]["thoughtSignature"] = SIGNATURE
    return parts_of_turn


def gemini_answer(model: str, parts_of_turn: list[dict], usage: dict, **fields) -> dict:
    candidate = {"content": {"role": "model", "parts": parts_of_turn}, "index": 0, **fields}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": model, "responseId": "r-1"}


def gemini_finish(reply: Reply) -> str:
    return "MAX_TOKENS" if reply.ended == "limit" else "STOP"


def gemini(model: str, reply: Reply) -> dict:
    return gemini_answer(model, gemini_parts(reply), GEMINI_USAGE, finishReason=gemini_finish(reply))


def gemini_events(model: str, reply: Reply) -> list[bytes]:
    so_far = {**GEMINI_USAGE, "candidatesTokenCount": 1, "totalTokenCount": 23}
    parts_of_turn = []
    for part in gemini_parts(reply):
        # A call comes whole; the proof of a thought comes with it, or else in a last part without words.
        rest = {name: value for name, value in part.items() if name != "thoughtSignature"}
        parts_of_turn += [part] if "functionCall" in part else [{**rest, "text": piece} for piece in parts(part["text"])]
    last = {"text": "", **({"thoughtSignature": SIGNATURE} if reply.thought and not reply.calls else {})}
    events = [gemini_answer(model, [part], so_far) for part in parts_of_turn]
    events.append(gemini_answer(model, [last], GEMINI_USAGE, finishReason=gemini_finish(reply)))
    return [data(event).replace(b"\n\n", b"\r\n\r\n") for event in events]
