//! A request as the gateway works on it, before a target is chosen. What a target gets of its prompt is known when that
//! target's turn comes: until then the prompt and the caller's own request stay apart.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde::Deserialize;

use super::render::render;
use super::rendering::Rendering;
use super::resolve::{Choice, Resolved};
use crate::chat::Error;
use crate::routing::Target;
use crate::wire::dialect::{Addressed, Asked};
use crate::wire::endpoint::Endpoint;
use crate::wire::json::{Edits, Object};

/// What is asked of a provider, whichever it will be.
pub struct Request {
    /// Which route.
    pub endpoint: Endpoint,
    unmerged: Option<Unmerged>,
    first: Arc<Rendering>,
}

/// What became of rendering a choice.
type Rendered = Result<Arc<Rendering>, Error>;

/// A prompt, and the request that names it.
struct Unmerged {
    /// The request as its caller sent it.
    caller: Asked,
    prompt: Resolved,
    /// What is rendered so far, by what is chosen of the prompt.
    renderings: Mutex<Vec<(Choice, Rendered)>>,
}

impl Request {
    /// A request that names no prompt: every target gets it as it came.
    pub fn plain(rendering: Rendering) -> Self {
        Self { endpoint: rendering.endpoint, unmerged: None, first: Arc::new(rendering) }
    }

    /// A request that names a prompt.
    ///
    /// # Errors
    /// Where variables are missing or wrong, or the caller's dialect has no words for what is first chosen of the prompt.
    pub fn prompted(endpoint: Endpoint, caller: Asked, prompt: Resolved) -> Result<Self, Error> {
        let choice = prompt.choice(None);
        let unmerged = Unmerged { caller, prompt, renderings: Mutex::default() };
        let first = unmerged.rendering(choice, endpoint)?;
        Ok(Self { endpoint, unmerged: Some(unmerged), first })
    }

    /// The same for a whole answer, with bytes of its own: it takes no room of the caller's, and outlives it. `bound` is the most
    /// tokens of each answer where the request leaves them open, with the name of that field in OpenAI's chat.
    ///
    /// # Errors
    /// What the request itself could not be refused with, since it was read before.
    pub fn whole_again(&self, bound: Option<(&str, u64)>) -> Result<Self, Error> {
        let asked = self.unmerged.as_ref().map_or(&self.first.asked, |unmerged| &unmerged.caller);
        let mut edits = Edits::default();
        edits.remove("stream");
        edits.remove("stream_options");
        if let Some(bound) = bound {
            self.first.codec().bound(&asked.object, bound, &mut edits);
        }
        let body = Bytes::copy_from_slice(&asked.object.edited(&edits));
        let model = self.endpoint.is_addressed().then(|| asked.model.clone());
        let asked = self.endpoint.dialect().codec().read(body, &Addressed { model, stream: false })?;
        match &self.unmerged {
            Some(unmerged) => Self::prompted(self.endpoint, asked, unmerged.prompt.clone()),
            None => Ok(Self::plain(Rendering::of(self.endpoint, asked))),
        }
    }

    /// How many bytes its caller sent of it.
    pub fn size(&self) -> usize {
        let asked = self.unmerged.as_ref().map_or(&self.first.asked, |unmerged| &unmerged.caller);
        asked.object.bytes().len()
    }

    /// The prompt that it names.
    pub fn prompt(&self) -> Option<&Resolved> {
        self.unmerged.as_ref().map(|unmerged| &unmerged.prompt)
    }

    /// The name that the caller asked for: a model, a route or a prompt.
    pub fn requested(&self) -> &str {
        self.prompt().map_or(&self.first.asked.model, |prompt| &prompt.requested)
    }

    /// The rendering that stands for all before a target is chosen: the rules read it.
    pub fn first(&self) -> &Arc<Rendering> {
        &self.first
    }

    /// The rendering that `target` gets, which is made once for all targets of the same choice.
    ///
    /// # Errors
    /// Where what is chosen of the prompt for it cannot be rendered.
    pub fn rendering(&self, target: &Target) -> Result<Arc<Rendering>, Error> {
        match &self.unmerged {
            Some(unmerged) => unmerged.rendering(unmerged.prompt.choice(Some(target)), self.endpoint),
            None => Ok(self.first.clone()),
        }
    }
}

impl Unmerged {
    fn rendering(&self, choice: Choice, endpoint: Endpoint) -> Rendered {
        let mut renderings = self.renderings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, rendering)) = renderings.iter().find(|(known, _)| *known == choice) {
            return rendering.clone();
        }
        let rendered = render(&choice, &self.prompt.model, &self.caller, endpoint);
        let rendering = rendered.map(|prompted| Arc::new(Rendering::of_prompt(endpoint, prompted)));
        renderings.push((choice, rendering.clone()));
        rendering
    }
}

/// What is read of a request's metadata, which may have many entries.
#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    user_id: Option<Cow<'a, str>>,
}

