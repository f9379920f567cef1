"""A small Bedrock, which believes no signature but the one that Amazon's own client reckons, and no body but one of its model.

It answers as the others of dialects.py do: a call of the first tool, and text after its result; 20 tokens in, 8 of them
cached and 3 written to the cache, which it counts apart, and 5 out.
"""

import gzip
import json
import re
import struct
import zlib
from pathlib import Path
from urllib.parse import unquote

import botocore
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.eventstream import EventStreamBuffer
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

REGION = "eu-central-1"
USAGE = {"inputTokens": 9, "cacheReadInputTokens": 8, "cacheWriteInputTokens": 3, "outputTokens": 5, "totalTokens": 25}
STREAM = {"content-type": "application/vnd.amazon.eventstream"}

_described = sorted(Path(botocore.__file__).parent.glob("data/bedrock-runtime/*/service-2.json.gz"))[-1]
_model = ServiceModel(json.loads(gzip.decompress(_described.read_bytes())), "bedrock-runtime")


def flaws(call) -> str:
    """What Amazon's own description of Converse finds wrong with a call."""
    name = "ConverseStream" if call.path.endswith("-stream") else "Converse"
    shape = _model.operation_model(name).input_shape
    model = unquote(re.search(r"/model/([^/]+)/", call.path)[1])
    return ParamValidator().validate({"modelId": model, **call.body}, shape).generate_report()


def is_signed(call, key_id: str, secret: str) -> bool:
    """Whether Amazon's own client would have signed the call so, at the time that it names."""
    header = call.headers["authorization"]
    covered = re.search(r"SignedHeaders=([^,]+)", header)[1].split(";")
    request = AWSRequest("POST", f"http://{call.headers['host']}{call.path}", data=call.raw)
    for name in covered:
        request.headers[name] = call.headers[name]
    request.context["timestamp"] = call.headers["x-amz-date"]
    signer = SigV4Auth(Credentials(key_id, secret, call.headers.get("x-amz-security-token")), "bedrock", REGION)
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    scope = f"{key_id}/{call.headers['x-amz-date'][:8]}/{REGION}/bedrock/aws4_request"
    needed = {"host", "content-type", "x-amz-date"}
    return f"Credential={scope}, " in header and header.endswith(f"Signature={signature}") and needed <= set(covered)


def frame(headers: dict, payload: dict) -> bytes:
    """A frame of the event stream, read back by Amazon's own client to be sure."""
    packed = b""
    for name, value in headers.items():
        packed += struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
    body = json.dumps(payload, ensure_ascii=False).encode()
    prelude = struct.pack("!II", len(packed) + len(body) + 16, len(packed))
    whole = prelude + struct.pack("!I", zlib.crc32(prelude)) + packed + body
    whole += struct.pack("!I", zlib.crc32(whole))
    buffer = EventStreamBuffer()
    buffer.add_data(whole)
    [read] = buffer
    assert (read.headers, read.payload) == (headers, body)
    return whole


def event(name: str, **payload) -> bytes:
    return frame({":event-type": name, ":content-type": "application/json", ":message-type": "event"}, payload)


def exception(kind: str, message: str) -> bytes:
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return frame(headers, {"message": message})


def whole(tool: str | None, arguments: dict, text: str) -> dict:
    block = {"toolUse": {"toolUseId": "tooluse_1", "name": tool, "input": arguments}} if tool else {"text": text}
    message = {"role": "assistant", "content": [block]}
    stop = "tool_use" if tool else "end_turn"
    return {"output": {"message": message}, "stopReason": stop, "usage": USAGE, "metrics": {"latencyMs": 1}}


def events(tool: str | None, fragments: list[str], parts: list[str]) -> list[bytes]:
    frames = [event("messageStart", role="assistant", p="abc")]
    if tool:
        start = {"toolUse": {"toolUseId": "tooluse_1", "name": tool}}
        frames.append(event("contentBlockStart", contentBlockIndex=0, start=start))
    deltas = [{"toolUse": {"input": piece}} for piece in fragments] if tool else [{"text": piece} for piece in parts]
    frames += [event("contentBlockDelta", contentBlockIndex=0, delta=delta, p="abcdef") for delta in deltas]
    frames.append(event("contentBlockStop", contentBlockIndex=0))
    frames.append(event("messageStop", stopReason="tool_use" if tool else "end_turn"))
    frames.append(event("metadata", usage=USAGE, metrics={"latencyMs": 1}))
    return frames
