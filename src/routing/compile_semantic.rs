//! Compiles what compares texts by their meaning: the embedding model, the sets of examples, and who may use them.

use std::sync::Arc;

use super::compile::Compile;
use super::examples::ExampleSet;
use super::rule::Rule;
use super::spec::{CacheMode, RouteSpec, Spec};
use crate::types::{Diagnostic, Place};

/// What to do where there is no embedding model.
const ADD: &str = "add [cache.semantic] with embedding_model = \"NAME\", a name under [models]";

impl Compile {
    /// The embedding model, and the sets of examples, which need one.
    pub(super) fn embedding(&mut self, spec: &Spec<'_>) {
        if let Some(named) = spec.embedding {
            let key = "cache.semantic.embedding_model".to_owned();
            match self.routes.target(&named.text) {
                None => {
                    let (problem, fix) = self.no_model(&named.text);
                    self.problem(named.at, key, problem, fix);
                }
                Some(target) if !self.routes.providers.get(&target.provider).is_some_and(|traits| traits.embeds) => {
                    let problem = format!("the provider `{}` has no embeddings", target.provider);
                    self.problem(named.at, key, problem, "name a model of a provider with /v1/embeddings".to_owned());
                }
                Some(target) => self.routes.embedding = Some(target),
            }
        }
        for set in spec.examples {
            if spec.embedding.is_none() {
                let problem = "examples are compared by an embedding model, and there is none";
                self.problem(set.name.at, set.key.clone(), problem.to_owned(), ADD.to_owned());
            }
            let (name, sentences) = (set.name.text.as_str().into(), set.sentences.clone().into());
            self.routes.examples.push(Arc::new(ExampleSet { name, sentences }));
        }
    }

    /// The cache of routes that set none.
    pub(super) fn semantic_defaults(&mut self, spec: &Spec<'_>) {
        if spec.defaults.cache.mode == CacheMode::Semantic && spec.embedding.is_none() {
            self.lacks_embedding("defaults.cache.mode".to_owned());
        }
    }

    /// The cache and the rule of a route: both send texts to the embedding model.
    pub(super) fn semantic(&mut self, spec: &RouteSpec, rule: Option<&Rule>) {
        let own = spec.cache.is_some_and(|cache| cache.mode == CacheMode::Semantic);
        let key = format!("{}.cache.mode", spec.key);
        let Some(embedding) = self.routes.embedding.clone() else {
            // One that is named and wrong was reported.
            if own && !self.problems.iter().any(|problem| problem.key == "cache.semantic.embedding_model") {
                self.lacks_embedding(key);
            }
            return;
        };
        if !spec.local_only || embedding.local {
            return;
        }
        let problem = format!("texts would leave the house for `{}`, on a route with local_only = true", embedding.id);
        let fix = "name an embedding_model of a provider with local = true";
        if let Some(when) = spec.when.as_ref().filter(|_| rule.is_some_and(Rule::is_by_meaning)) {
            let at = when.at + when.text.find("similar_to").unwrap_or(0);
            self.problem(at, format!("{}.when", spec.key), problem.clone(), fix.to_owned());
        }
        let inherited = spec.cache.is_none() && self.routes.defaults.cache.mode == CacheMode::Semantic;
        if own || inherited {
            let key = if own { key } else { spec.key.clone() };
            let fix = format!("{fix}, or write cache = {{ mode = \"exact\" }}");
            self.problems.push(Diagnostic::new(key, problem).fix(fix));
        }
    }

    fn lacks_embedding(&mut self, key: String) {
        let problem = "mode = \"semantic\" needs an embedding model, and there is none";
        self.problems.push(Diagnostic { place: Place::Unknown, ..Diagnostic::new(key, problem) }.fix(ADD));
    }
}
