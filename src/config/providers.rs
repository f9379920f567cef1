//! `[providers.NAME]`.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

use super::aws;
use super::base_url;
use super::environment::Secrets;
use super::option::option;
use super::read::{Field, Section};
use super::secret;
use super::sections::set;
use crate::types::Secret;
use crate::upstream::{Kind, Operation, Provider, Server, Timeouts, VENDORS, Vendor, vendor_at, vendor_named};

/// What a provider is before its section is read.
fn blank(name: &str, kind: Kind) -> Provider {
    Provider {
        name: name.into(),
        kind,
        server: Server::Generic,
        vendor: None,
        base_url: String::new(),
        ca_file: None,
        api_version: None,
        api_keys: Vec::new(),
        entra_tokens: false,
        aws: None,
        chat: true,
        responses: true,
        local: false,
        allow_private: false,
        gpu_hour: None,
        requests_per_second: None,
        timeouts: Timeouts::default(),
        batch_window: None,
        max_in_flight: 512,
        native_batches: false,
        list_models: false,
        profile: None,
    }
}

pub(super) fn providers(root: &Section<'_>) -> Vec<Provider> {
    let Some(section) = root.section("providers") else { return Vec::new() };
    let mut providers = Vec::new();
    for (name, field) in section.entries() {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) || name == "prompt" {
            field.problem("this is no name for a provider", "use 1 to 64 of a-z, 0-9, _, . and -, and not `prompt`");
        }
        providers.extend(field.section().and_then(|section| provider(name, section)));
    }
    providers
}

/// A provider of a known kind is returned in spite of other mistakes, so that models that name the provider are checked.
fn provider(name: &str, section: Section<'_>) -> Option<Provider> {
    let kind = kind(&section);
    let mut provider = blank(name, kind.unwrap_or(Kind::OpenAi));
    set(&mut provider.local, section.get("local").and_then(|field| field.bool()));
    set(&mut provider.allow_private, section.get("allow_private").and_then(|field| field.bool()));
    let (base_url, ca_file) = (section.get("base_url"), section.get("ca_file"));
    let keys = [section.get("api_key"), section.get("api_keys")];
    if let Some(field) = section.get("server") {
        set(&mut provider.server, server(&field));
    }
    provider.gpu_hour = section.get("gpu_hour").and_then(|field| field.money());
    provider.requests_per_second = section.get("requests_per_second").and_then(|field| field.positive());
    set(&mut provider.max_in_flight, section.get("max_in_flight").and_then(|field| field.whole(1..=1_000_000)));
    if let Some(limits) = section.section("timeouts") {
        provider.timeouts = timeouts(limits);
    }
    provider.batch_window = section.get("batch_window").and_then(|field| batch_window(&field, kind));
    let profile = section.get("profile");
    aws::read(&mut provider, &section, keys.iter().any(Option::is_some));
    let row = provider.kind.row();
    if row.in_process {
        for field in [&base_url, &ca_file].into_iter().chain(&keys).flatten() {
            field.problem(format!("a {} provider calls nobody", row.name), "take this out");
        }
        provider.profile = profile.and_then(|field| field.text("\"slow\"")).map(Into::into);
    } else if kind.is_some() {
        if let Some(field) = profile {
            field.problem("only simulated providers have profiles", "take this out, or set kind = \"simulated\"");
        }
        call_where(&mut provider, &section, base_url.as_ref());
        trust(&mut provider, ca_file.as_ref());
        call_as(&mut provider, &section, &keys);
        speak_as(&mut provider, &section);
    }
    section.done();
    Some(provider)
}

/// How long calls for embeddings wait for others, of a provider that has these for a list.
fn batch_window(field: &Field<'_>, kind: Option<Kind>) -> Option<Duration> {
    if kind.is_some_and(|kind| !kind.row().has(Operation::Embeddings)) {
        let kinds = Kind::names_of(|row| row.has(Operation::Embeddings)).join(", ");
        field.problem(
            "the provider has no embeddings of OpenAI's form, which alone are merged",
            format!("only kinds {kinds} have this; take it out"),
        );
    }
    field.duration("1ms"..="1s")
}

