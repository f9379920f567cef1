//! Lines to paste into a shell, with the demo's address and keys.

use super::sandbox::Sandbox;

/// The lines. `app` is a key for calls; `binary` is how this program was called.
pub fn lines(sandbox: &Sandbox, app: &str, binary: &str) -> String {
    let Sandbox { base, admin, .. } = sandbox;
    let json = format!("-H 'authorization: Bearer {app}' -H 'content-type: application/json'");
    format!(
        r#"# a call
curl -s {base}/v1/chat/completions {json} \
  -d '{{"model": "fast", "messages": [{{"role": "user", "content": "Why is the sky blue?"}}]}}'

# a versioned prompt with its variables; -i shows the x-fulcrum-* headers, and the second time the cache answers
curl -si {base}/v1/chat/completions {json} \
  -d '{{"model": "prompt/support-reply", "user": "ada", "prompt": {{"variables": {{"product": "Kettle One", "ticket": "Where is my order?"}}}}}}'

# a stream
curl -sN {base}/v1/chat/completions {json} \
  -d '{{"model": "smart", "stream": true, "messages": [{{"role": "user", "content": "Explain a heat pump."}}]}}'

# what a call would get, and why; no provider is called
curl -s {base}/v1/explain {json} \
  -d '{{"model": "prompt/support-reply", "metadata": {{"privacy": "internal"}}, "prompt": {{"variables": {{"product": "Kettle One", "ticket": "Hi"}}}}}}'

# what was used and spent, with the admin key
{binary} usage --by project,model --url {base} --key {admin}
curl -s '{base}/api/v1/requests?limit=3' -H 'authorization: Bearer {admin}'

# Python, with OpenAI's own SDK (pip install openai)
from openai import OpenAI
client = OpenAI(base_url="{base}/v1", api_key="{app}")
print(client.chat.completions.create(model="fast", messages=[{{"role": "user", "content": "Hello!"}}]).choices[0].message.content)"#
    )
}

/// How to use a real provider with a key.
pub const REAL: &str = r#"OPENAI_API_KEY is set. The demo neither read it nor called anybody. To use it, put these lines into config/fulcrum.toml
and run `fulcrum serve`; calls then name the model `mini`:

[providers.openai]
kind = "openai"
api_key = "env:OPENAI_API_KEY"

[models.mini]
provider = "openai"
model = "gpt-4o-mini""#;

#[cfg(test)]
mod tests {
    #[test]
    fn the_lines_for_a_real_provider_are_a_configuration() {
        let text = &super::REAL[super::REAL.find("[providers").unwrap()..];
        let env = |name: &str| (name == "OPENAI_API_KEY").then(|| "sk-of-a-test".to_owned());
        assert!(crate::config::parse(text, "x", &env).is_ok());
    }
}
