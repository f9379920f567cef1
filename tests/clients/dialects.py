"""Small providers of every dialect: what they answer, whole and as a stream, each in its own way of counting tokens.

Who gives them tools gets a call of the first one, and text after its result. 20 tokens went in, 8 of them cached and 3
written to the cache (Gemini has no such thing); 5 came out, 2 of them reasoning.
"""

import json

import bedrock
from recorder import Answer, Call

TEXT = "The tide turns at six, off Øresund."
PARTS = ["The tide", " turns", " at six, off Ør", "esund."]
ARGUMENTS = {"city": "Malmö", "unit": "C"}
CALL = json.dumps(ARGUMENTS, ensure_ascii=False)
FRAGMENTS = [CALL[:4], CALL[4:15], CALL[15:]]
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
ANTHROPIC_INPUT = {"input_tokens": 9, "cache_read_input_tokens": 8, "cache_creation_input_tokens": 3}
ANTHROPIC_OUTPUT = {"output_tokens": 5, "output_tokens_details": {"thinking_tokens": 2}}
GEMINI_USAGE = {
    "promptTokenCount": 20,
    "cachedContentTokenCount": 8,
    "candidatesTokenCount": 3,
    "thoughtsTokenCount": 2,
    "totalTokenCount": 25,
}


def speak(call: Call, model: str) -> Answer:
    """The answer of the provider whose path was called."""
    path = call.path.partition("?")[0]
    calls_tool = bool(call.body.get("tools") or call.body.get("toolConfig")) and RESULT.encode() not in call.raw
    if path.endswith("/count_tokens"):
        return Answer(body={"input_tokens": 42})
    if path.endswith(":streamGenerateContent"):
        return streamed(gemini_events(model, calls_tool))
    if path.endswith(":generateContent"):
        return Answer(body=gemini(model, gemini_parts(calls_tool), finishReason="STOP", usage=GEMINI_USAGE))
    if path.endswith("/converse-stream"):
        return streamed(bedrock.events(TOOL if calls_tool else None, FRAGMENTS, PARTS), headers=bedrock.STREAM)
    if path.endswith("/converse"):
        return Answer(body=bedrock.whole(TOOL if calls_tool else None, ARGUMENTS, TEXT))
    whole, events = {
        "/v1/chat/completions": (chat, chat_events),
        "/v1/responses": (responses, responses_events),
        "/v1/messages": (messages, messages_events),
    }[path]
    return streamed(events(model, calls_tool)) if call.body.get("stream") else Answer(body=whole(model, calls_tool))


def streamed(events: list[bytes], **fields) -> Answer:
    """The events in pieces that end anywhere, also within a character."""
    whole = b"".join(events)
    return Answer(pieces=[whole[at : at + 61] for at in range(0, len(whole), 61)], **fields)


def data(value: dict) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def named(value: dict) -> bytes:
    return b"event: " + value["type"].encode() + b"\n" + data(value)


def chat(model: str, calls_tool: bool) -> dict:
    function = {"name": TOOL, "arguments": CALL}
    tools = {"tool_calls": [{"id": "call_1", "type": "function", "function": function}]} if calls_tool else {}
    message = {"role": "assistant", "content": None if calls_tool else TEXT, "refusal": None, **tools}
    finish = "tool_calls" if calls_tool else "stop"
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model}
    return {**head, "choices": [choice], "usage": CHAT_USAGE}


def chat_events(model: str, calls_tool: bool) -> list[bytes]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}

    def chunk(delta, finish=None):
        return data({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": None})

    def fragment(**fields):
        return chunk({"tool_calls": [{"index": 0, **fields}]})

    events = [chunk({"role": "assistant", "content": None if calls_tool else ""})]
    if calls_tool:
        events.append(fragment(id="call_1", type="function", function={"name": TOOL, "arguments": ""}))
        events += [fragment(function={"arguments": part}) for part in FRAGMENTS]
    else:
        events += [chunk({"content": part}) for part in PARTS]
    end = chunk({}, "tool_calls" if calls_tool else "stop")
    return [*events, end, data({**head, "choices": [], "usage": CHAT_USAGE}), b"data: [DONE]\n\n"]


def responses_item(calls_tool: bool, status: str = "completed", text: str = TEXT, arguments: str = CALL) -> dict:
    if calls_tool:
        call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": TOOL}
        return {**call, "arguments": arguments, "status": status}
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}] if text else []
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": status, "content": content}


