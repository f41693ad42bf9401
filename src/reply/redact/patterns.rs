//! Secrets that are known by their own shape, wherever they stand.
//!
//! One pass per pattern, so that each is linear: a pattern that is still waiting for its end never hides another one.

use std::{ops::Range, sync::LazyLock};

use regex::Regex;

use super::{keys, regex};

/// Tokens with a prefix of their issuer's own. No boundary on the left: in logs an escape (`\n`, a colour) may stand
/// there.
const TOKENS: &[&str] = &[
    r"A(?:KIA|SIA|BIA|CCA)[A-Z2-7]{16}",                             // AWS access key id
    r"gh[opsru]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,}",      // GitHub
    r"gl(?:pat|ptt|dt|rt|cbt|ft|soat|agent|imt)-[A-Za-z0-9_-]{20,}", // GitLab
    r"xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[0-9]-[A-Za-z0-9-]{10,}",  // Slack
    r"AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,}", // Google
    r"sk-(?:ant|proj|svcacct|admin|or)-[A-Za-z0-9_-]{16,}",          // Anthropic, OpenAI, OpenRouter
    r"sk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}",                    // OpenAI, before 2024
    r"[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/=]{20,}", // Stripe
    r"npm_[A-Za-z0-9]{36}|pypi-AgE[A-Za-z0-9_-]{30,}",               // npm, PyPI
    r"SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,64}",               // SendGrid
    r"SK[0-9a-f]{32}",                                               // Twilio
    r"hf_[A-Za-z]{30,}",                                             // Hugging Face
    r"hv[sbr]\.[A-Za-z0-9_-]{20,}",                                  // Vault
    r"do[opr]_v1_[0-9a-f]{64}",                                      // DigitalOcean
    r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}",                          // Docker Hub
    r"glsa_[A-Za-z0-9]{32}_[0-9a-f]{8}|glc_[A-Za-z0-9+/=]{32,}",     // Grafana
    r"shp(?:at|ss|ca|pa)_[0-9a-fA-F]{32}|NRAK-[A-Z0-9]{27}|dapi[0-9a-f]{32}|tskey-[a-z]+-[A-Za-z0-9-]{10,}|ATATT3[A-Za-z0-9_=-]{60,}",
    r"AGE-SECRET-KEY-1[A-Za-z0-9]{20,}", // age
    // base64 of a PEM block of a private key, as in the client-key-data of a kubeconfig: plain, RSA, EC, OPENSSH,
    // ENCRYPTED, DSA
    r"LS0tLS1CRUdJTi(?:BQUklWQVRFI|BSU0EgUFJJVkFUR|BFQyBQUklWQVRF|BPUEVOU1NII|BFTkNSWVBURUQgU|BEU0EgUFJJVkFUR)[A-Za-z0-9+/=]+",
    r"\$(?:2[abxy]|apr1|1|5|6|y|argon2id?)\$[A-Za-z0-9./$=,+-]{16,}", // crypt(3) hashes
];

/// Shapes with the secret in group 1.
const SHAPES: &[&str] = &[
    // the pair of an AWS key, as it is downloaded
    r#"A[KS]IA[A-Z2-7]{16}[ \t\r\n,:;|"']{1,4}([A-Za-z0-9/+]{40})"#,
    // JWT and JWE; cut ones too
    r"(eyJ[A-Za-z0-9_-]{10,}\.(?:eyJ[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*){0,3}|[A-Za-z0-9_-]*\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*){0,2}))",
    r"(?:^|[^A-Za-z0-9])(sk-[A-Za-z0-9]{32,})",
    // userinfo of a URL: what follows its first colon, up to the last @ before a slash; else with slashes, unless it is
    // a port
    r#"://[^ \t\r\n:@/"'<>]*:((?:[^ \t\r\n/"'<>\\`]{1,256})|[0-9]*[^ \t\r\n@/"'<>0-9][^ \t\r\n@"'<>]{0,256})@"#,
    r"://([A-Za-z0-9_-]{20,})@",
    // user:password@tcp(host:3306)/db
    r#"[A-Za-z0-9_.-]:([^ \t\r\n@"':/]{1,256})@(?:tcp|unix)\("#,
    // webhooks whose path is the secret
    r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9/_-]{20,})",
    r"discord(?:app)?\.com/api/webhooks/[0-9]+/([A-Za-z0-9_-]{20,})",
    r"(?:^|[^0-9])([0-9]{8,10}:AA[A-Za-z0-9_-]{33})", // Telegram
    // signed URLs
    r"[?&](?i-u:sig|signature|x-amz-signature|x-goog-signature|x-amz-security-token)=([A-Za-z0-9%+/=_-]{16,})",
    r#"(?i-u:(?:^|[ \t\r\n"'])(?:set-)?cookie\\*["']?: ?\\*["']?)([^\r\n"'\\]{4,})"#,
    // curl -u user:password; .netrc; <password>…</password>
    r#"(?:^|[ \t\r\n])(?:-u|--user)[ =]["']?[A-Za-z0-9_.@-]+:([^ \t\r\n"']+)"#,
    r"(?:^|[ \t\r\n])login[ \t\r\n]+[^ \t\r\n]+[ \t\r\n]+password[ \t\r\n]+([^ \t\r\n]+)",
    r"<(?i-u:[a-z0-9_.:-]*(?:password|passwd|passphrase|secret|token|apikey))>([^<>\n]+)</",
    r"(?m)^[ \t]*(?:requirepass|masterauth)[ \t]+([^ \t\r\n]+)",
];

