"""instructor over the packages of OpenAI and Anthropic, before each provider; prints what it got as JSON."""

import asyncio
import json
import os

import anthropic
import instructor
import openai
from instructor.core.exceptions import InstructorRetryException
from pydantic import BaseModel, Field, field_validator

URL, KEY = os.environ["FULCRUM_BASE_URL"], os.environ["FULCRUM_KEY"]
ASK = [{"role": "user", "content": "'Ada Lovelace' wrote 7 notes, between two tides"}]
LIMIT = 512


class Person(BaseModel):
    name: str
    notes: int
    kind: str | None = None


class Loud(BaseModel):
    """The provider's model writes lower case, until a correction asks for upper case."""

    name: str = Field(description="A name")

    @field_validator("name")
    @classmethod
    def is_loud(cls, name: str) -> str:
        if not name.isupper():
            raise ValueError("a name must be in upper case")
        return name


class Never(BaseModel):
    name: str

    @field_validator("name")
    @classmethod
    def is_never_right(cls, name: str) -> str:
        raise ValueError("no name is right")


def openai_client(mode):
    return instructor.from_openai(openai.OpenAI(base_url=URL, api_key=KEY, max_retries=0), mode=mode)


def openai_async(mode):
    return instructor.from_openai(openai.AsyncOpenAI(base_url=URL, api_key=KEY, max_retries=0), mode=mode)


def anthropic_client(mode):
    return instructor.from_anthropic(anthropic.Anthropic(base_url=URL.removesuffix("/v1"), api_key=KEY, max_retries=0), mode=mode)


def anthropic_async(mode):
    client = anthropic.AsyncAnthropic(base_url=URL.removesuffix("/v1"), api_key=KEY, max_retries=0)
    return instructor.from_anthropic(client, mode=mode)


MODES = {
    "openai-tools": (openai_client, openai_async, instructor.Mode.TOOLS),
    "openai-strict": (openai_client, openai_async, instructor.Mode.TOOLS_STRICT),
    "openai-json": (openai_client, openai_async, instructor.Mode.JSON),
    "openai-markdown": (openai_client, openai_async, instructor.Mode.MD_JSON),
    "openai-schema": (openai_client, openai_async, instructor.Mode.JSON_SCHEMA),
    "openai-responses": (openai_client, openai_async, instructor.Mode.RESPONSES_TOOLS),
    "anthropic-tools": (anthropic_client, anthropic_async, instructor.Mode.ANTHROPIC_TOOLS),
    "anthropic-json": (anthropic_client, anthropic_async, instructor.Mode.ANTHROPIC_JSON),
}


def whole(client, asked):
    person, answer = client.chat.completions.create_with_completion(response_model=Person, **asked)
    usage = answer.usage
    read = getattr(usage, "input_tokens", None) or usage.prompt_tokens
    cached = getattr(usage, "cache_read_input_tokens", None) or 0
    written = getattr(usage, "cache_creation_input_tokens", None) or 0
    return {"person": person.model_dump(), "input": read + cached + written}


def corrected(client, asked):
    return client.chat.completions.create(response_model=Loud, max_retries=2, **asked).name


def exhausted(client, asked):
    try:
        return client.chat.completions.create(response_model=Never, max_retries=2, **asked).name
    except InstructorRetryException as error:
        return {"attempts": error.n_attempts, "says": "no name is right" in str(error)}


def partial(client, asked):
    partial = list(client.chat.completions.create_partial(response_model=Person, **asked))
    return {"last": partial[-1].model_dump(), "grew": len({person.model_dump_json() for person in partial}) > 1}


def several(client, asked):
    return [person.name for person in client.chat.completions.create_iterable(response_model=Person, **asked)]


def refused(client, asked):
    try:
        client.chat.completions.create(response_model=Person, max_retries=1, **{**asked, "model": "no-such"})
    except Exception as error:
        return type(error.__cause__ or error).__name__, "no-such" in str(error)


def outcome(ask, *arguments):
    try:
        return ask(*arguments)
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:1500]


def of(provider, mode):
    make, make_async, kind = MODES[mode]
    limit = "max_output_tokens" if mode == "openai-responses" else "max_tokens"
    asked = {"model": f"{provider}/m-{mode}", "messages": ASK, limit: LIMIT}
    client = make(kind)

    def at_once(_, asked):
        return asyncio.run(make_async(kind).chat.completions.create(response_model=Person, **asked)).model_dump()

    cases = (whole, corrected, exhausted, partial, several, refused, at_once)
    return {case.__name__: outcome(case, client, asked) for case in cases}


def main():
    providers = os.environ["FULCRUM_PROVIDERS"].split(",")
    print(json.dumps({provider: {mode: of(provider, mode) for mode in MODES} for provider in providers}))


main()
