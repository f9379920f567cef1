"""openai-python: files and batches, run by Fulcrum on the simulated provider."""

import json
import time

import openai
import pytest


def lines(count, **body):
    """A batch's file, as bytes."""
    for n in range(count):
        asked = {"model": "fast", "messages": [{"role": "user", "content": f"Say {n}"}], **body}
        yield json.dumps({"custom_id": f"q-{n}", "method": "POST", "url": "/v1/chat/completions", "body": asked})


def finished(client, batch, seconds=30):
    limit = time.monotonic() + seconds
    while batch.status in ("validating", "in_progress", "finalizing", "cancelling"):
        assert time.monotonic() < limit, batch
        time.sleep(0.05)
        batch = client.batches.retrieve(batch.id)
    return batch


def uploaded(client, text, **more):
    return client.files.create(file=("questions.jsonl", text.encode()), purpose="batch", **more)


def begun(client, file, **more):
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", **more
    )


def test_a_batch_runs_from_upload_to_results(client, gateway):
    bad = next(lines(1, model="nobody")).replace("q-0", "bad")
    text = "\n".join([*lines(20), bad])
    file = uploaded(client, text)
    assert file.filename == "questions.jsonl" and file.bytes == len(text) and file.purpose == "batch"
    batch = begun(client, file, metadata={"run": "nightly"})
    assert batch.status == "validating" and batch.metadata == {"run": "nightly"} and batch.object == "batch"
    batch = finished(client, batch)
    assert batch.status == "completed" and batch.errors is None and batch.completed_at >= batch.created_at
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (21, 20, 1)
    answers = [json.loads(line) for line in client.files.content(batch.output_file_id).text.splitlines()]
    assert {answer["custom_id"] for answer in answers} == {f"q-{n}" for n in range(20)}
    bodies = [openai.types.chat.ChatCompletion.model_validate(answer["response"]["body"]) for answer in answers]
    assert all(body.choices[0].message.content for body in bodies)
    assert batch.usage.total_tokens == sum(body.usage.total_tokens for body in bodies)
    [error] = [json.loads(line) for line in client.files.content(batch.error_file_id).text.splitlines()]
    assert error["custom_id"] == "bad" and error["response"]["body"]["error"]["code"] == "model_not_found"
    row = gateway.row(answers[0]["response"]["request_id"])
    assert row["tags"]["batch"] == batch.id and row["tags"]["suite"] == "clients" and float(row["cost_usd"]) > 0
    [usage] = [row for row in gateway.usage(by="tag:batch")["rows"] if row["tag:batch"] == batch.id]
    assert usage["requests"] == 21
    client.files.delete(file.id)
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


def test_a_bad_file_fails_with_its_lines(client):
    batch = finished(client, begun(client, uploaded(client, "\n".join(lines(1)) + "\nnonsense\n")))
    assert batch.status == "failed" and batch.request_counts.total == 0
    [flaw] = batch.errors.data
    assert (flaw.code, flaw.line) == ("invalid_json_line", 2) and flaw.message


def test_lists_have_pages(new_client):
    client = new_client(project="batch-pages")
    files = [uploaded(client, text) for text in lines(5)]
    assert [file.id for file in client.files.list(limit=2, order="asc")] == [file.id for file in files]
    batches = [finished(client, begun(client, file)) for file in files[:3]]
    assert [batch.id for batch in client.batches.list(limit=2)] == [batch.id for batch in reversed(batches)]
    assert {file.purpose for file in client.files.list(purpose="batch_output")} == {"batch_output"}


def test_a_cancelled_batch_says_so(client):
    batch = begun(client, uploaded(client, "\n".join(lines(200, model="simulated/slow"))))
    batch = client.batches.cancel(batch.id)
    assert batch.status in ("cancelling", "cancelled")
    batch = finished(client, batch)
    assert batch.status == "cancelled" and batch.cancelled_at
    assert batch.request_counts.completed + batch.request_counts.failed == batch.request_counts.total


def test_refusals_are_the_sdks_own_errors(client, new_client):
    with pytest.raises(openai.BadRequestError) as refused:
        client.files.create(file=("a.jsonl", b"{}"), purpose="fine-tune")
    assert refused.value.param == "purpose"
    file = uploaded(client, "x", expires_after={"anchor": "created_at", "seconds": 3600})
    assert file.expires_at - file.created_at == 3600
    with pytest.raises(openai.NotFoundError):
        begun(new_client(project="elsewhere"), file)
    with pytest.raises(openai.PermissionDeniedError):
        new_client(role="viewer").files.list()


async def test_the_async_client_does_the_same(async_client):
    text = "\n".join(lines(2)).encode()
    file = await async_client.files.create(file=("a.jsonl", text), purpose="batch")
    batch = await async_client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert (await async_client.batches.retrieve(batch.id)).id == batch.id
    assert (await async_client.files.content(file.id)).content == text