/// The value of an Authorization header; plain words after `Basic` or `bearer` are prose.
const HEADER: &str = r"(?i-u:bearer|basic|negotiate)(?: |%20)+([A-Za-z0-9._~+/=-]{6,})";

static PATTERNS: LazyLock<Vec<Regex>> =
    LazyLock::new(|| SHAPES.iter().copied().map(regex).chain([regex(&TOKENS.join("|"))]).collect());
static AUTHORIZATION: LazyLock<Regex> = LazyLock::new(|| regex(HEADER));
static PEM: LazyLock<Regex> = LazyLock::new(|| regex("-----(BEGIN|END) [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"));

/// How far an END line may be from its BEGIN line, in bytes: an RSA key of 16384 bits fits, indented and escaped.
const PEM_MAX: usize = 32 << 10;

/// What is secret by its shape, pattern by pattern: each yields the ranges to redact, in order, apart from each other.
pub(super) fn passes() -> impl Iterator<Item = impl Fn(&str) -> Vec<Range<usize>>> {
    PATTERNS.iter().map(|pattern| {
        |text: &str| {
            let secret = |found: regex::Captures<'_>| found.get(1).or_else(|| found.get(0)).map(|part| part.range());
            pattern.captures_iter(text).filter_map(secret).collect()
        }
    })
}

/// The values of Authorization headers.
pub(super) fn authorization(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(value) = AUTHORIZATION.captures_at(text, at).and_then(|header| header.get(1)) {
        // a plain word may itself be the scheme of a header
        let prose = keys::plain(value.as_str());
        at = if prose { value.start() } else { value.end() };
        if !prose {
            found.push(value.range());
        }
    }
    found
}

/// PEM blocks of private keys, also where a log or an event cut off their beginning or end.
pub(super) fn private_keys(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut done = 0;
    let mut lines = PEM.captures_iter(text).peekable();
    while let Some(line) = lines.next() {
        let Some((line, kind)) = line.get(0).zip(line.get(1)) else { continue };
        let range = if kind.as_str() == "END" {
            body_before(text, done, line.start())..line.end()
        } else {
            let end = lines.next_if(|next| {
                next.get(0).is_some_and(|next| next.start() - line.end() <= PEM_MAX)
                    && next.get(1).is_some_and(|kind| kind.as_str() == "END")
            });
            match end.and_then(|end| end.get(0)) {
                Some(end) => line.start()..end.end(),
                None => line.start()..body_after(text, line.end()),
            }
        };
        done = range.end;
        found.push(range);
    }
    found
}

/// The end of the base64 lines that follow `from`, raw or escaped.
fn body_after(text: &str, from: usize) -> usize {
    static BODY: LazyLock<Regex> = LazyLock::new(|| regex(r"^(?:(?:[ \t\r\n]|\\+[nrt])+[A-Za-z0-9+/=]{16,})+"));
    let rest = text.get(from..).unwrap_or_default();
    BODY.find(rest).map_or(from, |body| from + body.end())
}

/// The beginning of the base64 lines that end at `to`, not before `from`.
fn body_before(text: &str, from: usize, to: usize) -> usize {
    let mut start = to;
    for line in text.get(from..to).unwrap_or_default().split_inclusive('\n').rev() {
        let part = line.trim();
        let base64 = part.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=\\".contains(&b));
        // only the last line of the body, and what stands before END on its own line, may be short
        if !base64
            || part.len() < 16 && text.get(start..to).is_some_and(|body| body.trim().len() >= 16)
            || part.is_empty() && start < to
        {
            break;
        }
        start -= line.len();
    }
    start
}

#[cfg(test)]
mod tests {
    use crate::reply::redact::Redactor;

