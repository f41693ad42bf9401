//! Secrets that are known by the name beside them, in any text: logs, `.env`, properties, INI, YAML, JSON, command
//! lines.

use std::{ops::Range, sync::LazyLock};

use regex::Regex;

use super::{
    keys::{self, Kind},
    mark_at, regex,
};

/// Characters of a name.
const NAME: &str = "[A-Za-z0-9_./-]";
/// Colours, which loggers put between a name and its value.
const COLOUR: &str = r"(?:(?:\x1b|\\u001[bB]|\\x1[bB]|\\033)\[[0-9;]*m)*";

static ASSIGNMENT: LazyLock<Regex> = LazyLock::new(|| {
    let stem = keys::STEMS;
    regex(&format!(r#"({NAME}*{stem}{NAME}*)({COLOUR}\\*["'`]?\]?{COLOUR}[ \t]*(?::=|=>|[:=])[ \t]*{COLOUR})"#))
});
static PAIR: LazyLock<Regex> = LazyLock::new(|| {
    regex(&format!(
        r#"(?i-u:\b(?:name|key))\\*["']?[ \t]*[:=][ \t]*\\*["']?({NAME}{{1,256}})\\*["']?(?:[ \t\r\n,]|\\[nr]){{1,40}}\\*["']?((?i-u:value))\\*["']?[ \t]*[:=][ \t]*"#
    ))
});
static FLAG: LazyLock<Regex> = LazyLock::new(|| {
    let stem = keys::STEMS;
    regex(&format!(
        r#"(?:^|[ \t\r\n"'\[,=])--?({NAME}*{stem}{NAME}*)(?:[ \t]+|\\*["'],?[ \t\r\n]{{0,40}}\\*["']|["']?\r?\n[ \t]{{0,40}}- )"#
    ))
});

/// Words that follow a flag in a sentence about it.
const AFTER_FLAG: &[&str] = &[
    "and", "are", "as", "cannot", "could", "flag", "flags", "for", "from", "has", "if", "in", "is", "may", "must",
    "not", "option", "or", "requires", "should", "to", "value", "was", "with",
];

/// `KEY=value`, `key: value`, `"key": "value"`.
pub(super) fn assignments(text: &str) -> Vec<Range<usize>> {
    scan(text, &ASSIGNMENT, |found| {
        let (name, separator) = (found.get(1)?, found.get(2)?);
        let rest = text.get(separator.end()..)?;
        if rest.starts_with(['=', ':', '~']) || rest.starts_with("//") {
            return None; // a comparison, a path of a module, the scheme of a URL
        }
        // the n of an escaped newline is no part of the name
        let escaped = text.get(..name.start())?.ends_with('\\') && name.as_str().starts_with(['n', 'r', 't']);
        let start = name.start() + usize::from(escaped);
        let kind = keys::kind(text.get(start..name.end())?).filter(|kind| *kind != Kind::Locator)?;
        let sentence = matches!(separator.as_str(), ": " | ":  ");
        Some(Asked { kind, name: start, at: separator.end(), sentence, not: &[] })
    })
}

/// `name: KEY` followed by `value: …`, as in an env list.
pub(super) fn pairs(text: &str) -> Vec<Range<usize>> {
    scan(text, &PAIR, |found| {
        let kind = keys::kind(found.get(1)?.as_str())?;
        Some(Asked { kind, name: found.get(2)?.start(), at: found.get(0)?.end(), sentence: false, not: &[] })
    })
}

/// `--key value`, in a shell's command line or as two items of a list.
pub(super) fn flags(text: &str) -> Vec<Range<usize>> {
    scan(text, &FLAG, |found| {
        let (name, at) = (found.get(1)?, found.get(0)?.end());
        let kind = keys::kind(name.as_str())?;
        if text.get(at..)?.starts_with('-') {
            return None;
        }
        // the opening quote belongs to the value
        let at = text.get(..at)?.trim_end_matches(['"', '\'']).trim_end_matches('\\').len();
        Some(Asked { kind, name: name.start(), at, sentence: false, not: AFTER_FLAG })
    })
}

/// A place where the name said that a secret follows.
struct Asked {
    kind: Kind,
    /// Where the name begins, in bytes.
    name: usize,
    /// Where the value begins.
    at: usize,
    /// Whether the separator is one of prose too: `could not fetch token: expired`.
    sentence: bool,
    /// Values that show that this is a sentence.
    not: &'static [&'static str],
}

/// The values that `ask` asks for. Each value is passed over once it is judged, so the whole is linear.
fn scan(text: &str, pattern: &Regex, ask: impl Fn(&regex::Captures<'_>) -> Option<Asked>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(captures) = pattern.captures_at(text, at) {
        at = captures.get(0).map_or(text.len(), |whole| whole.end());
        let Some(asked) = ask(&captures) else { continue };
        let Some(value) = value(text, &asked) else { continue };
        let secret = text.get(value.clone()).unwrap_or_default();
        if asked.not.contains(&secret) {
            continue;
        }
        at = at.max(value.end);
        if !keys::harmless(asked.kind, secret) {
            found.push(value);
        }
    }
    found
}

/// The extent of the value, without its quotes; none where something else than a secret begins there.
fn value(text: &str, asked: &Asked) -> Option<Range<usize>> {
    let rest = text.get(asked.at..)?;
    let range = |start: usize, len: usize| Some(asked.at + start..asked.at + start + len);
    let indent = indent(text, asked.name);
    if let Some((start, len)) = quoted(rest, indent.is_some()) {
        return range(start, len);
    }
    if rest.starts_with('{') && !rest.starts_with("{{") {
        return None;
    }
    if let Some(len) = mark_at(rest)
        && word(rest) == len
    {
        return range(0, len);
    }
    if rest.starts_with('[') && mark_at(rest).is_none() {
        return if asked.kind == Kind::Auth { None } else { list(rest).and_then(|len| range(0, len)) };
    }
    if let Some(indent) = indent {
        let line = line(rest);
        if matches!(line.trim_end_matches(|c: char| c.is_ascii_digit() || "+-".contains(c)), "|" | ">") {
            let (start, len) = block(rest, indent);
            return range(start, len);
        }
        let line = line.split(" #").next().unwrap_or(line).trim_end_matches([',', ' ']);
        let value = keys::without_scheme(line);
        if !others(value) && (asked.kind == Kind::Password || !value.contains(' ')) {
            return range(line.len() - value.len(), value.len());
        }
    }
    let start = rest.len() - keys::without_scheme(rest).len();
    let rest = rest.get(start..)?;
    let value = rest.get(..word(rest))?;
    let alone = indent.is_some() && line(rest).len() == value.len();
    if asked.sentence && !alone && keys::plain(value) { None } else { range(start, value.len()) }
}

/// Longest list that is taken whole, in bytes.
const MAX_LIST: usize = 4096;

/// The rest of the line, up to a line break, raw or escaped.
fn line(rest: &str) -> &str {
    let breaks = |(at, b): &(usize, u8)| *b == b'\n' || *b == b'\\' && rest.as_bytes().get(at + 1) == Some(&b'n');
    let end = rest.bytes().enumerate().find(breaks).map_or(rest.len(), |(at, _)| at);
    rest.get(..end).unwrap_or(rest).trim_end()
}

/// The length of a list on one line, with what follows it at once; none if it holds numbers only.
fn list(rest: &str) -> Option<usize> {
    // Each list is looked through once more for each name before it: the bound keeps that linear.
    let end = (0..=rest.len().min(MAX_LIST)).rev().find(|at| rest.is_char_boundary(*at))?;
    let line = line(rest.get(..end)?);
    let list = line.find(']').map_or(line, |end| line.get(..=end).unwrap_or(line));
    let numbers = list.bytes().all(|b| b.is_ascii_digit() || b"[], ".contains(&b));
    (!numbers).then(|| list.len() + word(rest.get(list.len()..).unwrap_or_default()))
}

/// The indentation of the line that the name at `at` begins; none if other words come before it.
fn indent(text: &str, at: usize) -> Option<usize> {
    let before = text.as_bytes().get(at.saturating_sub(64)..at)?;
    let line = before.rsplit(|b| *b == b'\n').next()?;
    let escaped = line.windows(2).rposition(|pair| pair == b"\\n").map_or(0, |at| at + 2);
    let line = line.get(escaped..)?;
    if line.len() == before.len() && at > before.len() {
        return None; // a long line
    }
    let indent = line.iter().take_while(|b| b" \t-".contains(b)).count();
    let words = line.iter().filter(|b| !b" \t-+#\"'".contains(b)).copied().collect::<Vec<u8>>();
    matches!(words.as_slice(), b"" | b"export" | b"set" | b"ENV").then_some(indent)
}

/// Start and length of what stands between quotes at the beginning of `rest`, raw or escaped (`\"`, `\\\"`).
fn quoted(rest: &str, many_lines: bool) -> Option<(usize, usize)> {
    let slashes = rest.bytes().take_while(|b| *b == b'\\').count();
    let quote = *rest.as_bytes().get(slashes)?;
    if !b"\"'`".contains(&quote) {
        return None;
    }
    let start = slashes + 1;
    let body = rest.as_bytes().get(start..)?;
    let mut run = 0;
    let mut line = None;
    for (at, b) in body.iter().enumerate() {
        match *b {
            b'\\' => run += 1,
            b if b == quote
                && (run <= slashes || slashes == 0 && run % 2 == 0)
                && (quote != b'\'' || body.get(at + 1) != Some(&b'\'')) =>
            {
                return Some((start, at - run.min(slashes)));
            }
            b'\n' if line.is_none() => {
                line = Some(at);
                if !many_lines {
                    break;
                }
                run = 0;
            }
            _ if line.is_some_and(|line| at > line + 4096) => break,
            _ => run = 0,
        }
    }
    // not closed: the rest of the line
    Some((start, line.unwrap_or(body.len())))
}

/// Start and length of a YAML block scalar: the lines after this one that are indented deeper.
fn block(rest: &str, indent: usize) -> (usize, usize) {
    let mut lines = rest.split_inclusive('\n');
    let head = lines.next().map_or(0, str::len);
    let deeper = |line: &&str| line.trim().is_empty() || line.bytes().take_while(|b| *b == b' ').count() > indent;
    let body: usize = lines.take_while(deeper).map(str::len).sum();
    let text = rest.get(head..head + body).unwrap_or_default();
    let start = text.len() - text.trim_start().len();
    (head + start, text.trim().len())
}

/// Whether further `key=value` fields stand on the line.
fn others(line: &str) -> bool {
    static FIELD: LazyLock<Regex> = LazyLock::new(|| regex(r"[ \t\r\n,;&][A-Za-z_][A-Za-z0-9_. -]{0,64}="));
    FIELD.is_match(line)
}

/// The length of the value that begins the line, up to what separates fields.
fn word(line: &str) -> usize {
    static FIELD: LazyLock<Regex> = LazyLock::new(|| regex(r#"^(?:[ \t\r\n"']|$|[A-Za-z_][A-Za-z0-9_.-]{0,64}[=:])"#));
    let mut open = 0_u32;
    for (at, c) in line.char_indices() {
        let rest = line.get(at + c.len_utf8()..).unwrap_or_default();
        let stop = match c {
            '"' | '\'' | '`' | ';' | '\u{1b}' => true,
            ',' | '&' => FIELD.is_match(rest),
            '\\' => rest.starts_with(['n', 'r', 't', '"', '\'']),
            '<' => rest.starts_with('/'),
            '(' | '[' | '{' => {
                open += 1;
                false
            }
            ')' | ']' | '}' => {
                let closes = open == 0;
                open = open.saturating_sub(1);
                closes
            }
            // {{ .Values.x }} is one value
            c => c.is_whitespace() && !(line.starts_with("{{") && open > 0),
        };
        if stop {
            return at;
        }
    }
    line.len()
}
