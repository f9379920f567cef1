//! The TLS settings of every call: rustls with ring, and the system's certificates.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// TLS that trusts what the system trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured), read once.
fn config() -> ClientConfig {
    static SYSTEM: OnceLock<ClientConfig> = OnceLock::new();
    SYSTEM
        .get_or_init(|| {
            let roots = system_roots();
            if roots.is_empty() {
                tracing::warn!("no certificates found on this system: no provider can be reached over https");
            }
            with_roots(roots.clone())
        })
        .clone()
}

/// TLS for calls of `base`, which trusts the certificates of `file` too.
///
/// # Errors
/// Why the file has no certificate to trust.
pub(super) fn of(base: &str, file: Option<&Path>) -> Result<ClientConfig, String> {
    match file {
        Some(file) => trusting(file),
        None => Ok(for_base(base)),
    }
}

/// TLS for calls of `base`.
pub(super) fn for_base(base: &str) -> ClientConfig {
    if base.starts_with("https:") { config() } else { unused() }
}

/// TLS that trusts the certificates of a PEM file beside what the system trusts.
///
/// # Errors
/// Why the file has no certificate to trust.
fn trusting(file: &Path) -> Result<ClientConfig, String> {
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| error.to_string())?;
    let mut roots = system_roots().clone();
    let mut added = 0;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
        added += 1;
    }
    if added == 0 { Err("it holds no certificate in PEM".to_owned()) } else { Ok(with_roots(roots)) }
}

/// TLS without any trusted certificate, for providers that are called without TLS: reading certificates takes milliseconds.
fn unused() -> ClientConfig {
    with_roots(RootCertStore::empty())
}

fn with_roots(roots: RootCertStore) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    #[expect(clippy::expect_used, reason = "ring has the default versions; a build without them cannot run at all")]
    let builder = versions.expect("ring speaks TLS 1.2 and 1.3");
    builder.with_root_certificates(roots).with_no_client_auth()
}

fn system_roots() -> &'static RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        roots
    })
}
