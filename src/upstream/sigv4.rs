//! Signatures of calls to Amazon's services: AWS Signature Version 4.

use std::sync::Arc;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime_api::client::identity::Identity;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue};

use super::provider::Aws;
use super::sent::Sent;

/// The name of the service in a signature's scope; that of its host is another.
const SERVICE: &str = "bedrock";

/// Signs calls with one pair of keys.
pub(super) struct Signer {
    identity: Identity,
    region: Arc<str>,
}

impl Signer {
    /// A signer, where the provider has keys to sign with.
    pub(super) fn of(aws: &Aws) -> Option<Self> {
        let keys = aws.credentials.as_ref()?;
        let token = keys.session_token.as_ref().map(|token| token.expose().to_owned());
        let credentials =
            Credentials::new(keys.access_key_id.expose(), keys.secret_access_key.expose(), token, None, "fulcrum");
        Some(Self { identity: credentials.into(), region: aws.region.clone() })
    }

    /// The headers of a call with its signature, made over the body, the path, the host and the time.
    ///
    /// # Errors
    /// Where the call cannot be signed; the reason holds no key.
    pub(super) fn signed(&self, sent: &Sent<'_>, now: SystemTime) -> Result<HeaderMap, String> {
        let kind = sent.headers.get(CONTENT_TYPE).map(|value| (CONTENT_TYPE, value));
        let covered = [(HOST, sent.host)].into_iter().chain(kind);
        let covered = covered.filter_map(|(name, value)| Some((name, value.to_str().ok()?))).collect::<Vec<_>>();
        let headers = covered.iter().map(|(name, value)| (name.as_str(), *value));
        let reason = |error: &dyn std::error::Error| error.to_string();
        let request = SignableRequest::new("POST", sent.url.to_string(), headers, SignableBody::Bytes(sent.body))
            .map_err(|error| reason(&error))?;
        let params = SigningParams::builder()
            .identity(&self.identity)
            .region(&self.region)
            .name(SERVICE)
            .time(now)
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| reason(&error))?
            .into();
        // The library's own trace would log the key's name.
        let signing = tracing::dispatcher::with_default(&tracing::Dispatch::none(), || sign(request, &params));
        let (instructions, _signature) = signing.map_err(|error| reason(&error))?.into_parts();
        let mut signed = sent.headers.clone();
        for header in instructions.into_parts().0 {
            let mut value = HeaderValue::from_str(header.value()).map_err(|error| reason(&error))?;
            value.set_sensitive(true);
            signed.insert(header.name(), value);
        }
        Ok(signed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use bytes::Bytes;
    use http::Uri;

    use super::*;
    use crate::types::Secret;
    use crate::upstream::provider::AwsCredentials;

    fn signer(token: Option<&str>) -> Signer {
        let secret = |text: &str| Secret::new(text);
        let credentials = AwsCredentials {
            access_key_id: secret("AKIDEXAMPLE"),
            secret_access_key: secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: token.map(secret),
        };
        Signer::of(&Aws { region: "us-east-1".into(), credentials: Some(credentials) }).unwrap()
    }

    fn signed(token: Option<&str>, path: &str, body: &'static str) -> HeaderMap {
        let url: Uri = format!("https://bedrock-runtime.us-east-1.amazonaws.com{path}").parse().unwrap();
        let host = HeaderValue::from_static("bedrock-runtime.us-east-1.amazonaws.com");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let body = Bytes::from_static(body.as_bytes());
        let sent = Sent { method: &http::Method::POST, url: &url, host: &host, headers: &headers, body: &body };
        // 2026-11-25T21:00:00Z.
        signer(token).signed(&sent, UNIX_EPOCH + Duration::from_secs(1_795_640_400)).unwrap()
    }

    /// Reckoned apart, by botocore's `SigV4Auth` of the same keys, path, body and time.
    #[test]
    fn a_call_is_signed_as_amazons_own_client_signs_it() {
        let plain = signed(None, "/model/anthropic.claude-3-5-haiku-20241022-v1%3A0/converse", r#"{"messages":[]}"#);
        insta::assert_snapshot!(plain["authorization"].to_str().unwrap(), @"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261125/us-east-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=a37ff7818bd0f45af92060e7398d3992c9b4ed30896a3c3183c29dd473ec09cb");
        assert_eq!(plain["x-amz-date"], "20261125T210000Z");
        assert_eq!(plain["content-type"], "application/json");
        let profile = "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.x-v1%3A0";
        let token = signed(Some("TOKEN/with+signs=="), &format!("{profile}/converse-stream"), "{}");
        insta::assert_snapshot!(token["authorization"].to_str().unwrap(), @"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261125/us-east-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=c50107dd4a8caae8e8809d97665eeb6bec14eab415fa595f4229616e493210f6");
        assert_eq!(token["x-amz-security-token"], "TOKEN/with+signs==");
    }

    #[test]
    fn another_body_has_another_signature() {
        assert_ne!(
            signed(None, "/model/m/converse", "{}")["authorization"],
            signed(None, "/model/m/converse", "{ }")["authorization"]
        );
    }

    #[test]
    fn keys_are_not_shown() {
        let shown =
            format!("{:?} {:?}", signer(Some("TOKEN")).identity, signed(Some("TOKEN"), "/model/m/converse", ""));
        assert!(!shown.contains("wJalr") && !shown.contains("TOKEN"), "{shown}");
    }
}
