//! The `usage` object, whole and as a stream reports it.

use serde_json::{Map, Value, json};

use crate::chat::{Service, Tier, Usage};
use crate::wire::fields::tokens;

/// The counts reported so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    input: Input,
    output: Option<u64>,
    thinking: Option<u64>,
    service: Service,
    /// Whether a count cannot be true.
    odd: bool,
}

/// The counts of what was read: fresh, from the cache, and into it.
#[derive(Clone, Copy, Debug, Default)]
struct Input {
    fresh: Option<u64>,
    read: Option<u64>,
    written: Option<u64>,
    written_5m: Option<u64>,
    written_1h: Option<u64>,
}

impl Input {
    fn cache_write(&self) -> u64 {
        self.written.unwrap_or(self.written_5m.unwrap_or(0) + self.written_1h.unwrap_or(0))
    }

    fn sum(&self) -> u64 {
        self.fresh.unwrap_or(0) + self.read.unwrap_or(0) + self.cache_write()
    }

    /// These counts with those of `other`, each as `choose` says.
    fn with(self, other: Self, choose: impl Fn(Option<u64>, Option<u64>) -> Option<u64>) -> Self {
        Self {
            fresh: choose(self.fresh, other.fresh),
            read: choose(self.read, other.read),
            written: choose(self.written, other.written),
            written_5m: choose(self.written_5m, other.written_5m),
            written_1h: choose(self.written_1h, other.written_1h),
        }
    }

    /// The later of two reports. Counts are cumulative: where the sum would shrink, zero replaces no count and the larger count
    /// stays. Some servers begin with a sum in which the cache does not stand apart.
    fn after(self, earlier: Self) -> Self {
        let reported = self.with(earlier, Option::or);
        if reported.sum() >= earlier.sum() {
            return reported;
        }
        let later = self.with(earlier, |count, before| count.filter(|count| *count > 0).or(before).or(count));
        if later.sum() >= earlier.sum() {
            return later;
        }
        let most = self.with(earlier, Option::max);
        let twice = most.sum() - earlier.sum();
        Self { fresh: most.fresh.map(|fresh| fresh.saturating_sub(twice)), ..most }
    }
}

impl Counts {
    /// Reads a `usage` object.
    pub(super) fn observe(&mut self, reported: &Value) {
        let mut odd = false;
        let mut count = |pointer: &str| {
            let value = reported.pointer(pointer).filter(|value| !value.is_null())?;
            let count = tokens(value);
            odd |= count.is_none();
            count
        };
        let input = Input {
            fresh: count("/input_tokens"),
            read: count("/cache_read_input_tokens"),
            written: count("/cache_creation_input_tokens"),
            written_5m: count("/cache_creation/ephemeral_5m_input_tokens"),
            written_1h: count("/cache_creation/ephemeral_1h_input_tokens"),
        };
        let (output, thinking) = (count("/output_tokens"), count("/output_tokens_details/thinking_tokens"));
        self.input = input.after(self.input);
        self.output = match (output, self.output) {
            // A stream begins with one token, though none may follow.
            (Some(0), Some(1)) => output,
            (later, before) => later.max(before),
        };
        self.thinking = thinking.max(self.thinking);
        self.odd |= odd;
        self.observe_service(reported);
    }

    fn observe_service(&mut self, reported: &Value) {
        let text = |name: &str| reported.get(name).and_then(Value::as_str);
        if let Some(tier) = text("service_tier") {
            self.service.tier = Tier::named(tier);
        }
        // Fast mode has a price of its own.
        if text("speed").is_some_and(|speed| speed != "standard") {
            self.service.tier = Tier::Other;
        }
        match text("inference_geo") {
            None | Some("" | "global" | "not_available") => {}
            Some("us") => self.service.is_us_only = true,
            Some(_) => self.service.has_other_fees = true,
        }
        let tools = reported.get("server_tool_use").and_then(Value::as_object);
        for (name, count) in
            tools.into_iter().flatten().filter_map(|(name, count)| Some((name.as_str(), tokens(count)?)))
        {
            match name {
                "web_search_requests" => self.service.searches = count,
                // Anthropic charges nothing but tokens for these.
                "web_fetch_requests" | "tool_search_requests" => {}
                _ => self.service.has_other_fees |= count > 0,
            }
        }
    }

    /// The usage that the counts add up to; `None` where input or output is missing or cannot be true. Another count that
    /// cannot be true is left out, and what is left counts as an estimate.
    pub(super) fn usage(&self) -> Option<Usage> {
        self.input.fresh?;
        let cache_write = self.input.cache_write();
        let (written_1h, thinking) = (self.input.written_1h.unwrap_or(0), self.thinking.unwrap_or(0));
        let output = self.output?;
        Some(Usage {
            input: self.input.sum(),
            cached_input: self.input.read.unwrap_or(0),
            cache_write,
            cache_write_1h: written_1h.min(cache_write),
            output,
            reasoning: thinking.min(output),
            // More of a part than of the whole cannot be true.
            estimated: self.odd || written_1h > cache_write || thinking > output,
            service: self.service,
        })
    }
}

/// Reads a whole answer's `usage`.
pub(super) fn read_usage(reported: &Value) -> Option<Usage> {
    let mut counts = Counts::default();
    counts.observe(reported);
    counts.usage()
}

/// Writes usage. `input_tokens` leaves out what was read from the cache or written to it.
pub(super) fn write_usage(usage: &Usage) -> Map<String, Value> {
    let written_5m = usage.cache_write.saturating_sub(usage.cache_write_1h);
    let mut out = Map::new();
    let fresh = usage.input.saturating_sub(usage.cached_input).saturating_sub(usage.cache_write);
    out.insert("input_tokens".to_owned(), fresh.into());
    out.insert("cache_creation_input_tokens".to_owned(), usage.cache_write.into());
    out.insert("cache_read_input_tokens".to_owned(), usage.cached_input.into());
    if usage.cache_write > 0 {
        let parts = json!({"ephemeral_5m_input_tokens": written_5m, "ephemeral_1h_input_tokens": usage.cache_write_1h});
        out.insert("cache_creation".to_owned(), parts);
    }
    out.insert("output_tokens".to_owned(), usage.output.into());
    if usage.reasoning > 0 {
        out.insert("output_tokens_details".to_owned(), json!({"thinking_tokens": usage.reasoning}));
    }
    out
}
