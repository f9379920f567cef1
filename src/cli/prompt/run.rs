//! Commands that try a prompt: rendered, or sent to a model.

use std::path::Path;

use clap::Args;
use http::Method;
use serde_json::{Map, Value, json};

use super::shared::{Read, read_file, split, version_of};
use super::variables::typed;
use crate::chat::PromptMessage;
use crate::cli::client::Client;
use crate::cli::outcome::{Failure, Outcome, Where};
use crate::cli::output::{Form, cell, json as print_json, note, say};
use crate::prompts::halves;
use crate::types::PromptName;

/// What `run` calls.
const CHAT: &str = "/v1/chat/completions";

#[derive(Args)]
#[command(
    after_help = "Example: fulcrum prompt render support-reply --var product=Acme --var ticket='Where is my order?'\n\
    Example: fulcrum prompt render drafts/support-reply.toml --var product=Acme --var ticket=12345"
)]
pub struct Render {
    /// NAME, which is NAME@production as in a call; NAME@VERSION, NAME@LABEL; or a file NAME.toml
    reference: String,
    /// A variable, as name=value; a value is read as the variable's schema asks
    #[arg(long = "var")]
    variables: Vec<String>,
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

#[derive(Args)]
#[command(
    after_help = "Example: fulcrum prompt run support-reply@staging --var product=Acme --var ticket='Where is my order?'\n\
    Example: fulcrum prompt run drafts/support-reply.toml --var product=Acme --var ticket=12345 --model fast"
)]
pub struct Run {
    /// NAME, which is NAME@production as in a call; NAME@VERSION, NAME@LABEL; or a file NAME.toml
    reference: String,
    /// A variable, as name=value; a value is read as the variable's schema asks
    #[arg(long = "var")]
    variables: Vec<String>,
    /// The model, instead of the one of the prompt's settings
    #[arg(long)]
    model: Option<String>,
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

/// The file that a reference names, where it names one: no prompt's name has a dot or a slash.
fn file_of(reference: &str) -> Option<&Path> {
    let (name, _) = halves(reference);
    name.contains(['.', '/']).then(|| Path::new(reference))
}

/// Which version of a prompt, as the body of a call or a rendering has it.
fn selection(at: Option<&str>, body: &mut Value, text: bool) {
    match at.map(|at| (at, at.parse::<u32>())) {
        Some((at, Ok(_))) if text => body["version"] = at.into(),
        Some((_, Ok(version))) => body["version"] = version.into(),
        Some(("latest", _)) if text => body["version"] = "latest".into(),
        Some((label, Err(_))) => body["label"] = label.into(),
        None => {}
    }
}

/// A file rendered with variables: its messages as a call has them, and the characters of all texts.
fn rendered(read: &Read, variables: &[String]) -> Result<(Vec<Value>, usize), Failure> {
    let values = typed(variables, &Value::Object(read.draft.variables.clone()))?;
    let messages = read.draft.render(&values).map_err(Failure::Input)?;
    let message = |message: PromptMessage| match message {
        PromptMessage::Text { role, content } => json!({"role": role, "content": content}),
        PromptMessage::Raw(value) => value,
    };
    let messages: Vec<Value> = messages.into_iter().map(message).collect();
    let chars = messages.iter().map(|message| cell(message.get("content")).chars().count()).sum();
    Ok((messages, chars))
}

impl Render {
    pub async fn run(self) -> Outcome {
        if let Some(file) = file_of(&self.reference) {
            return self.file(file);
        }
        let client = Client::to(&self.place).await?;
        let version = version_of(&client, &self.reference).await?;
        let (path, at) = split(&self.reference);
        let mut body = json!({"variables": typed(&self.variables, &version["variables"])?});
        selection(at, &mut body, false);
        let rendered = client.send(Method::POST, &format!("{path}/render"), &body).await?;
        let about = ["name", "version", "tokens"].map(|name| cell(rendered.get(name)));
        self.show(&rendered, &format!("{}@{}, about {} tokens", about[0], about[1], about[2]));
        Ok(())
    }

