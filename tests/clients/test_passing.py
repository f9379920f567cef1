"""openai-python: completions, moderations, images, audio; and rerank, for which it has no method."""

import base64
import io
import wave

import openai
import pytest


def test_a_completion_whole_and_streamed_is_the_same(client, gateway):
    asked = {"model": "fast", "prompt": "How do tides work?", "max_tokens": 30}
    raw = client.completions.with_raw_response.create(**asked)
    whole = raw.parse()
    assert whole.object == "text_completion" and whole.choices[0].text and whole.usage.completion_tokens <= 30
    stream = list(client.completions.create(**asked, stream=True))
    assert "".join(chunk.choices[0].text for chunk in stream) == whole.choices[0].text
    row = gateway.row(raw.headers["x-fulcrum-request-id"])
    assert (row["endpoint"], row["output_tokens"]) == ("/v1/completions", whole.usage.completion_tokens)
    assert float(row["cost_usd"]) > 0


def test_usage_of_a_completions_stream_comes_to_who_asks(client):
    usage = {"include_usage": True}
    *_, last = client.completions.create(model="fast", prompt="Hi", stream=True, stream_options=usage)
    assert last.choices == [] and last.usage.total_tokens > 0


def test_moderations(client, gateway):
    raw = client.moderations.with_raw_response.create(model="simulated/moderation-instant", input=["hello", "I kill you"])
    first, second = raw.parse().results
    assert not first.flagged and second.flagged and second.categories.violence
    row = gateway.row(raw.headers["x-fulcrum-request-id"])
    assert row["cost_usd"] is None and row["input_tokens"] is None


def test_images(client):
    made = client.images.generate(model="simulated/image-instant", prompt="a red boat", n=2)
    for image in made.data:
        assert base64.b64decode(image.b64_json).startswith(b"\x89PNG\r\n\x1a\n")
    assert len(made.data) == 2 and made.usage.total_tokens > 0
    edited = client.images.edit(
        model="simulated/image-instant", prompt="a blue boat", image=("boat.png", base64.b64decode(made.data[0].b64_json))
    )
    assert edited.data[0].b64_json


def test_speech_is_a_sound_and_its_transcript_a_text(client, gateway):
    with client.audio.speech.with_streaming_response.create(
        model="simulated/speech-instant", voice="alloy", input="Good morning to all"
    ) as answer:
        assert answer.headers["content-type"] == "audio/wav"
        sound = answer.read()
        request = answer.headers["x-fulcrum-request-id"]
    assert wave.open(io.BytesIO(sound)).getnframes() == 4 * 1_600
    assert gateway.row(request)["status"] == "ok"
    observed = client.audio.transcriptions.create(model="simulated/ear-instant", file=("a.wav", sound), language="en")
    assert len(observed.text) > 20
    text = client.audio.transcriptions.create(model="simulated/ear-instant", file=("a.wav", sound), response_format="text")
    assert observed.text in text
    events = client.audio.transcriptions.create(model="simulated/ear-instant", file=("a.wav", sound), stream=True)
    *deltas, done = events
    assert "".join(event.delta for event in deltas) == done.text
    assert client.audio.translations.create(model="simulated/ear-instant", file=("a.wav", sound)).text


def test_rerank(client):
    documents = ["a volcano erupts", "where is my parcel?"]
    asked = {"model": "simulated/rerank-instant", "query": "my parcel", "documents": documents}
    ranked = client.post("/rerank", cast_to=object, body=asked)
    assert ranked["results"][0]["index"] == 1


def test_a_provider_that_has_no_such_route_is_named(client):
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.speech.create(model="claude", voice="alloy", input="Hi")
    assert refused.value.code == "unsupported_feature" and "/v1/audio/speech" in refused.value.message
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.transcriptions.create(model="claude", file=("a.wav", b"RIFF"))
    assert refused.value.code == "unsupported_feature"