fn kind(section: &Section<'_>) -> Option<Kind> {
    let Some(field) = section.get("kind") else {
        section.problem("`kind` is missing", "write kind = \"openai\" or kind = \"simulated\"");
        return None;
    };
    // What is a server or a vendor in other gateways' words is a key beside the kind here.
    let kinds = Kind::names();
    let names: Vec<&str> = kinds.iter().map(|(name, _)| *name).collect();
    let text = field.text(&format!("one of {}, in quotes", names.join(", ")))?;
    let servers = Server::names();
    let server = servers.iter().find(|(name, _)| *name == text).map(|(name, _)| ("server", *name));
    let vendor = VENDORS.iter().find(|vendor| vendor.name == text).map(|vendor| ("vendor", vendor.name));
    if let Some((key, name)) = server.or(vendor).filter(|_| !names.contains(&text)) {
        field.problem(
            format!("`{name}` is no kind of providers, but a {key}"),
            format!("write kind = \"openai\" and {key} = \"{name}\""),
        );
        return None;
    }
    field.choice(&kinds)
}

fn server(field: &Field<'_>) -> Option<Server> {
    field.choice(&Server::names())
}

fn timeouts(section: Section<'_>) -> Timeouts {
    let mut timeouts = Timeouts::default();
    let read = |name| section.get(name).and_then(|field| field.duration("1ms"..="1d"));
    set(&mut timeouts.connect, read("connect"));
    timeouts.headers = read("headers");
    set(&mut timeouts.first_token, read("first_token"));
    set(&mut timeouts.idle, read("idle"));
    set(&mut timeouts.total, read("total"));
    section.done();
    timeouts
}

/// Keys that only some kinds have: Azure's version and tokens, and whether the server speaks OpenAI's Responses.
fn speak_as(provider: &mut Provider, section: &Section<'_>) {
    let (version, entra) = (option(provider, section, "api_version"), option(provider, section, "entra"));
    provider.api_version = version.and_then(|field| field.text("\"2024-10-21\"")).map(Into::into);
    set(&mut provider.entra_tokens, entra.and_then(|field| field.bool()));
    if let Some(field) = section.get("batch") {
        set(&mut provider.native_batches, field.choice(&[("native", true), ("fulcrum", false)]));
        if provider.native_batches && provider.kind.row().batch_api.is_none() {
            let kinds = Kind::names_of(|row| row.batch_api.is_some()).join(" and ");
            field.problem(format!("only kinds {kinds} have batches of their own"), "write batch = \"fulcrum\"");
        }
    }
    let list_models = option(provider, section, "list_models");
    set(&mut provider.list_models, list_models.and_then(|field| field.bool()));
    let (chat, responses) = (option(provider, section, "chat"), option(provider, section, "responses"));
    provider.responses =
        provider.server.row().responses && vendor_at(&provider.base_url).is_none_or(|vendor| vendor.responses);
    set(&mut provider.responses, responses.and_then(|field| field.bool()));
    set(&mut provider.chat, chat.as_ref().and_then(Field::bool));
    if let Some(field) = chat.filter(|_| !provider.chat && !provider.responses) {
        field.problem("the provider speaks neither Chat Completions nor Responses", "take out one of the two");
    }
}

