//! The keys of `kind = "bedrock"`: its region, and the keys that sign its calls.

use super::option::option;
use super::read::{Field, Section};
use super::secret;
use crate::upstream::{Aws, AwsCredentials, Provider};

const KEYS: &str = "access_key_id = \"env:AWS_ACCESS_KEY_ID\" and secret_access_key = \"env:AWS_SECRET_ACCESS_KEY\"";

/// Reads the keys that only Bedrock has, and refuses them elsewhere. `has_key` says that `api_key` or `api_keys` is set.
pub(super) fn read(provider: &mut Provider, section: &Section<'_>, has_key: bool) {
    let region = option(provider, section, "region");
    let names = ["access_key_id", "secret_access_key", "session_token"];
    let signing = names.map(|name| option(provider, section, name));
    if !provider.kind.row().takes("region") {
        return;
    }
    if region.is_none() {
        section.problem("`region` is missing", "write region = \"us-east-1\"");
    }
    let credentials = credentials(section, &signing, has_key);
    let Some(region) = region.as_ref().and_then(named) else { return };
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    provider.base_url = format!("https://bedrock-runtime.{region}.{domain}");
    provider.aws = Some(Aws { region: region.into(), credentials });
}

/// A region's name. The name becomes part of a host, so only letters, digits and hyphens may stand in it.
fn named<'a>(field: &Field<'a>) -> Option<&'a str> {
    let text = field.text("\"us-east-1\"")?;
    let word =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if text.len() <= 32 && text.split('-').all(word) && text.contains('-') {
        return Some(text);
    }
    field.problem("this is no name of a region", "write region = \"us-east-1\"");
    None
}

fn credentials(section: &Section<'_>, signing: &[Option<Field<'_>>; 3], has_key: bool) -> Option<AwsCredentials> {
    let [id, key, token] = signing;
    if let Some(field) = signing.iter().flatten().next().filter(|_| has_key) {
        field.problem("an API key is given, and keys to sign with too", "keep one of the two");
        return None;
    }
    let (access_key_id, secret_access_key) = match (id, key) {
        (Some(id), Some(key)) => (secret::resolve(id), secret::resolve(key)),
        (Some(half), None) => {
            half.problem("`secret_access_key` is missing beside it", format!("write {KEYS}"));
            return None;
        }
        (None, Some(half)) => {
            half.problem("`access_key_id` is missing beside it", format!("write {KEYS}"));
            return None;
        }
        (None, None) => {
            match token {
                Some(token) => token.problem("a token alone signs nothing", format!("write {KEYS} too")),
                None if has_key => {}
                None => section.problem(
                    "Bedrock needs keys",
                    format!("write {KEYS}, or api_key = \"env:AWS_BEARER_TOKEN_BEDROCK\""),
                ),
            }
            return None;
        }
    };
    let session_token = token.as_ref().map(secret::resolve);
    Some(AwsCredentials {
        access_key_id: access_key_id?,
        secret_access_key: secret_access_key?,
        session_token: session_token.flatten(),
    })
}