/// The user that a body itself names.
pub fn user_of(body: &Object) -> Option<Arc<str>> {
    let user: String = match body.get("user") {
        Some(user) => serde_json::from_str(user).ok()?,
        None => {
            let metadata: Metadata = serde_json::from_str(body.get("metadata")?).ok()?;
            metadata.user_id?.into_owned()
        }
    };
    Some(user.chars().take(256).collect::<String>().into())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::prompts::Version;
    use crate::wire::DialectId;

    fn target(model: &str) -> Target {
        Target::of("up", model)
    }

    fn asked(body: &Value) -> Asked {
        DialectId::OpenAiChat.codec().read(body.to_string().into(), &Addressed::default()).unwrap()
    }

    fn version(number: u32, text: &str, variables: &Value) -> Arc<Version> {
        let messages = json!([{"role": "system", "content": text}]);
        let content = json!({"messages": messages, "variables": variables, "settings": {"model": "fast"}});
        Arc::new(Version::of_content("p", number, &content))
    }

    fn prompted(version: Arc<Version>) -> Result<Request, Error> {
        let caller = asked(&json!({"prompt": {"id": "p"}, "messages": [{"role": "user", "content": "Hi"}]}));
        let prompt = Resolved {
            version,
            label: None,
            requested: "prompt/p".to_owned(),
            model: "fast".to_owned(),
            assigned: None,
            settings: None,
        };
        Request::prompted(Endpoint::Chat, caller, prompt)
    }

    fn body(rendering: &Rendering) -> Value {
        serde_json::from_slice(rendering.object().bytes()).unwrap()
    }

    #[test]
    fn targets_of_one_choice_share_a_rendering_that_is_made_once() {
        let request = prompted(version(1, "one", &json!({}))).unwrap();
        for model in ["a", "b"] {
            assert!(Arc::ptr_eq(&request.rendering(&target(model)).unwrap(), request.first()));
        }
        assert_eq!((request.requested(), request.first().brought.is_some()), ("prompt/p", true));
        let plain = Request::plain(Rendering::of(
            Endpoint::Chat,
            asked(&json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]})),
        ));
        assert!(Arc::ptr_eq(&plain.rendering(&target("a")).unwrap(), plain.first()));
        assert_eq!((plain.requested(), plain.first().brought.is_some(), plain.prompt().is_some()), ("m", false, false));
    }

    #[test]
    fn each_choice_has_a_body_of_its_own() {
        let request = prompted(version(1, "one", &json!({}))).unwrap();
        let unmerged = request.unmerged.as_ref().unwrap();
        let choose = |number, text| {
            let choice = version(number, text, &json!({})).into();
            unmerged.rendering(choice, Endpoint::Chat).unwrap()
        };
        let two = choose(2, "two");
        assert!(Arc::ptr_eq(&two, &choose(2, "two")) && Arc::ptr_eq(request.first(), &choose(1, "one")));
        for (rendering, text) in [(request.first(), "one"), (&two, "two")] {
            let messages = json!([{"role": "system", "content": text}, {"role": "user", "content": "Hi"}]);
            assert_eq!(body(rendering), json!({"messages": messages, "model": "fast"}));
        }
        assert_eq!(request.first().input_tokens(), two.input_tokens());
        assert_eq!(two.internal().as_ref().unwrap().0.messages[0].joined_text(), "two");
    }

    #[test]
    fn the_same_again_asks_for_no_stream_and_has_bytes_of_its_own() {
        let messages = json!([{"role": "user", "content": "Hi"}]);
        let streamed = json!({
            "model": "m", "stream": true, "stream_options": {"include_usage": true}, "messages": messages,
        });
        let plain = Request::plain(Rendering::of(Endpoint::Chat, asked(&streamed)));
        let again = plain.whole_again(None).unwrap();
        assert_eq!(body(again.first()), json!({"model": "m", "messages": messages}));
        assert!(!again.first().asked.stream && !again.first().asked.include_usage);
        let request = prompted(version(1, "one", &json!({}))).unwrap();
        let again = request.whole_again(None).unwrap();
        assert_eq!(body(again.first()), body(request.first()));
        assert_eq!(again.requested(), "prompt/p");
    }

    #[test]
    fn a_choice_that_cannot_be_rendered_leaves_the_others() {
        let needy = || version(2, "{{ who }}", &json!({"who": {"type": "string"}}));
        let error = prompted(needy()).err().unwrap();
        assert_eq!(error.param.as_deref(), Some("prompt.variables.who"));
        let request = prompted(version(1, "one", &json!({}))).unwrap();
        let unmerged = request.unmerged.as_ref().unwrap();
        for _ in 0..2 {
            assert_eq!(unmerged.rendering(needy().into(), Endpoint::Chat).err().unwrap(), error);
        }
        assert!(Arc::ptr_eq(&request.rendering(&target("a")).unwrap(), request.first()));
    }
}
