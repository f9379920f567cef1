"""The usage report against the usage that the SDKs read."""

from collections import Counter

import httpx
from gateway import eventually


def added(total, usage):
    details = getattr(usage, "prompt_tokens_details", None)
    total["requests"] += 1
    total["input_tokens"] += usage.prompt_tokens
    total["output_tokens"] += getattr(usage, "completion_tokens", 0)
    total["cached_input_tokens"] += (details and details.cached_tokens) or 0


def test_the_totalsis_the_sum_of_what_the_sdk_was_told(new_client, gateway, model_server):
    client, total, costs = new_client(), Counter(), []
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    calls = [("fast", 12), ("smart", 6), ("simulated/simulated-reasoning-instant", 3), ("echo/counted", 4), ("smollm2", 2)]
    for model, times in calls:
        for n in range(times):
            messages = [{"role": "user", "content": f"Tell me fact number {n}"}]
            fields = asked if n % 2 and not model.startswith("echo") else {}
            raw = client.chat.completions.with_raw_response.create(model=model, messages=messages, max_tokens=5, **fields)
            answer = list(raw.parse())[-1] if fields else raw.parse()
            added(total, answer.usage)
            costs.append(gateway.row(raw.headers["x-fulcrum-request-id"])["cost_usd"])
    for n in range(5):
        raw = client.embeddings.with_raw_response.create(model="vectors", input=[f"text {n}", "another"])
        added(total, raw.parse().usage)
        costs.append(gateway.row(raw.headers["x-fulcrum-request-id"])["cost_usd"])

    def report():
        totals = gateway.usage(by="model", key=client.row["id"])
        return totals if totals["total"]["requests"] >= total["requests"] else None

    totals = eventually(report, "the report does not have every request")
    assert {name: totals["total"][name] for name in total} == dict(total)
    assert sum(nanos(row["cost_usd"]) for row in totals["rows"]) == nanos(totals["total"]["cost_usd"])
    assert nanos(totals["total"]["cost_usd"]) == sum(nanos(cost) for cost in costs)
    assert totals["total"]["unpriced_requests"] == costs.count(None) == 7 and totals["total"]["errors"] == 0
    assert {row["model"]: row["requests"] for row in totals["rows"]}["local/smollm2"] == 2


def nanos(dollars):
    """Exact: money is a decimal text with at most nine places."""
    whole, _, part = (dollars or "0").partition(".")
    return int(whole) * 10**9 + int(part.ljust(9, "0"))


def test_every_row_of_the_run_has_its_attempts_and_no_row_is_unknown(gateway, key):
    # Of this call at least, whatever ran before.
    asked = {"model": "fast", "messages": [{"role": "user", "content": "Hi"}]}
    headers = {"authorization": f"Bearer {key['key']}"}
    assert httpx.post(f"{gateway.url}/v1/chat/completions", headers=headers, json=asked).status_code == 200
    rows, cursor = [], None
    while True:
        page = gateway.admin.get("/requests", params={"key": key["id"], "limit": 100, **({"cursor": cursor} if cursor else {})})
        assert page.status_code == 200, page.text
        rows += page.json()["rows"]
        cursor = page.json()["next_cursor"]
        if not cursor:
            break
    assert len({row["id"] for row in rows}) == len(rows) > 0
    assert not [row for row in rows if row["status"] == "unknown"]
    total = gateway.usage(by="status", key=key["id"])["total"]
    assert total["requests"] == len(rows)
    assert total["output_tokens"] == sum(row["output_tokens"] or 0 for row in rows)