def responses(model: str, calls_tool: bool, status: str = "completed") -> dict:
    done = status == "completed"
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": model,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "output": [responses_item(calls_tool)] if done else [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": RESPONSES_USAGE if done else None,
    }


def responses_events(model: str, calls_tool: bool) -> list[bytes]:
    place = {"item_id": "fc_1" if calls_tool else "msg_1", "output_index": 0}
    begun = responses(model, calls_tool, "in_progress")
    started = responses_item(calls_tool, "in_progress", text="", arguments="")
    events = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": started},
    ]
    if calls_tool:
        kind = "response.function_call_arguments"
        events += [{"type": f"{kind}.delta", **place, "delta": part} for part in FRAGMENTS]
        events.append({"type": f"{kind}.done", **place, "name": TOOL, "arguments": CALL})
    else:
        place["content_index"] = 0
        [part] = responses_item(calls_tool)["content"]
        events.append({"type": "response.content_part.added", **place, "part": {**part, "text": ""}})
        events += [{"type": "response.output_text.delta", **place, "delta": part, "logprobs": []} for part in PARTS]
        events.append({"type": "response.output_text.done", **place, "text": TEXT, "logprobs": []})
        events.append({"type": "response.content_part.done", **place, "part": part})
    events.append({"type": "response.output_item.done", "output_index": 0, "item": responses_item(calls_tool)})
    events.append({"type": "response.completed", "response": responses(model, calls_tool)})
    return [named({**event, "sequence_number": n}) for n, event in enumerate(events)]


def messages(model: str, calls_tool: bool) -> dict:
    call = {"type": "tool_use", "id": "toolu_1", "name": TOOL, "input": ARGUMENTS}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [call if calls_tool else {"type": "text", "text": TEXT}],
        "stop_reason": "tool_use" if calls_tool else "end_turn",
        "stop_sequence": None,
        "usage": {**ANTHROPIC_INPUT, **ANTHROPIC_OUTPUT},
    }


def messages_events(model: str, calls_tool: bool) -> list[bytes]:
    begun = {**messages(model, calls_tool), "content": [], "stop_reason": None}
    begun["usage"] = {**ANTHROPIC_INPUT, "output_tokens": 1}
    call = {"type": "tool_use", "id": "toolu_1", "name": TOOL, "input": {}}
    block = call if calls_tool else {"type": "text", "text": ""}
    if calls_tool:
        deltas = [{"type": "input_json_delta", "partial_json": part} for part in ["", *FRAGMENTS]]
    else:
        deltas = [{"type": "text_delta", "text": part} for part in PARTS]
    stop = {"stop_reason": "tool_use" if calls_tool else "end_turn", "stop_sequence": None}
    events = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "ping"},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": stop, "usage": ANTHROPIC_OUTPUT},
        {"type": "message_stop"},
    ]
    return [named(event) for event in events]


def gemini_parts(calls_tool: bool) -> list[dict]:
    return [{"functionCall": {"name": TOOL, "args": ARGUMENTS}}] if calls_tool else [{"text": TEXT}]


def gemini(model: str, parts: list[dict], usage: dict, **fields) -> dict:
    candidate = {"content": {"role": "model", "parts": parts}, "index": 0, **fields}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": model, "responseId": "r-1"}


def gemini_events(model: str, calls_tool: bool) -> list[bytes]:
    so_far = {**GEMINI_USAGE, "candidatesTokenCount": 1, "totalTokenCount": 23}
    parts = gemini_parts(True) if calls_tool else [{"text": part} for part in PARTS]
    events = [gemini(model, [part], so_far) for part in parts]
    events.append(gemini(model, [{"text": ""}], GEMINI_USAGE, finishReason="STOP"))
    return [data(event).replace(b"\n\n", b"\r\n\r\n") for event in events]
