//! `[server] cors`: the pages that may call from a browser.

use http::Uri;

use super::read::Field;

/// The pages that may call from a browser.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cors {
    /// None.
    #[default]
    Off,
    /// Those of every origin.
    Any,
    /// Those of these origins, as browsers write them.
    Origins(Vec<String>),
}

/// What to write.
const EXAMPLE: &str = "[\"https://app.example\"]";

/// The most origins.
const MOST: usize = 100;

pub(super) fn cors(field: &Field<'_>) -> Cors {
    if field.is_text() {
        if field.text(EXAMPLE) == Some("*") {
            return Cors::Any;
        }
        field.problem(
            "one text is no list of origins",
            format!("write cors = {EXAMPLE}, or cors = \"*\" for every page"),
        );
        return Cors::Off;
    }
    let items = field.list(EXAMPLE);
    if items.len() > MOST {
        field.problem(format!("there are more than {MOST} origins"), "write cors = \"*\", or fewer");
    }
    let origins: Vec<String> = items.iter().filter_map(origin).collect();
    if origins.is_empty() { Cors::Off } else { Cors::Origins(origins) }
}

/// An origin in the form that browsers send: in small letters, without a path, a slash or the usual port.
fn origin(field: &Field<'_>) -> Option<String> {
    let text = field.text("\"https://app.example\"")?;
    let problem = match text.parse::<Uri>() {
        _ if text == "*" => "`*` stands alone: cors = \"*\"",
        _ if text == "null" => "`null` is the origin of every sandboxed page",
        Ok(uri) if uri.scheme().is_none() || uri.authority().is_none() => "an origin begins with https:// or http://",
        Ok(uri) if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) => "an origin has no user",
        Ok(uri) if uri.query().is_some() || !["", "/"].contains(&uri.path()) => "an origin has no path",
        Ok(_) => {
            let text = text.trim_end_matches('/').to_ascii_lowercase();
            let usual = if text.starts_with("https:") { ":443" } else { ":80" };
            return Some(text.strip_suffix(usual).unwrap_or(&text).to_owned());
        }
        Err(_) => "this is no origin",
    };
    field
        .problem(problem, "write scheme, host and port as the browser's address bar has them: \"https://app.example\"");
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    #[test]
    fn origins_are_read_as_browsers_write_them() {
        let read =
            |text: &str| parse(&format!("[server]\ncors = {text}\n"), "f", &|_| None).map(|config| config.server.cors);
        let origins = |list: &[&str]| Cors::Origins(list.iter().map(|&origin| origin.to_owned()).collect());
        assert_eq!(read("\"*\"").unwrap(), Cors::Any);
        assert_eq!(read("[]").unwrap(), Cors::Off);
        assert_eq!(
            read("[\"https://App.example:443/\", \"http://localhost:3000\", \"http://h:80\"]").unwrap(),
            origins(&["https://app.example", "http://localhost:3000", "http://h"])
        );
        for (text, problem) in [
            ("\"https://app.example\"", "one text is no list of origins"),
            ("[\"*\"]", "`*` stands alone"),
            ("[\"null\"]", "sandboxed page"),
            ("[\"app.example\"]", "begins with https://"),
            ("[\"https://app.example/page\"]", "has no path"),
            ("[\"https://u@app.example\"]", "has no user"),
            ("[7]", "must be a text"),
            ("true", "must be a list"),
        ] {
            let problems = read(text).unwrap_err();
            assert!(problems.len() == 1 && problems[0].to_string().contains(problem), "{text}: {problems:?}");
        }
    }
}
