"""An upstream that records requests byte for byte, and answers as a test scripts it."""

import json
import re
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Call:
    """One request as it arrived."""

    path: str
    headers: dict
    raw: bytes
    cut: threading.Event = field(default_factory=threading.Event)

    @property
    def body(self) -> dict:
        return json.loads(self.raw)

    @property
    def model(self) -> str:
        """As the body says, or, where Gemini or Bedrock is spoken, the path."""
        named = re.search(r"/models/([^/:]+):|/model/([^/]+)/converse", self.path)
        return named[1] or named[2] if named else self.body["model"]


@dataclass
class Answer:
    """One answer. `pieces` are sent `gap` seconds apart; `broken` ends the connection without the last chunk."""

    status: int = 200
    body: dict | None = None
    headers: dict = field(default_factory=dict)
    pieces: list[bytes] | None = None
    gap: float = 0.0
    delay: float = 0.0
    broken: bool = False


def error(status: int, message: str, headers: dict | None = None, **fields) -> Answer:
    error = {"message": message, "type": "server_error", "param": None, "code": None, **fields}
    return Answer(status, {"error": error}, headers or {})


def completion(text: str = "Recorded.", model: str = "echo", **fields) -> dict:
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    whole = {"id": "chatcmpl-echo", "object": "chat.completion", "created": 1, "model": model}
    return {**whole, "choices": [choice], "usage": usage, **fields}


def chunk(delta: dict, finish: str | None = None, **fields) -> bytes:
    head = {"id": "chatcmpl-echo", "object": "chat.completion.chunk", "created": 1, "model": "echo"}
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps({**head, "choices": choices, **fields}).encode() + b"\n\n"


def plain(call: Call, model: str) -> Answer:
    """What a model without a script answers: a completion, whatever it was asked."""
    return Answer(body=completion(model=model))


class Recorder:
    """Scripts and calls are stored by the model's name, so that tests do not see each other's.

    `speak` answers for models without a script."""

    def __init__(self, speak=plain):
        self.speak = speak
        self.scripts: dict[str, list[Answer]] = {}
        self.seen: dict[str, list[Call]] = defaultdict(list)
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                recorder.answer(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def script(self, model: str, *answers: Answer) -> str:
        """Gives these answers to `model` in turn, the last one ever after. Returns the model's name."""
        self.scripts[model] = list(answers)
        return model

    def calls(self, model: str) -> list[Call]:
        return self.seen[model]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        raw = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        call = Call(handler.path, {k.lower(): v for k, v in handler.headers.items()}, raw)
        model = call.model
        self.seen[model].append(call)
        script = self.scripts.get(model, [])
        answer = script.pop(0) if len(script) > 1 else (script or [self.speak(call, model)])[0]
        try:
            time.sleep(answer.delay)
            self._send(handler, answer)
        except OSError:
            call.cut.set()
            handler.close_connection = True

    @staticmethod
    def _send(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        if answer.pieces is None:
            body = json.dumps(answer.body).encode()
            handler.send_header("content-type", "application/json")
            handler.send_header("content-length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)
            return
        if "content-type" not in answer.headers:
            handler.send_header("content-type", "text/event-stream")
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        for piece in answer.pieces:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            handler.wfile.flush()
            time.sleep(answer.gap)
        if answer.broken:
            handler.close_connection = True
        else:
            handler.wfile.write(b"0\r\n\r\n")
