//! The software of local servers: a row each, which holds what differs between them.

use super::provider::Server;

/// What a local server's software does in its own way.
pub struct ServerRow {
    server: Server,
    /// The server's name in the configuration.
    pub name: &'static str,
    /// Whether only its owner knows the address, so that no vendor's is the default.
    pub has_own_address: bool,
    /// Whether a body names the adapters to put on the model, in a field `lora`.
    pub lora_field: bool,
    /// Whether it speaks OpenAI's Responses in full, where the configuration does not say: a server that has the route may still
    /// leave out what a request asks for, as llama.cpp does with `text.format`.
    pub responses: bool,
    /// Where the server reports its health, below its root; 2xx while it is well, 503 while it loads a model.
    pub health: Option<&'static str>,
    /// Whether the usage is of one choice only, so that the usage of several must be summed.
    pub counts_by_choice: bool,
    /// The gauges of its `/metrics` that together count the calls which it runs and holds back; none where it has no such page.
    pub load: &'static [&'static str],
}

/// All servers, in the order of [`Server`].
static SERVERS: [ServerRow; 5] = [
    ServerRow { server: Server::Generic, name: "generic", has_own_address: false, responses: true, ..PLAIN },
    ServerRow { server: Server::Vllm, name: "vllm", health: HEALTH, load: VLLM_LOAD, ..PLAIN },
    ServerRow {
        server: Server::LlamaCpp,
        name: "llamacpp",
        lora_field: true,
        counts_by_choice: true,
        health: HEALTH,
        load: LLAMACPP_LOAD,
        ..PLAIN
    },
    // Its root says that it runs, and costs nothing.
    ServerRow { server: Server::Ollama, name: "ollama", health: Some("/"), ..PLAIN },
    ServerRow { server: Server::Lorax, name: "lorax", health: HEALTH, ..PLAIN },
];

/// Where most servers report their health.
const HEALTH: Option<&str> = Some("/health");

/// A local server that speaks Chat Completions as OpenAI does.
const PLAIN: ServerRow = ServerRow {
    server: Server::Generic,
    name: "",
    has_own_address: true,
    lora_field: false,
    responses: false,
    health: None,
    counts_by_choice: false,
    load: &[],
};

const VLLM_LOAD: &[&str] = &["vllm:num_requests_running", "vllm:num_requests_waiting"];

/// Only where the server is started with `--metrics`.
const LLAMACPP_LOAD: &[&str] = &["llamacpp:requests_processing", "llamacpp:requests_deferred"];

impl Server {
    /// The server's row.
    #[must_use]
    pub fn row(self) -> &'static ServerRow {
        &SERVERS[self as usize]
    }

    /// Every software by its name.
    #[must_use]
    pub fn names() -> Vec<(&'static str, Self)> {
        SERVERS.iter().map(|row| (row.name, row.server)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_finds_its_own_row() {
        for (n, row) in SERVERS.iter().enumerate() {
            assert_eq!((row.server as usize, row.server.row().name), (n, row.name));
        }
    }
}
