//! What stands where nothing is: the route that was meant, and what is wrong with a client's base URL.

use crate::types::did_you_mean;
use crate::wire::endpoint::ENDPOINTS;

/// The routes beside the endpoints; `{}` is any one segment.
const ROUTES: &[&str] = &[
    "/v1/models",
    "/v1/models/{}",
    "/v1beta/models",
    "/v1beta/models/{}",
    "/v1/explain",
    "/v1/feedback",
    "/v1/key",
    "/v1/files",
    "/v1/files/{}",
    "/v1/files/{}/content",
    "/v1/batches",
    "/v1/batches/{}",
    "/v1/batches/{}/cancel",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/api/openapi.json",
    "/api/v1/key",
    "/api/v1/keys",
    "/api/v1/keys/{}",
    "/api/v1/keys/{}/rotate",
    "/api/v1/projects",
    "/api/v1/prompts",
    "/api/v1/prompts/{}",
    "/api/v1/prompts/{}/versions",
    "/api/v1/prompts/{}/versions/{}",
    "/api/v1/prompts/{}/labels/{}",
    "/api/v1/prompts/{}/labels/{}/history",
    "/api/v1/prompts/{}/diff",
    "/api/v1/prompts/{}/render",
    "/api/v1/usage",
    "/api/v1/feedback",
    "/api/v1/datasets",
    "/api/v1/datasets/{}",
    "/api/v1/datasets/{}/items",
    "/api/v1/datasets/{}/export",
    "/api/v1/requests",
    "/api/v1/requests/{}",
    "/api/v1/providers",
    "/api/v1/models",
    "/api/v1/routes",
    "/api/v1/health",
    "/api/v1/cache",
    "/api/v1/cache/purge",
];

/// Where a client's own part of a path may begin.
const ROOTS: [&str; 4] = ["/v1", "/v1beta", "", "/api/v1"];

/// The longest path that is looked at, and the most segments.
const LONGEST: usize = 300;
const MOST_SEGMENTS: usize = 16;

/// What to say of a path at which nothing stands, behind "there is no …"; empty where nothing is near.
pub fn hint(path: &str) -> String {
    if path == "/" {
        return ": clients call below /v1, and `fulcrum --help` shows the commands".to_owned();
    }
    if path.len() > LONGEST {
        return String::new();
    }
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    if segments.len() > MOST_SEGMENTS {
        return String::new();
    }
    match of_google(&segments).or_else(|| meant(&segments)) {
        Some(right) => format!("; {right} is the route. {}", base_url(&right, path)),
        None => did_you_mean(&path.to_ascii_lowercase(), routes()),
    }
}

fn routes() -> impl Iterator<Item = &'static str> {
    ENDPOINTS.iter().filter(|row| row.methods.is_empty()).map(|row| row.name).chain(ROUTES.iter().copied())
}

/// The route of a method of Gemini's, whose model may have a slash in its name.
fn of_google(segments: &[&str]) -> Option<String> {
    const METHODS: [&str; 5] =
        ["generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents"];
    let (_, method) = segments.last()?.rsplit_once(':')?;
    let is_known = METHODS.iter().any(|known| known.eq_ignore_ascii_case(method));
    let at = segments.iter().position(|segment| segment.eq_ignore_ascii_case("models")).filter(|_| is_known)?;
    Some(format!("/v1beta/models/{}", segments[at + 1..].join("/")))
}

/// The route that a path ends with.
fn meant(segments: &[&str]) -> Option<String> {
    let path = |part: &[&str]| part.iter().fold(String::new(), |path, segment| path + "/" + segment);
    (0..segments.len()).find_map(|from| {
        let (front, rest) = (path(&segments[..from]).to_ascii_lowercase(), path(&segments[from..]));
        let right = ROOTS.iter().find_map(|root| standing(&format!("{root}{rest}")))?;
        // Below these a vendor has more routes than Fulcrum, which are no mistakes of a base URL.
        let is_below = ["/v1/messages", "/v1/files", "/v1/batches"].iter().any(|route| front.starts_with(route));
        (!is_below || front == right).then_some(right)
    })
}

