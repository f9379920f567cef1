//! Which addresses a provider may be called at: those of a private network only where the configuration names one.
//!
//! A name that anyone can register may lead into the gateway's own network, or to the machine that hands out a cloud's
//! credentials (169.254.169.254). So what a name resolves to is checked where the connection is made.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;
use tokio::net::lookup_host;
use tower::Service;

use super::provider::Provider;

/// Endings of names that no one can register (RFC 6761, 6762, 8375, ICANN's `internal`, Kubernetes' and common home networks').
const PRIVATE_ENDINGS: [&str; 7] = [".localhost", ".local", ".internal", ".home.arpa", ".lan", ".svc", ".test"];

/// Which addresses are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Any: the configuration says so.
    Any,
    /// Public ones, and those of private networks, but for link-local ones: the name is one of a private network.
    Private,
    /// This machine's own.
    Loopback,
    /// Public ones.
    Public,
}

impl Reach {
    /// What `provider`'s configuration names. An address in its base URL names itself, and is not looked up.
    pub(super) fn of(provider: &Provider) -> Self {
        Self::of_url(&provider.base_url, provider.local || provider.allow_private)
    }

    /// What an address that is configured names; any where it is `open`.
    pub(super) fn of_url(url: &str, open: bool) -> Self {
        if open {
            return Self::Any;
        }
        let host = host_of(url);
        if host == "localhost" || host.ends_with(".localhost") {
            return Self::Loopback;
        }
        let is_private = !host.contains('.') || PRIVATE_ENDINGS.iter().any(|ending| host.ends_with(ending));
        if is_private { Self::Private } else { Self::Public }
    }

    fn allows(self, ip: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Private => !is_link_local(ip),
            Self::Loopback => ip.is_loopback(),
            Self::Public => is_public(ip),
        }
    }

    /// Those of the addresses that `name` has which are allowed.
    ///
    /// # Errors
    /// Where none is.
    fn among(self, name: &str, found: impl Iterator<Item = SocketAddr>) -> io::Result<Vec<SocketAddr>> {
        let (allowed, refused): (Vec<_>, Vec<_>) = found.partition(|address| self.allows(address.ip().to_canonical()));
        match refused.first() {
            Some(refused) if allowed.is_empty() => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!(
                    "{name} leads to {}, which is no public address: set allow_private = true for the provider, or local = \
                     true where it is in the house",
                    refused.ip()
                ),
            )),
            _ => Ok(allowed),
        }
    }
}

/// The host in a URL, without a port, in small letters.
fn host_of(url: &str) -> String {
    let parsed = url.parse::<http::Uri>().ok();
    let host = parsed.as_ref().and_then(http::Uri::host).unwrap_or_default();
    host.trim_end_matches('.').to_ascii_lowercase()
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip == AWS_METADATA,
    }
}

/// Where Amazon's machines find their credentials over IPv6.
const AWS_METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Whether an address is one of the internet's (IANA's registries of special addresses).
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_shared = a == 100 && (64..128).contains(&b);
    let is_test = a == 198 && (18..20).contains(&b);
    let is_protocols = (a, b, c) == (192, 0, 0);
    let is_special = ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_documentation();
    !(is_special || is_shared || is_test || is_protocols || a == 0 || a >= 224)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let parts = ip.segments();
    // Addresses of IPv4 in other forms: the 64:ff9b::/96 of NAT64, and 2002::/16 of 6to4.
    let bytes = ip.octets();
    if parts[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        return is_public_v4(Ipv4Addr::new(bytes[12], bytes[13], bytes[14], bytes[15]));
    }
    if parts[0] == 0x2002 {
        return is_public_v4(Ipv4Addr::new(bytes[2], bytes[3], bytes[4], bytes[5]));
    }
    // All that is assigned to the internet begins with 001.
    let is_documentation = parts[0] == 0x2001 && parts[1] == 0xdb8;
    parts[0] >> 13 == 1 && !is_documentation
}

