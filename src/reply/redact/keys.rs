//! What a name says about the value beside it, and which values are harmless under any name.

use std::sync::LazyLock;

use regex::Regex;

use super::{is_mark, regex};

/// Why the value under a name is taken for a secret; how much the value itself may still say against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `password` and its like: any value but a reference, a switch or a path.
    Password,
    /// `token`, `secret`, `apiKey`: numbers, durations and plain addresses stay as well.
    Secret,
    /// `auth`: often a mode (`auth: basic`), so plain words stay as well.
    Auth,
    /// `dsn`, `connectionString`: an address that holds a password; only that part goes.
    Locator,
}

/// Every secret-looking name holds one of these; a cheap test before the name is taken apart.
pub(super) const STEMS: &str = "(?i-u:pass|pwd|pw|psk|secret|token|key|cred|auth|jwt|dsn|conn|docker)";

static STEM: LazyLock<Regex> = LazyLock::new(|| regex(STEMS));

/// Words that, after the secret's own name, make the whole the name of something about the secret: `tokenPath`,
/// `secretRef`, `PASSWORD_MIN_LENGTH`. File endings too, since documents are searched line by line.
const DESCRIPTORS: &str = "\
    addr address age alg algorithm annotations at audience audiences backend cert cfg checksum class conf config \
    configuration controller count crt csr date days digest dir directory disabled domain driver duration enable \
    enabled encoding endpoint endpoints engine error exists expiration expire expired expires expiry field file \
    filename files fingerprint format found header headers host hostname hours html id image ini interval issuer \
    json kind labels len length lifetime limit location manager max md message method min minutes mode mount ms name \
    names namespace operator optional path paths pattern per period plugin policy port prefix properties provider \
    pub py reason ref reference refs regex renew required result review role roles rotate rotation scope scopes \
    seconds selector server service sh sha size source state status store strategy suffix sync target template time \
    timeout timestamp toml total ttl type uri uris url urls user username valid version volume xml yaml yml";

/// Words that, anywhere in the name, make it a reference or a sum.
const REFERENCES: &str = "checksum existing";

/// Words before `token(s)` that make it a number or a symbol of a language model.
const MODEL_TOKENS: &str =
    "bos cached cls completion context eos input mask max min num output pad prompt sep special stop total unk";

/// Words before `key(s)` that make it a secret one.
const KEY_OWNERS: &str = "\
    access account admin api app application auth cipher client crypto decryption deploy encrypt encryption hmac \
    integration jwt license master private root rsa secret service session shared sign signing ssh storage webhook";

/// What `name` (an environment variable, a map key, a flag without its dashes, a column) says about its value.
///
/// Read word by word (`dbPassword`, `DB_PASSWORD`, `db-password`), so that `TOKENIZER_PATH`, `AUTHOR` and `secretRef`
/// say nothing.
pub(super) fn kind(name: &str) -> Option<Kind> {
    if !STEM.is_match(name) {
        return None;
    }
    let name = match name.rsplit_once('/') {
        Some((group, _)) if group.contains("checksum") => return None,
        Some((_, own)) => own,
        None => name,
    };
    let words = words(name);
    if words.iter().any(|word| listed(REFERENCES, word)) {
        return None;
    }
    let mut found = None;
    let mut previous = "";
    for word in &words {
        let noun = noun(previous, word);
        if noun.is_some() {
            found = noun;
        } else if listed(DESCRIPTORS, word) || word == "key" && matches!(found, Some(Kind::Password | Kind::Secret)) {
            // `secret_id` is half of a Vault login, every other `…_id` is not secret.
            found = (word == "id" && previous == "secret").then_some(Kind::Auth);
        }
        previous = word;
    }
    found
}