    #[test]
    fn a_known_token_is_redacted_wherever_it_stands() {
        let a = |n: usize| "aB3".repeat(n).chars().take(n).collect::<String>();
        let hex = |n: usize| "0a1b".repeat(n).chars().take(n).collect::<String>();
        let letters = |n: usize| "abXy".repeat(n).chars().take(n).collect::<String>();
        let tokens = [
            "AKIAIOSFODNN7EXAMPLE".to_owned(),
            "ASIAIOSFODNN7EXAMPLE".to_owned(),
            format!("ghp_{}", a(36)),
            format!("gho_{}", a(36)),
            format!("ghs_{}", a(36)),
            format!("github_pat_{}_{}", a(22), a(59)),
            format!("glpat-{}", a(20)),
            format!("xoxb-123456789012-{}", a(24)),
            format!("AIza{}", a(35)),
            format!("sk-ant-api03-{}", a(80)),
            format!("sk-proj-{}", a(48)),
            format!("sk-{}", a(48)),
            format!("sk_live_{}", a(24)),
            format!("rk_live_{}", a(24)),
            format!("npm_{}", a(36)),
            format!("pypi-AgEIcHlwaS5vcmc{}", a(60)),
            format!("SG.{}.{}", a(22), a(43)),
            format!("SK{}", hex(32)),
            format!("hf_{}", letters(34)),
            format!("hvs.{}", a(24)),
            format!("dop_v1_{}", hex(64)),
            format!("AGE-SECRET-KEY-1{}", "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7LQPZRY9X8GF2TVDW0S3JN54KHCE"),
            format!("$2b$12${}", a(53)),
            format!("LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQ{}", a(90)),
            format!("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.{}", a(86)),
            "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0".to_owned(),
        ];
        for token in &tokens {
            for (before, after) in
                [("", ""), ("at=", " done"), (r"\n", r"\n"), ("\u{1b}[36m", "\u{1b}[0m"), ("\"", "\","), ("(", ")")]
            {
                if token.starts_with("sk-aB") && before.ends_with(['n', 'm']) {
                    continue;
                }
                let out = Redactor::default().text(&format!("{before}{token}{after}")).into_owned();
                assert!(
                    out.contains("[redacted#1]") && !out.contains(token.get(12..).unwrap()),
                    "{before}{token}: {out}"
                );
            }
        }
    }

    #[test]
    fn only_the_secret_part_of_a_shape_goes() {
        let cases = [
            ("postgres://app:s3cr3t@db:5432/shop", "postgres://app:[redacted#1]@db:5432/shop"),
            ("redis://:hunter2@redis:6379/0", "redis://:[redacted#1]@redis:6379/0"),
            ("amqp://u:p@ss@mq/v", "amqp://u:[redacted#1]@mq/v"),
            ("mongodb://u:a/b@h1:1,h2:2/x", "mongodb://u:[redacted#1]@h1:1,h2:2/x"),
            (
                "https://0123456789abcdef0123456789abcdef@o1.ingest.sentry.io/2",
                "https://[redacted#1]@o1.ingest.sentry.io/2",
            ),
            ("app:s3cr3t@tcp(db:3306)/shop", "app:[redacted#1]@tcp(db:3306)/shop"),
            ("http://web:8080/x?to=a@b.c", "http://web:8080/x?to=a@b.c"),
            ("Authorization: Bearer abc.def-123", "Authorization: Bearer [redacted#1]"),
            ("authorization=Basic dXNlcjpwYXNz", "authorization=Basic [redacted#1]"),
            ("Bearer authentication failed, basic auth required", "Bearer authentication failed, basic auth required"),
            ("AKIAIOSFODNN7EXAMPLE,wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "[redacted#2],[redacted#1]"),
            ("curl -u admin:hunter2 https://x", "curl -u admin:[redacted#1] https://x"),
            ("machine h login u password pw1", "machine h login u password [redacted#1]"),
            ("<password>hunter2</password>", "<password>[redacted#1]</password>"),
            (
                "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
                "https://hooks.slack.com/services/[redacted#1]",
            ),
            (
                "https://a.blob.core.windows.net/c?sv=2024&sig=abc%2Bdef0123456789%3D",
                "https://a.blob.core.windows.net/c?sv=2024&sig=[redacted#1]",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(Redactor::default().text(text), expected);
        }
    }

    #[test]
    fn a_pem_block_is_redacted_whole() {
        let line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
        let cases = [
            (
                format!("a\n-----BEGIN RSA PRIVATE KEY-----\n{line}\n{line}\nabc=\n-----END RSA PRIVATE KEY-----\nb"),
                "a\n[redacted#1]\nb",
            ),
            (
                format!(r#"{{"k":"-----BEGIN PRIVATE KEY-----\n{line}\n-----END PRIVATE KEY-----\n"}}"#),
                r#"{"k":"[redacted#1]\n"}"#,
            ),
            (
                format!("x -----BEGIN OPENSSH PRIVATE KEY-----\n  {line}\n  {line}\nnext line of the log"),
                "x [redacted#1]\nnext line of the log",
            ),
            (format!("log\n{line}\n{line}\nabc=\n-----END EC PRIVATE KEY-----\nb"), "log\n[redacted#1]\nb"),
            ("expected -----BEGIN PRIVATE KEY----- in the file".to_owned(), "expected [redacted#1] in the file"),
        ];
        for (text, expected) in cases {
            assert_eq!(Redactor::default().text(&text), expected);
        }
        for public in ["CERTIFICATE", "PUBLIC KEY", "RSA PUBLIC KEY"] {
            let text = format!("-----BEGIN {public}-----\n{line}\n-----END {public}-----\n");
            assert_eq!(Redactor::default().text(&text), text);
        }
    }
}