/// Looks names up, and leaves out what may not be called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resolver(pub(super) Reach);

impl Resolver {
    pub(super) async fn look_up(self, name: String) -> io::Result<std::vec::IntoIter<SocketAddr>> {
        let found = lookup_host((name.as_str(), 0)).await?;
        Ok(self.0.among(&name, found)?.into_iter())
    }
}

type LookUp<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = LookUp<Self::Response, io::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(self.look_up(name.as_str().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::address::tests::at;
    use crate::upstream::provider::Kind;

    fn led(reach: Reach, to: &str) -> Result<usize, String> {
        let found = to.split(' ').map(|ip| SocketAddr::new(ip.parse().unwrap(), 0));
        reach.among("api.example.com", found).map(|allowed| allowed.len()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_base_url_names_the_network_that_it_leads_to() {
        for (base, reach) in [
            ("https://api.openai.com/v1", Reach::Public),
            ("https://API.example.com.:8443", Reach::Public),
            ("https://localhost.example.com", Reach::Public),
            ("http://localhost:8081/v1", Reach::Loopback),
            ("http://LOCALHOST/v1", Reach::Loopback),
            ("http://vllm.localhost/v1", Reach::Loopback),
            ("http://ollama:11434/v1", Reach::Private),
            ("http://vllm.models.svc/v1", Reach::Private),
            ("http://vllm.models.svc.cluster.local/v1", Reach::Private),
            ("http://metadata.google.internal", Reach::Private),
        ] {
            assert_eq!(Reach::of(&at(Kind::OpenAi, base)), reach, "{base}");
        }
        let open = Provider { allow_private: true, ..at(Kind::OpenAi, "https://api.example.com") };
        assert_eq!(Reach::of(&open), Reach::Any);
        let local = Provider { local: true, ..at(Kind::OpenAi, "https://api.example.com") };
        assert_eq!(Reach::of(&local), Reach::Any);
    }

    #[test]
    fn a_public_name_leads_to_public_addresses_only() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "fc00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a00:1",
            "2002:a9fe:a9fe::1",
            "2001:db8::1",
        ] {
            let refused = led(Reach::Public, private).unwrap_err();
            assert!(refused.contains("allow_private"), "{private}: {refused}");
            assert_eq!(led(Reach::Any, private), Ok(1));
        }
        for public in ["8.8.8.8", "104.18.7.192", "2606:4700::6812:7c0", "64:ff9b::808:808", "::ffff:8.8.8.8"] {
            assert_eq!(led(Reach::Public, public), Ok(1), "{public}");
        }
        // One that leads to both is called at the public one.
        assert_eq!(led(Reach::Public, "10.0.0.1 8.8.8.8 ::1"), Ok(1));
    }

    #[test]
    fn a_private_name_leads_to_no_link_local_address_and_localhost_only_here() {
        for (reach, to, is_allowed) in [
            (Reach::Private, "10.0.0.1", true),
            (Reach::Private, "127.0.0.1", true),
            (Reach::Private, "fc00::1", true),
            (Reach::Private, "169.254.169.254", false),
            (Reach::Private, "::ffff:169.254.169.254", false),
            (Reach::Private, "fe80::1", false),
            (Reach::Private, "fd00:ec2::254", false),
            (Reach::Loopback, "127.0.0.2", true),
            (Reach::Loopback, "::1", true),
            (Reach::Loopback, "10.0.0.1", false),
            (Reach::Loopback, "8.8.8.8", false),
        ] {
            assert_eq!(led(reach, to).is_ok(), is_allowed, "{reach:?} {to}");
        }
    }

    #[tokio::test]
    async fn names_are_looked_up_and_judged() {
        assert!(Resolver(Reach::Loopback).look_up("localhost".to_owned()).await.is_ok());
        let refused = Resolver(Reach::Public).look_up("localhost".to_owned()).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }
}