/// The kind of secret that `word`, coming after `previous`, names.
fn noun(previous: &str, word: &str) -> Option<Kind> {
    let ends_with = |endings: &[&str]| endings.iter().any(|ending| word.ends_with(ending));
    match word.strip_suffix('s').filter(|_| !word.ends_with("ss")).unwrap_or(word) {
        "key" => listed(KEY_OWNERS, previous).then_some(Kind::Secret),
        "string" | "str" => matches!(previous, "connection" | "conn").then_some(Kind::Locator),
        "token" if listed(MODEL_TOKENS, previous) => None,
        // usually the name of a Secret: annotations of Ingresses, fields of custom resources
        "secret" if matches!(previous, "tls" | "pull" | "cert" | "certificate" | "ca") => None,
        "secret" if previous == "auth" => Some(Kind::Auth),
        "cred" | "credential" | "jwt" | "psk" | "pass" | "dockerconfigjson" | "dockercfg" => Some(Kind::Secret),
        "pw" | "dbpass" | "userpass" | "requirepass" | "masterauth" | "passcode" => Some(Kind::Password),
        "auth" | "authorization" | "basicauth" | "oauth" => Some(Kind::Auth),
        "dsn" | "connectionstring" | "connstring" | "connstr" => Some(Kind::Locator),
        _ if ends_with(&["password", "passwords", "passwd", "passphrase", "pwd"]) => Some(Kind::Password),
        _ if ends_with(&["secret", "secrets", "token", "tokens", "credentials"]) => Some(Kind::Secret),
        _ if ends_with(&["apikey", "apikeys", "accesskey", "secretkey", "privatekey", "accountkey"]) => {
            Some(Kind::Secret)
        }
        _ => None,
    }
}

/// Whether `word` is one of the words of `list`.
fn listed(list: &str, word: &str) -> bool {
    list.split_ascii_whitespace().any(|listed| listed == word)
}

/// The words of a name in lower case, without numbers: `DBPassword2_old` is `db`, `password`, `old`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut chars = name.chars().peekable();
    let mut previous = ' ';
    while let Some(c) = chars.next() {
        let hump = c.is_ascii_uppercase()
            && (previous.is_ascii_lowercase()
                || previous.is_ascii_uppercase() && chars.peek().is_some_and(char::is_ascii_lowercase));
        if hump || !c.is_ascii_alphanumeric() {
            words.push(String::new());
        }
        if c.is_ascii_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.push(c.to_ascii_lowercase());
        }
        previous = c;
    }
    words.retain_mut(|word| {
        word.truncate(word.trim_end_matches(|c: char| c.is_ascii_digit()).len());
        !word.is_empty()
    });
    words
}

/// Values that tell nothing under any name: switches, references to where the secret is, masks.
static REFERENCE: LazyLock<Regex> = LazyLock::new(|| {
    regex(concat!(
        r"^(?:(?i-u:true|false|yes|no|on|off|none|null|nil|undefined|unset|enabled|disabled|required|optional|default)",
        r"|\$\([A-Za-z0-9_.-]+\)|\$\{[^{}\n]+\}|\$[A-Za-z_][A-Za-z0-9_]*|\{\{[^\n]*\}\}|<[^<>=\n]*>|[*]+|[xX]{3,}|\u{2022}+",
        r"|(?:vault:|op://|ref\+|arn:|awssm://|gcpsm://|azurekeyvault://|secretref:|projects/)[A-Za-z0-9_./:#@+-]+",
        r"|ENC\[[^\n]*\]|[A-Za-z_.]+\([^()\n]*\)?;?)$",
    ))
});
static NUMBER: LazyLock<Regex> = LazyLock::new(|| regex("^[+-]?[0-9]{1,6}(?:[.][0-9]{1,3})?(?:[a-zA-Z]{1,3}|%)?$"));
static PATH: LazyLock<Regex> = LazyLock::new(|| regex(r"^(?:file://)?(?:~|\.{1,2})?(?:/[A-Za-z0-9._@-]+)+/?$"));
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"^(?:[a-z][a-z0-9+.-]*://[A-Za-z0-9._:/\[\]-]+|sha256:[0-9a-f]{64}|[a-z0-9-]+(?:\.[a-z0-9-]+)*:[0-9]{2,5})$")
});
static PLAIN: LazyLock<Regex> = LazyLock::new(|| regex("^[A-Za-z]?[a-z]*(?:[-/_][a-z]+)*[.,:;!?]*$"));

/// Whether `value`, under a name of this kind, can be shown: a switch, a reference, a path, a small number.
pub(super) fn harmless(kind: Kind, value: &str) -> bool {
    let value = value.trim();
    value.is_empty()
        || is_mark(without_scheme(value))
        || REFERENCE.is_match(value)
        || path(value)
        || kind != Kind::Password && (NUMBER.is_match(value) || ADDRESS.is_match(value))
        || kind == Kind::Auth && plain(value)
}