/// The vendor that the section names, or that the kind has.
fn vendor(provider: &Provider, section: &Section<'_>) -> Option<&'static Vendor> {
    let row = provider.kind.row();
    let Some(field) = section.get("vendor") else { return row.vendor.and_then(vendor_named) };
    if !row.takes("vendor") {
        field.problem("only kind = \"openai\" has vendors", "take it out");
        return None;
    }
    let names: Vec<_> = VENDORS.iter().map(|vendor| (vendor.name, vendor)).collect();
    field.choice(&names)
}

fn call_where(provider: &mut Provider, section: &Section<'_>, base_url: Option<&Field<'_>>) {
    let vendor = vendor(provider, section);
    let named = vendor.filter(|_| section.get("vendor").is_some());
    locate(provider, section, (base_url, vendor));
    provider.vendor = named.or_else(|| vendor_at(&provider.base_url));
}

fn locate(
    provider: &mut Provider,
    section: &Section<'_>,
    (base_url, vendor): (Option<&Field<'_>>, Option<&'static Vendor>),
) {
    let Some(field) = base_url else {
        if provider.local || provider.server.row().has_own_address {
            section.problem("`base_url` is missing", "write base_url = \"http://127.0.0.1:8081/v1\"");
            return;
        }
        match vendor {
            // Bedrock's address follows from the region.
            _ if provider.kind.row().takes("region") => {}
            Some(vendor) => vendor.base_url.clone_into(&mut provider.base_url),
            // A vendor that is none is a mistake of its own, and would have the address.
            None if section.get("vendor").is_some() => {}
            None => section.problem("`base_url` is missing", "write base_url = \"https://NAME.openai.azure.com\""),
        }
        return;
    };
    let Some(url) = field.text("\"https://api.openai.com/v1\"") else { return };
    match checked(url) {
        Ok(url) => provider.base_url = url,
        Err((problem, fix)) => field.problem(problem, fix),
    }
}

/// The most bytes of a file of certificates.
const LARGEST_CERTIFICATES: u64 = 16 << 20;

fn trust(provider: &mut Provider, ca_file: Option<&Field<'_>>) {
    let Some(field) = ca_file else { return };
    provider.ca_file = field.text("\"ca.pem\"").map(PathBuf::from);
    if field.reader.secrets == Secrets::Leave {
        provider.ca_file = None;
    }
    if let Some(file) = provider.ca_file.as_deref()
        && let Err(error) = super::file::check(file, LARGEST_CERTIFICATES)
    {
        let problem = match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
            _ => format!("the file cannot be used: {error}"),
        };
        field.problem(problem, "name a file of certificates in PEM");
    }
    if provider.base_url.starts_with("http:") {
        field.problem("the provider is called without TLS", "take this out, or write base_url = \"https://…\"");
    }
}

/// Checks an address. The messages never show the address, since it may hold a password.
fn checked(url: &str) -> Result<String, (&'static str, &'static str)> {
    let fix = "write an address such as \"https://api.openai.com/v1\"";
    let parsed: Uri = url.parse().map_err(|_| ("this is no address", fix))?;
    let authority = parsed.authority().ok_or(("this is no address", fix))?;
    if !matches!(parsed.scheme_str(), Some("http" | "https")) {
        return Err(("the address begins with neither https:// nor http://", fix));
    }
    if authority.as_str().contains('@') {
        return Err(("the address holds a user name or password", "take it out, and use api_key"));
    }
    if parsed.query().is_some() || url.contains('#') {
        return Err(("the address ends with a query or fragment", "take it out"));
    }
    if authority.host().is_empty() {
        return Err(("the address names no host", fix));
    }
    if let Some(misfit) = base_url::misfit(&parsed) {
        return Err(misfit);
    }
    Ok(url.trim_end_matches('/').to_owned())
}

fn call_as(provider: &mut Provider, section: &Section<'_>, [one, many]: &[Option<Field<'_>>; 2]) {
    provider.api_keys = match (one, many) {
        (Some(_), Some(many)) => {
            many.problem("both `api_key` and `api_keys` are given", "keep one of them");
            Vec::new()
        }
        (Some(one), None) => secret::resolve(one).into_iter().collect(),
        (None, Some(many)) => rotated(many),
        (None, None) => {
            if let Some(vendor) = vendor_at(&provider.base_url) {
                let (name, variable) = (vendor.name, vendor.name.to_uppercase());
                let name = if name == "openai" { "OpenAI" } else { name };
                let fix = format!("write api_key = \"env:{variable}_API_KEY\"");
                section.problem(format!("{name} needs a key"), &fix);
            }
            Vec::new()
        }
    };
}

fn rotated(field: &Field<'_>) -> Vec<Secret> {
    let items = field.list("[\"env:KEY_ONE\", \"env:KEY_TWO\"]");
    if items.len() > 100 {
        field.problem("there are more than 100 keys", "keep 100");
    }
    items.iter().filter_map(secret::resolve).collect()
}