/// The route that a path names, with the path's own names in it.
fn standing(path: &str) -> Option<String> {
    let named = |route: &str| {
        let (mut ours, mut theirs, mut named) = (route.split('/'), path.split('/'), Vec::new());
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return Some(named.join("/")),
                (Some("{}"), Some(theirs)) => named.push(theirs),
                (Some(ours), Some(theirs)) if ours.eq_ignore_ascii_case(theirs) => named.push(ours),
                _ => return None,
            }
        }
    };
    routes().find_map(named)
}

/// What the base URL of a client that means this route must be.
fn base_url(right: &str, path: &str) -> &'static str {
    match right {
        _ if right.starts_with("/api/") => "The admin API's base URL ends in /api/v1.",
        _ if right.starts_with("/v1beta/") => {
            "The base URL of Google's clients is this server's address, without /v1 and /v1beta."
        }
        _ if right.starts_with("/v1/messages") => {
            "The base URL of Anthropic's clients is this server's address, without /v1."
        }
        _ if path.ends_with('/') => "Take the slash at the end out.",
        _ if right.starts_with("/v1/") => "The base URL of OpenAI's clients is this server's address with /v1, once.",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_base_url_leads_to_the_route_that_was_meant() {
        for (path, right, words) in [
            ("/chat/completions", "/v1/chat/completions", "with /v1, once"),
            ("/v1/v1/chat/completions", "/v1/chat/completions", "with /v1, once"),
            ("/openai/v1/chat/completions", "/v1/chat/completions", "with /v1, once"),
            ("/api/v1/chat/completions", "/v1/chat/completions", "with /v1, once"),
            ("/v1beta/openai/chat/completions", "/v1/chat/completions", "with /v1, once"),
            ("/v1/chat/completions/chat/completions", "/v1/chat/completions", "with /v1, once"),
            ("/openai/deployments/m/chat/completions", "/v1/chat/completions", "with /v1, once"),
            ("//v1/chat/completions", "/v1/chat/completions", "with /v1, once"),
            ("/V1/Chat/Completions", "/v1/chat/completions", "with /v1, once"),
            ("/v1/chat/completions/", "/v1/chat/completions", "slash"),
            ("/responses", "/v1/responses", "with /v1, once"),
            ("/models", "/v1/models", "with /v1, once"),
            ("/v1/v1/batches/b1/cancel", "/v1/batches/b1/cancel", "with /v1, once"),
            ("/v1/v1/messages", "/v1/messages", "without /v1."),
            ("/messages", "/v1/messages", "without /v1."),
            ("/anthropic/v1/messages/count_tokens", "/v1/messages/count_tokens", "without /v1."),
            ("/v1/messages/v1/messages", "/v1/messages", "without /v1."),
            ("/v1beta/v1beta/models/M:generateContent", "/v1beta/models/M:generateContent", "and /v1beta"),
            ("/v1beta/v1/models/Fast:generateContent", "/v1beta/models/Fast:generateContent", "without /v1 and"),
            ("/v1/v1/models/a:countTokens", "/v1beta/models/a:countTokens", "without /v1 and"),
            ("/models/Org/Fast-M:streamGenerateContent", "/v1beta/models/Org/Fast-M:streamGenerateContent", "Google"),
            ("/v1/v1beta/models", "/v1beta/models", "and /v1beta"),
            ("/V1/v1/Models/Fast", "/v1/models/Fast", "with /v1, once"),
            ("/v1/prompts", "/api/v1/prompts", "/api/v1"),
            ("/prompts/x/labels/production", "/api/v1/prompts/x/labels/production", "/api/v1"),
            ("/v1/metrics", "/metrics", ""),
        ] {
            let hint = hint(path);
            assert!(hint.contains(&format!("; {right} is the route")) && hint.contains(words), "{path}: {hint}");
        }
    }

    #[test]
    fn a_mistyped_route_has_a_near_one_and_nonsense_has_none() {
        assert_eq!(hint("/v1/embeding"), "; did you mean `/v1/embeddings`?");
        assert_eq!(hint("/v1/chat/completion"), "; did you mean `/v1/chat/completions`?");
        assert_eq!(hint("/api/v1/promts"), "; did you mean `/api/v1/prompts`?");
        for path in ["/favicon.ico", "/v1/messages/batches", "/nothing/at/all/like/it", &"/x".repeat(500)] {
            assert_eq!(hint(path), "", "{path:.40}");
        }
        assert!(hint("/").contains("/v1"));
    }
}