    fn file(&self, file: &Path) -> Outcome {
        let read = read_file(file)?;
        read.warnings.iter().for_each(|warning| note(&format!("warning: {warning}")));
        let (messages, chars) = rendered(&read, &self.variables)?;
        let tokens = chars.div_ceil(4);
        let shown = json!({
            "name": read.name, "version": null, "messages": messages, "tokens": tokens, "tokens_estimated": true,
            "settings": read.draft.settings,
        });
        self.show(&shown, &format!("{}, about {tokens} tokens; nothing is saved", file.display()));
        Ok(())
    }

    fn show(&self, rendered: &Value, about: &str) {
        if self.format == Form::Json {
            print_json(rendered);
            return;
        }
        for message in rendered["messages"].as_array().into_iter().flatten() {
            say(&format!("[{}]\n{}\n", cell(message.get("role")), cell(message.get("content"))));
        }
        note(about);
    }
}

/// The route that takes a call by a rule on its prompt, whichever model it names.
async fn taken_by_rule(client: &Client, mut body: Value, draft: Option<&PromptName>) -> Option<String> {
    body["endpoint"] = CHAT.into();
    let explained = client.send_draft("/v1/explain", &body, draft).await.ok()?;
    let rules = explained.pointer("/trace/rules")?.as_array()?;
    let taken = rules.iter().find(|rule| rule["route"] == explained["route"])?;
    let when = taken["when"].as_str().filter(|when| when.contains("prompt.") && !when.contains("request.model"))?;
    Some(format!("the route {} takes this prompt by its rule {when}", cell(taken.get("route"))))
}

impl Run {
    pub async fn run(self) -> Outcome {
        let of_file = match file_of(&self.reference) {
            Some(file) => Some(self.body_of_file(file)?),
            None => None,
        };
        let client = Client::calling(&self.place).await?;
        let (body, draft) = match of_file {
            Some((body, name)) => (body.into(), name),
            None => (self.body(&client).await?, None),
        };
        let answer = client.send_draft(CHAT, &body, draft.as_ref()).await?;
        if self.format == Form::Json {
            print_json(&answer);
            return Ok(());
        }
        let message = &answer["choices"][0]["message"];
        let content = cell(message.get("content"));
        say(if content.is_empty() { message.to_string() } else { content }.trim_end());
        let count = |name: &str| cell(answer["usage"].get(name));
        let (input, output) = (count("prompt_tokens"), count("completion_tokens"));
        note(&format!("{}: {} in, {input} tokens; {output} tokens out", self.reference, cell(answer.get("model"))));
        if let Some(model) = &self.model
            && let Some(route) = taken_by_rule(&client, body, draft.as_ref()).await
        {
            note(&format!("--model {model} did not choose: {route}"));
        }
        Ok(())
    }

    async fn body(&self, client: &Client) -> Result<Value, Failure> {
        let (name, at) = halves(&self.reference);
        // A key that may call and not look reads no schemas; then the values are read as JSON.
        let version = version_of(client, &self.reference).await;
        let schemas = match version {
            Err(Failure::Negative(message)) => return Err(Failure::Negative(message)),
            version => version.map(|version| version["variables"].clone()).unwrap_or_default(),
        };
        let mut prompt = json!({"id": name, "variables": typed(&self.variables, &schemas)?});
        selection(at, &mut prompt, true);
        let mut body = json!({ "prompt": prompt });
        if let Some(model) = &self.model {
            body["model"] = model.as_str().into();
        }
        Ok(body)
    }

    /// The call of a file, and the prompt that it is a draft of.
    fn body_of_file(&self, file: &Path) -> Result<(Map<String, Value>, Option<PromptName>), Failure> {
        let read = read_file(file)?;
        read.warnings.iter().for_each(|warning| note(&format!("warning: {warning}")));
        let (messages, _) = rendered(&read, &self.variables)?;
        let mut body = read.draft.settings.clone();
        if let Some(model) = &self.model {
            body.insert("model".to_owned(), model.as_str().into());
        }
        if !body.contains_key("model") {
            let file = file.display();
            return Err(Failure::Input(format!(
                "{file}: settings.model is missing: name a model there or with --model"
            )));
        }
        body.insert("messages".to_owned(), messages.into());
        Ok((body, read.name.parse().ok()))
    }
}
