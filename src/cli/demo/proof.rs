//! The five things that the demo shows, each with figures of its own run from the ledger and the reports.

use std::time::Duration;

use serde_json::Value;

use super::super::client::Client;
use super::super::outcome::Failure;
use super::story::{Limited, Release};
use crate::types::{Nanos, Rate};

/// How often the books are read until no row comes in between.
const READINGS: usize = 20;

/// The pause between two readings.
const PAUSE: Duration = Duration::from_millis(50);

/// One thing, and what happened; an error says why it did not.
pub struct Act {
    pub title: &'static str,
    pub shown: Result<String, String>,
}

/// What the ledger and the reports hold of a run.
#[derive(Default)]
pub struct Books {
    /// A row for each admitted call.
    pub rows: Vec<Value>,
    /// The report's sum.
    pub total: Value,
    /// The calls of the released version, as the report counts them.
    pub version: Value,
    /// Rows of the route with a fallback, with their attempts.
    pub support: Vec<Value>,
    /// The row of the call that cost most, with its attempts.
    pub dearest: Value,
}

impl Books {
    /// Reads them, once every row is settled.
    pub async fn read(admin: &Client, new_version: Option<u64>) -> Result<Self, Failure> {
        let mut books = Self::default();
        for _ in 0..READINGS {
            books.rows = rows(admin).await?;
            books.total = admin.get("/api/v1/usage?by=status").await?["total"].take();
            if books.total["requests"].as_u64() == Some(books.rows.len() as u64) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        if let Some(version) = new_version {
            let path = format!("/api/v1/usage?by=version&prompt=support-reply&version={version}");
            books.version = admin.get(&path).await?["total"].take();
        }
        let fresh = |row: &&Value| row["route"] == "support" && row["cache"] == "miss";
        for row in books.rows.iter().filter(fresh) {
            books.support.push(one(admin, row).await?);
        }
        if let Some(row) = books.rows.iter().max_by_key(|row| amount(&row["cost_usd"])) {
            books.dearest = one(admin, row).await?;
        }
        Ok(books)
    }
}

async fn rows(admin: &Client) -> Result<Vec<Value>, Failure> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let mut page = admin.get(&format!("/api/v1/requests?limit=500{cursor}")).await?;
        rows.extend(page["rows"].as_array_mut().map(std::mem::take).unwrap_or_default());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(rows),
        }
    }
}

async fn one(admin: &Client, row: &Value) -> Result<Value, Failure> {
    admin.get(&format!("/api/v1/requests/{}", row["id"].as_str().unwrap_or_default())).await
}

