//! Messages to an address that the configuration names: signed, sent without redirects, to private addresses only where that says so.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use super::client::{Client, NoAnswer, SideCall};
use super::failure::Failure;
use super::place::{Reach, Resolver};
use super::tls;
use crate::types::{Secret, Timestamp};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(3);

/// How long the answer's head may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The block of SHA-256, in bytes.
const BLOCK: usize = 64;

/// Where messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    /// The address.
    pub url: String,
    /// What messages are signed with; `None` leaves them unsigned.
    pub secret: Option<Secret>,
    /// Whether a name may lead to an address of a private network.
    pub allow_private: bool,
}

/// Sends messages.
#[derive(Clone, Debug)]
pub struct Webhook {
    client: Client,
    settings: WebhookSettings,
}

impl Webhook {
    /// One that sends to what `settings` name.
    ///
    /// # Errors
    /// Where no client can be made.
    pub fn new(settings: WebhookSettings) -> Result<Self, NoAnswer> {
        let reach = Reach::of_url(&settings.url, settings.allow_private);
        let client = Client::with(tls::for_base(&settings.url), CONNECT, Some(Resolver(reach)))?;
        Ok(Self { client, settings })
    }

    /// Sends a JSON text once; well is an answer of 200 to 299.
    ///
    /// # Errors
    /// What came instead.
    pub async fn send(&self, id: &str, body: &str, now: Timestamp) -> Result<(), String> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut put = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        put("x-fulcrum-webhook-id", id);
        if let Some(secret) = &self.settings.secret {
            let seconds = now.0 / 1_000_000;
            let signed = hmac_sha256(secret.expose().as_bytes(), format!("{seconds}.{body}").as_bytes());
            put("x-fulcrum-signature", &format!("t={seconds},v1={}", hex(&signed)));
        }
        let body = Bytes::copy_from_slice(body.as_bytes());
        let call = SideCall { method: Method::POST, url: &self.settings.url, headers, body };
        match timeout(PATIENCE, self.client.send(call)).await {
            Err(_) => Err(format!("no answer came within {} s", PATIENCE.as_secs())),
            Ok(Err(failure)) => Err(said(&failure)),
            Ok(Ok(reply)) if reply.status().is_success() => Ok(()),
            Ok(Ok(reply)) => Err(format!("it answered {}", reply.status().as_u16())),
        }
    }
}

/// Why there is no answer.
fn said(failure: &Failure) -> String {
    match failure {
        Failure::Connect(reason) | Failure::Protocol(reason) => reason.clone(),
        _ => "no connection stands within the limit".to_owned(),
    }
}

/// RFC 2104 with SHA-256.
fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new_with_prefix(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new_with_prefix(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit, Mac};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_signature_is_that_of_the_rfc() {
        // RFC 4231, test case 2.
        let signed = hmac_sha256(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(hex(&signed), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    proptest! {
        #[test]
        fn a_signature_is_another_programs_too(key in prop::collection::vec(0u8.., 0..200), message in prop::collection::vec(0u8.., 0..300)) {
            let mut other = Hmac::<Sha256>::new_from_slice(&key).unwrap();
            other.update(&message);
            let (ours, theirs) = (hmac_sha256(&key, &message), other.finalize().into_bytes());
            prop_assert_eq!(ours.as_slice(), &theirs[..]);
        }
    }

    #[tokio::test]
    async fn a_private_address_is_called_only_where_that_is_said() {
        let settings = |allow_private| WebhookSettings {
            url: "http://hook.localhost.example.invalid/".to_owned(),
            secret: None,
            allow_private,
        };
        let failed = Webhook::new(settings(false)).unwrap().send("1", "{}", Timestamp(0)).await;
        assert!(failed.is_err());
        assert_eq!(Reach::of_url("https://hooks.example.com/x", false), Reach::Public);
        assert_eq!(Reach::of_url("https://hooks.example.com/x", true), Reach::Any);
    }
}
