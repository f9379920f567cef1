"""langchain-openai against the gateway; prints what it got as JSON."""

import json
import os

from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

GATEWAY = {"base_url": os.environ["FULCRUM_BASE_URL"], "api_key": os.environ["FULCRUM_KEY"]}


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"12 degrees in {city}"


class Recipe(BaseModel):
    name: str
    minutes: int


def tools(chat):
    asked = [HumanMessage("What is the weather in Paris and London?")]
    answer = chat.bind_tools([get_weather]).invoke(asked)
    results = [ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"]) for call in answer.tool_calls]
    after = chat.bind_tools([get_weather]).invoke([*asked, answer, *results])
    return {"cities": [call["args"]["city"] for call in answer.tool_calls], "after": after.content}


def main():
    # Its default is the Responses API for some models; the gateway has chat completions.
    chat = ChatOpenAI(model="fast", use_responses_api=False, **GATEWAY)
    whole = chat.invoke([SystemMessage("Be brief."), HumanMessage("Tell me of boats.")])
    chunks = list(chat.stream("Tell me of boats.", stream_usage=True))
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    recipe = chat.with_structured_output(Recipe, method="json_schema").invoke("A recipe")
    vectors = OpenAIEmbeddings(model="vectors", check_embedding_ctx_length=False, **GATEWAY).embed_documents(["a", "b"])
    try:
        ChatOpenAI(model="no-such", max_retries=0, **GATEWAY).invoke("Hello")
        refused = None
    except Exception as error:
        refused = type(error).__name__
    print(
        json.dumps(
            {
                "whole": {"text": whole.content, "usage": whole.usage_metadata, "about": whole.response_metadata},
                "stream": {"chunks": len(chunks), "text": total.content, "usage": total.usage_metadata},
                "tools": tools(chat),
                "recipe": recipe.model_dump(),
                "batch": [answer.content for answer in chat.batch(["One", "Two", "Three"])],
                "vectors": [len(vector) for vector in vectors],
                "refused": refused,
            }
        )
    )


main()