fn amount(value: &Value) -> Nanos {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// The five things.
pub fn acts(books: &Books, release: Result<Release, String>, limited: Result<Limited, String>) -> Vec<Act> {
    vec![
        Act {
            title: "A prompt changes without a release, and back",
            shown: release.and_then(|release| taken_back(books, &release)),
        },
        Act { title: "A provider fails, and callers do not notice", shown: fallback(books) },
        Act { title: "The same question is paid for once", shown: cache(books) },
        Act { title: "A key has limits, and an end", shown: limited.and_then(|limited| limits(&limited)) },
        Act { title: "Every cent has a row", shown: bill(books) },
    ]
}

fn taken_back(books: &Books, release: &Release) -> Result<String, String> {
    let Release { prompt, old, new, refusal, added, live } = release;
    let answered = count(&books.version["requests"]).saturating_sub(count(&books.version["errors"]));
    if refusal.is_none() {
        return Err(format!("a draft of {prompt} that fails its own test was accepted"));
    }
    if answered == 0 || live != old || new == old || added.is_empty() {
        return Err(format!("version {new} answered {answered} calls, and `production` is at version {live}"));
    }
    Ok(format!(
        "A draft of {prompt} failed its own test and was refused. Version {new} (\"{added}\") went live, answered \
         {answered} calls, and was taken back by moving a label: version {live} is live again."
    ))
}

fn fallback(books: &Books) -> Result<String, String> {
    let failed = |row: &Value| row["attempts"][0]["status"] == "error";
    let met: Vec<&Value> = books.support.iter().filter(|row| failed(row)).collect();
    let saved: Vec<&Value> = met.iter().copied().filter(|row| row["status"] == "ok").collect();
    let (Some(first), true) = (saved.first(), saved.len() == met.len()) else {
        return Err(format!("{} calls met a provider's error, and {} were answered", met.len(), saved.len()));
    };
    let mut waits: Vec<f64> = saved.iter().filter_map(|row| row["latency_ms"].as_f64()).collect();
    waits.sort_by(f64::total_cmp);
    let median = waits.get(waits.len() / 2).copied().unwrap_or_default();
    let provider = first["attempts"][0]["provider"].as_str().unwrap_or_default();
    let model = first["model"].as_str().unwrap_or_default();
    let model = model.rsplit('/').next().unwrap_or_default();
    Ok(format!("{provider} failed {} times; {model} answered all {} (median {median:.0} ms).", met.len(), saved.len()))
}

/// Dollars for people, to the ten-thousandth.
fn rounded(amount: Nanos) -> String {
    let tenths = (i128::from(amount.0) + 50_000) / 100_000;
    format!("${}.{:04}", tenths / 10_000, tenths % 10_000)
}

fn cache(books: &Books) -> Result<String, String> {
    let (hits, all) = (count(&books.total["cache_hits"]), count(&books.total["requests"]));
    let (saved, spent) = (amount(&books.total["saved_usd"]), amount(&books.total["cost_usd"]));
    let would = saved + spent;
    if hits == 0 || saved.0 <= 0 {
        return Err(format!("{hits} of {all} calls came from the cache, which saved ${saved}"));
    }
    // Half a percent is rounded up.
    let percent = (i128::from(saved.0) * 200 + i128::from(would.0)) / (i128::from(would.0) * 2);
    Ok(format!(
        "{hits} of {all} calls came from the cache: {} of {} saved ({percent}%).",
        rounded(saved),
        rounded(would)
    ))
}

fn limits(limited: &Limited) -> Result<String, String> {
    let Limited { answered, over_limit, wrong_model, shut_out } = limited;
    let text = format!(
        "`intern` (5 calls a minute, only `fast`): {answered} answered, {over_limit} over the limit, {wrong_model} for \
         another model. Revoked in one call: the next {shut_out} calls got 401."
    );
    let all = [answered, over_limit, wrong_model, shut_out];
    if all.iter().all(|count| **count > 0) { Ok(text) } else { Err(text) }
}

fn bill(books: &Books) -> Result<String, String> {
    let (rows, report) = (books.rows.len() as u64, &books.total);
    let (sum, total) =
        (books.rows.iter().map(|row| amount(&row["cost_usd"])).sum::<Nanos>(), amount(&report["cost_usd"]));
    if (rows, sum) != (count(&report["requests"]), total) || total.0 == 0 {
        return Err(format!(
            "{rows} rows add up to ${sum}, and the report has {} calls for ${total}",
            report["requests"]
        ));
    }
    let row = &books.dearest;
    let rate = &row["attempts"].as_array().and_then(|list| list.last()).unwrap_or(&Value::Null)["rate"];
    let (into, out) = (count(&row["input_tokens"]), count(&row["output_tokens"]));
    let (paid_in, paid_out) = (rate["input"].as_str().unwrap_or("0"), rate["output"].as_str().unwrap_or("0"));
    let price = |text: &str| text.parse::<Rate>().map_err(|_| format!("the rate `{text}` cannot be read"));
    let exact = Rate::round(price(paid_in)?.times(into) + price(paid_out)?.times(out));
    let cost = amount(&row["cost_usd"]);
    if exact != cost {
        return Err(format!("{into} x ${paid_in}/M + {out} x ${paid_out}/M is ${exact}, and the row says ${cost}"));
    }
    let name = match row["prompt"].as_str() {
        Some(prompt) => format!("{prompt}@{}", row["version"]),
        None => row["requested_model"].as_str().unwrap_or_default().to_owned(),
    };
    let project = row["project"].as_str().unwrap_or_default();
    Ok(format!(
        "Dearest: {name}, project {project}: {into} in x ${paid_in}/M + {out} out x ${paid_out}/M = ${cost}. The {rows} \
         rows add up to the report's ${total}."
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn books() -> Books {
        let row = json!({"route": "support", "status": "ok", "cost_usd": "0.0000018", "input_tokens": 4, "output_tokens": 2,
            "requested_model": "fast", "project": "shop", "latency_ms": 28.2, "model": "b/fast",
            "attempts": [{"provider": "a", "status": "error", "rate": {}}, {"status": "ok", "rate": {"input": "0.15", "output": "0.6"}}]});
        let total =
            json!({"requests": 2, "errors": 0, "cache_hits": 1, "cost_usd": "0.0000018", "saved_usd": "0.0000012"});
        Books {
            rows: vec![row.clone(), json!({"cost_usd": "0"})],
            total,
            version: json!({"requests": 3, "errors": 1}),
            support: vec![row.clone()],
            dearest: row,
        }
    }

    fn release() -> Release {
        let (refusal, added) = (Some("no".to_owned()), "Thank them.".to_owned());
        Release { prompt: "support-reply", old: 1, new: 2, refusal, added, live: 1 }
    }

    fn shown(books: &Books, release: Release, limited: Limited) -> Vec<Result<String, String>> {
        acts(books, Ok(release), Ok(limited)).into_iter().map(|act| act.shown).collect()
    }

    const LIMITED: Limited = Limited { answered: 3, over_limit: 2, wrong_model: 2, shut_out: 1 };

    #[test]
    fn each_thing_that_happened_has_its_figures() {
        let all = shown(&books(), release(), LIMITED);
        for (act, figure) in all.iter().zip([
            "answered 2 calls",
            "failed 1 times",
            "1 of 2 calls came from the cache: $0.0000 of $0.0000 saved (40%)",
            "3 answered, 2 over the limit, 2 for another model",
            "= $0.0000018",
        ]) {
            assert!(act.as_ref().is_ok_and(|text| text.contains(figure)), "{act:?}: {figure}");
        }
    }

    #[test]
    fn a_thing_that_did_not_happen_is_no_success() {
        type Spoil = fn(&mut Books, &mut Release, &mut Limited);
        let broken: [(usize, Spoil); 9] = [
            (0, |_, release, _| release.refusal = None),
            (0, |_, release, _| release.live = 2),
            (0, |books, _, _| books.version = Value::Null),
            (1, |books, _, _| books.support[0]["status"] = json!("error")),
            (1, |books, _, _| books.support.clear()),
            (2, |books, _, _| books.total["cache_hits"] = json!(0)),
            (3, |_, _, limited| limited.shut_out = 0),
            (4, |books, _, _| books.rows[1]["cost_usd"] = json!("0.000000001")),
            (4, |books, _, _| books.dearest["input_tokens"] = json!(5)),
        ];
        for (n, (act, spoil)) in broken.into_iter().enumerate() {
            let (mut books, mut release, mut limited) = (books(), release(), LIMITED);
            spoil(&mut books, &mut release, &mut limited);
            let all = shown(&books, release, limited);
            let failed: Vec<usize> = (0..5).filter(|n| all[*n].is_err()).collect();
            assert_eq!(failed, [act], "case {n}");
        }
    }
}
