//! The grammar of selectors, checked before anything is sent. The API server reads them; this refuses what it would
//! refuse, with a message that names the argument.

use super::{Argument, ToolError};
use crate::reply::sanitize::quoted;

/// Longest selector.
const MAX: usize = 2048;

/// Checks a label selector: `a=b`, `a!=b`, `a`, `!a`, `a in (b,c)`, `a notin (b)`, joined by commas.
pub(super) fn label_selector(argument: &Argument, text: &str) -> Result<String, ToolError> {
    let wrong = |part: &str| {
        ToolError::invalid(
            argument.name,
            format!("{} is no label requirement; write app=web,tier!=db,env in (a,b),!legacy", quoted(part)),
        )
    };
    if text.len() > MAX {
        return Err(ToolError::invalid(argument.name, format!("is longer than {MAX} bytes")));
    }
    for part in split(text).ok_or_else(|| wrong(text))? {
        if !requirement(part) {
            return Err(wrong(part));
        }
    }
    Ok(text.to_owned())
}

/// Checks a field selector: `path=value`, `path!=value`, joined by commas.
pub(super) fn field_selector(argument: &Argument, text: &str) -> Result<String, ToolError> {
    if text.len() > MAX {
        return Err(ToolError::invalid(argument.name, format!("is longer than {MAX} bytes")));
    }
    for part in text.split(',') {
        let fits =
            part.split_once("!=").or_else(|| part.split_once("==")).or_else(|| part.split_once('=')).is_some_and(
                |(path, value)| {
                    let path = path.trim();
                    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
                    !path.is_empty()
                        && path.chars().all(plain)
                        && !value.contains(['=', '\\'])
                        && value.chars().all(printable)
                },
            );
        if !fits {
            let text = format!("{} is no field requirement; write status.phase!=Running", quoted(part));
            return Err(ToolError::invalid(argument.name, text));
        }
    }
    Ok(text.to_owned())
}

fn printable(c: char) -> bool {
    c.is_ascii_graphic() || c == ' '
}

/// Parts between the commas that are not inside parentheses.
fn split(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut inside) = (Vec::new(), 0, false);
    for (i, c) in text.char_indices() {
        match (c, inside) {
            ('(', false) => inside = true,
            (')', true) => inside = false,
            ('(', true) | (')', false) => return None,
            (',', false) => {
                parts.push(text.get(start..i)?.trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..)?.trim());
    (!inside).then_some(parts)
}

fn requirement(part: &str) -> bool {
    if let Some(key) = part.strip_prefix('!') {
        return is_key(key.trim());
    }
    if let Some((head, values)) = part.strip_suffix(')').and_then(|p| p.split_once('(')) {
        let head = head.trim();
        let key = head.strip_suffix(" notin").or_else(|| head.strip_suffix(" in"));
        return key.is_some_and(|key| is_key(key.trim())) && values.split(',').all(|v| is_value(v.trim()));
    }
    match part.split_once("!=").or_else(|| part.split_once("==")).or_else(|| part.split_once('=')) {
        Some((key, value)) => is_key(key.trim()) && is_value(value.trim()),
        None => is_key(part),
    }
}

/// A label key: an optional DNS prefix and a name.
fn is_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let dns = |p: &str| {
        !p.is_empty()
            && p.len() <= 253
            && p.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.'))
    };
    prefix.is_none_or(dns) && !name.is_empty() && is_value(name)
}

/// A label value: empty, or up to 63 of letters, digits, `-`, `_`, `.`, with a letter or digit at both ends.
fn is_value(value: &str) -> bool {
    let ends = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    value.len() <= 63
        && value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && ends(value.chars().next())
        && ends(value.chars().next_back())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::arguments::{FIELD_SELECTOR, LABEL_SELECTOR};

    #[test]
    fn label_selectors() {
        for (text, fits) in [
            ("app=web", true),
            ("app==web,tier!=db", true),
            ("app.kubernetes.io/name=web", true),
            ("env in (a, b),!legacy,team", true),
            ("env notin (a)", true),
            ("app=", true),
            ("app=../../x", false),
            ("app=web&watch=true", false),
            ("app=a%2fb", false),
            ("app=a?b#c", false),
            ("a/b/c=x", false),
            ("/x=y", false),
            ("env in (a", false),
            ("env in a)", false),
            ("env like (a)", false),
            (",", false),
            ("-x=y", false),
            ("a=b c", false),
        ] {
            assert_eq!(label_selector(&LABEL_SELECTOR, text).is_ok(), fits, "{text}");
        }
        assert!(label_selector(&LABEL_SELECTOR, &"a,".repeat(2000)).is_err());
    }

    #[test]
    fn field_selectors() {
        for (text, fits) in [
            ("status.phase!=Running", true),
            ("metadata.name=web-0,spec.nodeName==n1", true),
            ("involvedObject.kind=Pod", true),
            ("status.phase", false),
            ("../x=y", false),
            ("a=b=c", false),
            ("=x", false),
            ("a=\u{202e}", false),
        ] {
            assert_eq!(field_selector(&FIELD_SELECTOR, text).is_ok(), fits, "{text}");
        }
    }
}
