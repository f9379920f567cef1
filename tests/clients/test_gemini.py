"""google-genai against the simulated provider: whole, streamed, functions and errors."""

import httpx
import pytest
from google import genai
from google.genai import errors, types

WEATHER = types.FunctionDeclaration(
    name="get_weather",
    description="The weather of a city",
    parameters_json_schema={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
TOOLS = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[WEATHER])])
ASK = "What is the weather in Paris and London?"


def new_client(gateway, key, version=None):
    options = types.HttpOptions(base_url=gateway.url, api_version=version, timeout=60_000)
    return genai.Client(vertexai=False, api_key=key, http_options=options)


@pytest.fixture(scope="module")
def gemini(gateway, key):
    return new_client(gateway, key["key"])


@pytest.fixture
def question(message):
    return message[0]["content"]


def text_of(answers):
    return "".join(answer.text or "" for answer in answers)


def test_a_whole_answer_has_text_and_usage(gemini, gateway, question):
    answer = gemini.models.generate_content(model="fast", contents=question)
    usage = answer.usage_metadata
    assert answer.text and answer.candidates[0].finish_reason is types.FinishReason.STOP and answer.response_id
    assert usage.total_token_count == usage.prompt_token_count + usage.candidates_token_count > 0
    row = gateway.row(answer.sdk_http_response.headers["x-fulcrum-request-id"])
    assert row["model"] == "simulated/gpt-4o-mini-instant" and row["requested_model"] == "fast"
    assert (row["input_tokens"], row["output_tokens"]) == (usage.prompt_token_count, usage.candidates_token_count)


def test_both_versions_of_the_path_are_served(gateway, key, question):
    config = types.GenerateContentConfig(system_instruction="Be brief.", seed=7)
    # A client that nobody holds closes its connections.
    clients = [new_client(gateway, key["key"], version) for version in ("v1", "v1beta")]
    answers = [client.models.generate_content(model="fast", contents=question, config=config) for client in clients]
    texts = {answer.text for answer in answers}
    assert len(texts) == 1 and texts != {""}


def test_a_stream_says_the_same_and_ends_once(gemini, question):
    whole = gemini.models.generate_content(model="fast", contents=question)
    answers = list(gemini.models.generate_content_stream(model="fast", contents=question))
    assert len(answers) > 2 and text_of(answers) == whole.text
    ended = [answer.candidates[0].finish_reason for answer in answers if answer.candidates]
    assert [reason for reason in ended if reason] == [types.FinishReason.STOP]
    streamed, at_once = answers[-1].usage_metadata, whole.usage_metadata
    assert (streamed.prompt_token_count, streamed.candidates_token_count) == (at_once.prompt_token_count, at_once.candidates_token_count)
    assert len({answer.response_id for answer in answers}) == 1


async def test_the_async_client_streams_too(gemini, question):
    stream = await gemini.aio.models.generate_content_stream(model="fast", contents=question)
    assert text_of([answer async for answer in stream])


def test_a_limit_ends_an_answer(gemini, question):
    config = types.GenerateContentConfig(max_output_tokens=3)
    answer = gemini.models.generate_content(model="fast", contents=question, config=config)
    assert answer.candidates[0].finish_reason is types.FinishReason.MAX_TOKENS
    assert answer.usage_metadata.candidates_token_count == 3


def test_parallel_functions_and_the_turn_after_them(gemini):
    answer = gemini.models.generate_content(model="fast", contents=ASK, config=TOOLS)
    calls = answer.function_calls
    assert [(call.name, call.args["city"]) for call in calls] == [("get_weather", "Paris"), ("get_weather", "London")]
    results = [
        types.Part(function_response=types.FunctionResponse(id=call.id, name=call.name, response={"degrees": 12}))
        for call in calls
    ]
    contents = [
        types.Content(role="user", parts=[types.Part(text=ASK)]),
        answer.candidates[0].content,
        types.Content(role="user", parts=results),
    ]
    after = gemini.models.generate_content(model="fast", contents=contents, config=TOOLS)
    assert after.text and not after.function_calls


def test_streamed_functions_come_whole(gemini):
    answers = list(gemini.models.generate_content_stream(model="fast", contents=ASK, config=TOOLS))
    calls = [call for answer in answers for call in answer.function_calls or []]
    assert [call.args for call in calls] == [{"city": "Paris"}, {"city": "London"}]


def test_a_schema_makes_json(gemini, question):
    schema = {"type": "object", "properties": {"kind": {"type": "string"}}, "required": ["kind"]}
    config = types.GenerateContentConfig(response_mime_type="application/json", response_json_schema=schema)
    assert set(gemini.models.generate_content(model="fast", contents=question, config=config).parsed) == {"kind"}


def refused(client, model="fast", stream=False, **fields):
    with pytest.raises(errors.ClientError) as raised:
        call = client.models.generate_content_stream if stream else client.models.generate_content
        answer = call(**{"model": model, "contents": "Hi", **fields})
        list(answer)
    return raised.value


@pytest.mark.parametrize("stream", [False, True])
def test_each_failure_has_its_code_and_status(gemini, gateway, stream):
    error = refused(new_client(gateway, "fk-wrong"), stream=stream)
    assert (error.code, error.status) == (401, "UNAUTHENTICATED")
    error = refused(gemini, model="no-such", stream=stream)
    assert (error.code, error.status) == (404, "NOT_FOUND") and "no-such" in error.message
    error = refused(gemini, stream=stream, config=types.GenerateContentConfig(temperature=9))
    assert (error.code, error.status) == (400, "INVALID_ARGUMENT") and "temperature" in error.message


def test_what_no_other_dialect_has_is_refused_by_name(gemini):
    config = types.GenerateContentConfig(tools=[types.Tool(google_search=types.GoogleSearch())])
    error = refused(gemini, config=config)
    assert (error.code, error.status) == (400, "INVALID_ARGUMENT") and "google" in error.message.lower()


def test_a_stream_without_events_is_one_list(gateway, key):
    answer = httpx.post(
        f"{gateway.url}/v1beta/models/fast:streamGenerateContent",
        headers={"x-goog-api-key": key["key"]},
        json={"contents": [{"parts": [{"text": "Hi"}]}]},
    )
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    parts = answer.json()
    assert isinstance(parts, list) and len(parts) > 1
    assert parts[-1]["candidates"][0]["finishReason"] == "STOP" and parts[-1]["usageMetadata"]["totalTokenCount"] > 0


@pytest.mark.parametrize("fault", ["cut", "error-event"])
def test_a_stream_that_fails_is_an_error(gemini, question, fault):
    with pytest.raises(errors.APIError):
        list(gemini.models.generate_content_stream(model=f"simulated/gemini-{fault}-instant", contents=question))


def test_tokens_are_counted_by_estimate_where_gemini_does_not_answer(gemini, question):
    assert gemini.models.count_tokens(model="fast", contents=question).total_tokens > 5


def test_embeddings_of_any_provider(gemini, client):
    config = types.EmbedContentConfig(output_dimensionality=8)
    answer = gemini.models.embed_content(model="vectors", contents=["red boots", "a tax form"], config=config)
    plain = client.embeddings.create(model="vectors", input="red boots", dimensions=8)
    assert len(answer.embeddings) == 2
    assert answer.embeddings[0].values == pytest.approx(plain.data[0].embedding, abs=1e-6)