/// An ordinary word, as in `token: expired`; not what a generator of secrets writes.
pub(super) fn plain(value: &str) -> bool {
    value.len() <= 24 && PLAIN.is_match(value)
}

/// Whether the text is an address without anything to hide, or a path.
pub(super) fn address(value: &str) -> bool {
    ADDRESS.is_match(value) || path(value)
}

/// A path of a file, but not base64 that happens to begin with a slash.
fn path(value: &str) -> bool {
    PATH.is_match(value)
        && value.split('/').all(|part| {
            let has = |test: fn(&u8) -> bool| part.as_bytes().iter().any(test);
            part.len() < 20 || !(has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit))
        })
}

/// `abc` of `Bearer abc`.
pub(super) fn without_scheme(value: &str) -> &str {
    match value.split_once(' ') {
        Some((scheme, rest))
            if ["bearer", "basic", "digest", "token"].contains(&scheme.to_ascii_lowercase().as_str()) =>
        {
            rest.trim_start()
        }
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_word_by_word() {
        use Kind::{Auth, Locator, Password, Secret};
        let cases = [
            (
                Some(Password),
                "DB_PASSWORD dbPassword db-password PGPASSWORD mysql.passwd SPRING_DATASOURCE_PASSWORD PASSWORD2 pwd DBPwd requirepass SSH_PASSPHRASE PASSWORD_HASH password.txt",
            ),
            (
                Some(Secret),
                "TOKEN accessToken GITHUB_TOKEN token_v2 client_secret clientsecret API_KEY apikey x-api-key AWS_SECRET_ACCESS_KEY secretKey SECRET_KEY_BASE private_key client-key-data credentials creds DB_PASS sharedAccessKey AccountKey APP_KEY jwt .dockerconfigjson",
            ),
            (
                Some(Auth),
                "auth AUTH_SECRET nginx.ingress.kubernetes.io/auth-secret nginx.ingress.kubernetes.io/auth-tls-secret REDIS_AUTH authorization VAULT_SECRET_ID",
            ),
            (Some(Locator), "DSN SENTRY_DSN connectionString CONNECTION_STRING db_conn_str"),
            (
                None,
                "TOKENIZER_PATH AUTHOR AUTHORITY SECRETS_DIR TOKEN_FILE secretName tlsSecret imagePullSecrets secretRef secretKeyRef tokenSecretRef tokenExpirationSeconds PASSWORD_MIN_LENGTH TOKEN_URL token_endpoint existingSecret existingSecretPasswordKey passwordKey AUTH_ENABLED auth.yaml credentials.json checksum/secret MAX_TOKENS maxOutputTokens outputTokensPerMinute eos_token keyboard monkey PRIMARY_KEY public_key key passthrough compass connection AWS_ACCESS_KEY_ID secret.reloader.stakater.com/reload maxTokenLifetime tokenReview",
            ),
        ];
        for (expected, names) in cases {
            for name in names.split(' ') {
                assert_eq!(kind(name), expected, "{name}");
            }
        }
    }

    #[test]
    fn switches_references_and_paths_are_harmless() {
        for value in [
            "",
            "true",
            "None",
            "$(DB_PASSWORD)",
            "${X}",
            "$X",
            "{{ .Values.x }}",
            "<none>",
            "****",
            "/etc/tls/tls.key",
            "vault:secret/data/db#pw",
            "[redacted#3]",
            "Bearer [redacted#3]",
        ] {
            assert!(harmless(Kind::Password, value), "{value}");
        }
        for value in ["3600", "30s", "https://idp.example.com/token", "auth.shop.svc:8080", "redis:6379"] {
            assert!(harmless(Kind::Secret, value), "{value}");
            assert!(!harmless(Kind::Password, value), "{value}");
        }
        for value in ["hunter2", "correcthorse", "/Zx81kQpLmN4vTt0aB3cD9eF/x", "[redacted#x]", "1234567"] {
            assert!(!harmless(Kind::Secret, value), "{value}");
        }
        assert!(harmless(Kind::Auth, "basic"));
        assert!(!harmless(Kind::Auth, "dXNlcjpwYXNz"));
    }
}
