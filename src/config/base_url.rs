//! What a provider's `base_url` cannot be: the address of one route, or one with its version twice.

use http::Uri;

/// The ends of routes that calls go to, which Fulcrum adds to a base URL itself.
const ROUTES: [&str; 9] = [
    "/chat/completions",
    "/completions",
    "/responses",
    "/embeddings",
    "/messages",
    "/messages/count_tokens",
    "/models",
    "/rerank",
    "/moderations",
];

/// Versions of APIs, as a part of a path.
const VERSIONS: [&str; 3] = ["v1", "v1beta", "v1alpha"];

/// What is wrong with the path of a base URL, and what to write.
pub(super) fn misfit(url: &Uri) -> Option<(&'static str, &'static str)> {
    let path = url.path().trim_end_matches('/');
    let is_route = ROUTES.iter().any(|route| path.ends_with(route)) || path.contains(":generateContent");
    if is_route {
        return Some((
            "the address is that of one route, not of the API",
            "end it where the API begins, mostly at /v1",
        ));
    }
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let is_version = |segment: &str| VERSIONS.contains(&segment);
    let is_doubled = |pair: &[&str]| matches!(pair, [a, b] if a == b || (is_version(a) && is_version(b)));
    let is_tripled = |four: &[&str]| matches!(four, [a, b, c, d] if (a, b) == (c, d));
    if segments.windows(2).any(is_doubled) || segments.windows(4).any(is_tripled) {
        return Some(("a part of the address's path stands twice", "take one of them out"));
    }
    None
}

/// Whether a base URL of OpenAI's API lacks the path that nearly all servers have.
#[must_use]
pub fn lacks_version(base_url: &str) -> bool {
    base_url.parse::<Uri>().is_ok_and(|url| ["", "/"].contains(&url.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_beginning_of_an_api_is_a_base_url() {
        for (url, is_good) in [
            ("https://api.openai.com/v1", true),
            ("https://api.deepseek.com", true),
            ("https://openrouter.ai/api/v1/", true),
            ("https://generativelanguage.googleapis.com/v1beta/openai", true),
            ("https://r.openai.azure.com/openai/v1", true),
            ("http://127.0.0.1:8081/v1/chat/completions", false),
            ("http://127.0.0.1:8081/v1/chat/completions/", false),
            ("https://api.anthropic.com/v1/messages", false),
            ("https://api.openai.com/v1/responses", false),
            ("http://h/v1beta/models/gemini-2.0:generateContent", false),
            ("http://h/v1beta/models", false),
            ("http://h/v1/v1", false),
            ("http://h/v1beta/v1beta", false),
            ("http://h/v1/v1beta", false),
            ("http://h/openai/v1/openai/v1", false),
        ] {
            assert_eq!(misfit(&url.parse().unwrap()).is_none(), is_good, "{url}");
        }
        assert!(lacks_version("http://127.0.0.1:8000") && !lacks_version("http://127.0.0.1:8000/v1"));
    }

    #[test]
    fn a_wrong_base_url_is_a_problem_at_its_place() {
        let text =
            "[providers.a]\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:1/v1/chat/completions\"\nlocal = true\n";
        let problems = crate::config::parse(text, "f", &|_| None).unwrap_err();
        let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "f:3:12: providers.a.base_url: the address is that of one route, not of the API; end it where the API begins, \
              mostly at /v1"
            ]
        );
    }
}
