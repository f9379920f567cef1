//! The HTTP client itself, with the settings that every use of it has, and one plain question for the command line.

use std::time::Duration;

use http::Method;
use http::header::CONTENT_TYPE;

pub use reqwest::Client;

use super::tls;

/// How long the command line waits for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A builder of clients that follow no redirect, ask no proxy, inflate nothing and send small pieces at once. `https`
/// tells whether certificates are needed at all: reading them takes milliseconds.
pub(super) fn builder(https: bool) -> reqwest::ClientBuilder {
    let tls = if https { tls::config() } else { tls::unused() };
    Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .tcp_nodelay(true)
        .http1_max_headers(128)
}

/// A client for the command line, which calls `base`.
///
/// # Errors
/// Where none can be made.
pub fn client(base: &str, connect: Duration) -> Result<Client, reqwest::Error> {
    builder(base.starts_with("https:")).connect_timeout(connect).timeout(PATIENCE).build()
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
