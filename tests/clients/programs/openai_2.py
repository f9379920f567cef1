"""The 2.x line of openai-python against the gateway; prints what it got as JSON."""

import json
import os

import openai
from pydantic import BaseModel


class Recipe(BaseModel):
    name: str
    minutes: int


def refusal(call):
    try:
        call()
    except openai.APIError as error:
        return {"class": type(error).__name__, "code": error.code, "param": error.param}


def main():
    client = openai.OpenAI(base_url=os.environ["FULCRUM_BASE_URL"], api_key=os.environ["FULCRUM_KEY"])
    ask = {"model": "fast", "messages": [{"role": "user", "content": "Tell me of boats."}]}
    whole = client.chat.completions.create(**ask)
    chunks = list(client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    parsed = client.chat.completions.parse(**ask, response_format=Recipe).choices[0].message.parsed
    vectors = client.embeddings.create(model="vectors", input=["a", "b"])
    print(
        json.dumps(
            {
                "version": openai.__version__,
                "whole": whole.choices[0].message.content,
                "stream": "".join(c.choices[0].delta.content or "" for c in chunks if c.choices),
                "usage": [whole.usage.total_tokens, chunks[-1].usage.total_tokens],
                "parsed": parsed.model_dump(),
                "vectors": [len(item.embedding) for item in vectors.data],
                "models": [model.id for model in client.models.list()],
                "refused": refusal(lambda: client.chat.completions.create(**{**ask, "model": "no-such"})),
                "cut": refusal(
                    lambda: list(client.chat.completions.create(**{**ask, "model": "simulated/cut-instant"}, stream=True))
                ),
            }
        )
    )


main()
