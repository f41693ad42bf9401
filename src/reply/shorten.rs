//! Objects with long texts, made to fit: the texts lose their ends, so that the fields after them keep their place.

use serde_json::Value;

/// Longest annotation, whatever other texts may have.
const ANNOTATION: usize = 256;

/// `binaryData` of a ConfigMap as sizes: nobody reads base64, and what it holds cannot be redacted.
pub fn sizes(object: &mut Value) {
    let Some(data) = object.get_mut("binaryData").and_then(Value::as_object_mut) else { return };
    for value in data.values_mut() {
        let bytes = value.as_str().map_or(0, |text| text.trim_end_matches('=').len() * 3 / 4);
        *value = Value::String(format!("({bytes} bytes)"));
    }
}

/// Cuts every text of more than `max` bytes, at a line where there is one, and says how long it is. Shorter than that
/// saying it never gets.
pub fn shorten(value: &mut Value, max: usize) {
    match value {
        Value::String(text) => {
            if let Some(short) = cut(text, max) {
                *text = short;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| shorten(value, max)),
        Value::Object(map) => {
            for (key, value) in map {
                shorten(value, if key == "annotations" { max.min(ANNOTATION) } else { max });
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn cut(text: &str, max: usize) -> Option<String> {
    if text.len() <= max {
        return None;
    }
    let end = (0..=max).rev().find(|at| text.is_char_boundary(*at))?;
    let head = text.get(..end)?;
    let head = match head.rfind('\n') {
        Some(line) if line > max / 2 => head.get(..=line)?,
        _ => head,
    };
    let lines = text.lines().count();
    let size = if lines > 1 { format!("{lines} lines, {} bytes", text.len()) } else { format!("{} bytes", text.len()) };
    let short = format!("{head}… ({size} in all)");
    (short.len() < text.len()).then_some(short)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn long_texts_lose_their_ends_and_fields_after_them_stay() {
        let lines = (0..100).map(|n| format!("line {n}")).collect::<Vec<_>>().join("\n") + "\n";
        let mut object = json!({"metadata": {"annotations": {"a": "x".repeat(600)}},
                                "data": {"big": lines, "one": "é".repeat(500), "small": "y"}, "status": {"phase": "Bad"}});
        shorten(&mut object, 400);
        let big = object["data"]["big"].as_str().unwrap();
        assert!(big.starts_with("line 0\nline 1\n") && big.ends_with("\n… (100 lines, 790 bytes in all)"), "{big}");
        assert_eq!(object["data"]["one"], json!(format!("{}… (1000 bytes in all)", "é".repeat(200))));
        assert_eq!(object["metadata"]["annotations"]["a"], json!(format!("{}… (600 bytes in all)", "x".repeat(256))));
        assert_eq!((&object["data"]["small"], &object["status"]["phase"]), (&json!("y"), &json!("Bad")));
    }

    #[test]
    fn a_text_never_gets_longer() {
        for length in 0..60 {
            let mut value = json!("z".repeat(length));
            shorten(&mut value, 10);
            assert!(value.as_str().unwrap().len() <= length, "{length}");
        }
    }

    #[test]
    fn binary_data_is_shown_as_sizes() {
        let mut object = json!({"binaryData": {"keystore": "AAECAw==", "empty": ""}});
        sizes(&mut object);
        assert_eq!(object, json!({"binaryData": {"keystore": "(4 bytes)", "empty": "(0 bytes)"}}));
    }
}
