//! Takes secrets out of Kubernetes objects and of any text.
//!
//! Two ways to know a secret: by its own shape (`patterns`), and by the name beside it (`keys`, `assigned`). Nothing is
//! guessed from randomness, so that digests, hashes of pod templates, UUIDs and names stay readable. A safety net: a
//! secret without a telling name or shape passes.

mod assigned;
mod keys;
mod patterns;

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    hash::{BuildHasher, RandomState},
    ops::Range,
    sync::LazyLock,
};

use regex::Regex;
use serde_json::{Map, Value};

use self::keys::Kind;
use super::{regex, yaml};

/// Redacts one reply. Each secret becomes `[redacted#n]`; equal secrets get equal numbers within the reply.
///
/// Redacting what is redacted changes nothing. It keeps no secret, only a keyed hash of each. Time is linear in the
/// input.
#[derive(Default)]
pub struct Redactor {
    hasher: RandomState,
    numbers: HashMap<u64, usize>,
}

impl Redactor {
    /// How many different secrets were redacted so far.
    pub fn count(&self) -> usize {
        self.numbers.len()
    }

    /// Redacts any Kubernetes object, list, or part of one, in place.
    ///
    /// What goes: `data` and `stringData` of a Secret; values whose name looks secret (map keys, `{name, value}` pairs
    /// as in `env`, flags in lists of arguments), but not references such as `secretName`; in every other string what
    /// [`text`](Self::text) finds, with JSON documents and Secret manifests in strings (last-applied configurations,
    /// `ConfigMap` data) taken as objects.
    pub fn object(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(redacted) = self.document(text) {
                    *text = redacted;
                }
            }
            Value::Array(items) => self.items(items),
            Value::Object(map) => self.map(map, false),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Redacts the value of something named `name`: a table's cell under its column, a label, an environment variable.
    pub fn field<'a>(&mut self, name: &str, value: &'a str) -> Cow<'a, str> {
        self.named(keys::kind(name), value)
    }

    /// Redacts a text: log lines, messages of events and errors, rendered YAML, diffs. Best given whole, not line by
    /// line.
    pub fn text<'a>(&mut self, text: &'a str) -> Cow<'a, str> {
        let mut text = self.replace(Cow::Borrowed(text), patterns::private_keys);
        for pass in patterns::passes() {
            text = self.replace(text, pass);
        }
        for pass in [patterns::authorization, assigned::assignments, assigned::pairs, assigned::flags] {
            text = self.replace(text, pass);
        }
        text
    }

    fn map(&mut self, map: &mut Map<String, Value>, in_secret_list: bool) {
        let text = |key: &str| map.get(key).and_then(Value::as_str);
        let secret = in_secret_list || text("kind") == Some("Secret") || map.contains_key("stringData");
        let list = text("kind") == Some("SecretList");
        let named = text("name").or_else(|| text("key")).and_then(keys::kind);
        // in an ExternalSecret, secretKey is the name of a key
        let external = map.contains_key("remoteRef");
        for (key, value) in map {
            let kind = match key.as_str() {
                "value" if named.is_some() => named,
                "secretKey" if external => None,
                key => keys::kind(key),
            };
            match (kind, value) {
                (_, value) if secret && matches!(key.as_str(), "data" | "stringData") => self.everything(value),
                (_, Value::Array(items)) if list && key == "items" => items.iter_mut().for_each(|item| match item {
                    Value::Object(item) => self.map(item, true),
                    item => self.everything(item),
                }),
                (Some(kind), value) => self.under(kind, key, value),
                (None, value) => self.object(value),
            }
        }
    }

    /// Redacts what stands under a name of that kind.
    fn under(&mut self, kind: Kind, key: &str, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(redacted) = self.named(Some(kind), text) {
                    *text = redacted;
                }
            }
            Value::Number(number) => {
                let number = number.to_string();
                if !keys::harmless(kind, &number) {
                    *value = self.mark(&number).into();
                }
            }
            // `secrets: [a, b]` lists names of Secrets, `auth: [a, b]` modes
            Value::Array(items) if kind != Kind::Auth && !key.ends_with("ecrets") => {
                for item in items {
                    match item {
                        Value::String(_) => self.under(kind, key, item),
                        item => self.object(item),
                    }
                }
            }
            Value::Object(map) if kind != Kind::Auth => {
                for inner in ["value", "data", "content", "inline", "plain"] {
                    if let Some(value @ Value::String(_)) = map.get_mut(inner) {
                        self.under(kind, inner, value);
                    }
                }
                self.map(map, false);
            }
            value => self.object(value),
        }
    }

    /// Redacts a list; an item that is a secret's flag speaks for the item after it.
    fn items(&mut self, items: &mut [Value]) {
        let mut flag = None;
        for item in items {
            let text = item.as_str().unwrap_or_default();
            let next = text.strip_prefix('-').and_then(|name| keys::kind(name.trim_start_matches('-')));
            match flag.filter(|_| !text.starts_with('-')) {
                Some(kind) => self.under(kind, "", item),
                None => self.object(item),
            }
            flag = next;
        }
    }

    /// Redacts every value below.
    fn everything(&mut self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.everything(item)),
            Value::Object(map) => map.values_mut().for_each(|item| self.everything(item)),
            Value::String(text) if text.is_empty() || is_mark(text) => {}
            Value::String(text) => *text = self.mark(text),
            Value::Number(number) => *value = self.mark(&number.to_string()).into(),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn named<'a>(&mut self, kind: Option<Kind>, value: &'a str) -> Cow<'a, str> {
        match kind {
            Some(Kind::Locator) => match self.text(value) {
                Cow::Borrowed(text) if !text.trim().is_empty() && !text.contains(MARK) && !keys::address(text) => {
                    self.mark(text).into()
                }
                text => text,
            },
            Some(kind) if keys::harmless(kind, value) => match self.text(value) {
                Cow::Borrowed(text) => text.into(),
                Cow::Owned(_) => self.mark(value).into(),
            },
            Some(_) => self.mark(value).into(),
            None => self.document(value),
        }
    }

    /// Redacts a string that may hold a document of its own.
    fn document<'a>(&mut self, text: &'a str) -> Cow<'a, str> {
        static SECRET: LazyLock<Regex> =
            LazyLock::new(|| regex(r#"(?m)^[ \t-]*["']?kind["']?:[ \t]*["']?Secret(?:List)?["']?[ \t]*\r?$"#));
        if text.trim_start().starts_with(['{', '['])
            && let Ok(mut value) = serde_json::from_str::<Value>(text)
        {
            let before = value.clone();
            self.object(&mut value);
            // Where nothing was found, the text is searched too: of a key given twice, the value holds one.
            return if value == before { self.text(text) } else { self.text(&value.to_string()).into_owned().into() };
        }
        if SECRET.is_match(text) {
            return match yaml::documents(text).ok() {
                Some(mut documents) => {
                    for document in &mut documents {
                        self.object(document);
                    }
                    let text = documents.iter().map(yaml::to_yaml).collect::<Vec<_>>().join("---\n");
                    let keys_too = matches!(self.text(&text), Cow::Owned(_));
                    if keys_too { self.mark(&text).into() } else { text.into() }
                }
                None => self.mark(text).into(),
            };
        }
        self.text(text)
    }

    fn replace<'a>(&mut self, text: Cow<'a, str>, find: impl Fn(&str) -> Vec<Range<usize>>) -> Cow<'a, str> {
        let found = find(&text);
        let mut out = String::new();
        let mut done = 0;
        for range in found {
            match text.get(range.clone()) {
                Some(secret) if !is_mark(secret) => {
                    out.push_str(text.get(done..range.start).unwrap_or_default());
                    out.push_str(&self.mark(secret));
                    done = range.end;
                }
                _ => {}
            }
        }
        if done == 0 {
            return text;
        }
        out.push_str(text.get(done..).unwrap_or_default());
        out.into()
    }

    fn mark(&mut self, secret: &str) -> String {
        let next = self.numbers.len() + 1;
        let number = self.numbers.entry(self.hasher.hash_one(secret.trim())).or_insert(next);
        format!("{MARK}{number}]")
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("count", &self.count()).finish_non_exhaustive()
    }
}

/// How every mark begins.
const MARK: &str = "[redacted#";

/// The length of the mark that `text` begins with.
fn mark_at(text: &str) -> Option<usize> {
    let (number, _) = text.strip_prefix(MARK)?.split_once(']')?;
    let numbered = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    numbered.then_some(MARK.len() + number.len() + 1)
}

/// Whether `text` is a mark and nothing else.
fn is_mark(text: &str) -> bool {
    mark_at(text) == Some(text.len())
}

#[cfg(test)]
mod tests;
