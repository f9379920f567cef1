//! One plain question to another gateway, for the command line.

use std::time::Duration;

use http::Method;
use http::header::CONTENT_TYPE;

pub use reqwest::Client;

use super::tls;

/// How long the command line waits for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client for the command line, which calls `base`: it follows no redirect and asks no proxy, so a key goes where it
/// was sent.
///
/// # Errors
/// Where none can be made.
pub fn client(base: &str, connect: Duration) -> Result<Client, reqwest::Error> {
    let tls = if base.starts_with("https:") { tls::config() } else { tls::unused() };
    Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(connect)
        .timeout(PATIENCE)
        .build()
}

/// Asks another gateway; gives the status and the text of its answer.
///
/// # Errors
/// Where it cannot be reached.
pub async fn ask(
    client: &Client,
    method: Method,
    url: &str,
    key: Option<&str>,
    body: Option<String>,
) -> Result<(u16, String), reqwest::Error> {
    let mut request = client.request(method, url);
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    if let Some(body) = body {
        request = request.header(CONTENT_TYPE, "application/json").body(body);
    }
    let response = request.send().await.map_err(reqwest::Error::without_url)?;
    let status = response.status().as_u16();
    Ok((status, response.text().await?))
}
