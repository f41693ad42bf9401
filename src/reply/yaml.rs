//! Objects as YAML without noise. The only place that names `serde_yaml`.

use regex::Regex;
use std::{fmt::Write as _, iter, sync::LazyLock};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::sanitize;

/// The object as YAML, keys in their order. It reads back as the same object, by YAML 1.1 (kubectl) too. What nobody
/// could see (control, zero-width, bidirectional characters) is escaped within double quotes; tag characters and
/// variation selectors are dropped.
pub fn to_yaml(value: &Value) -> String {
    let mut value = value.clone();
    guard(&mut value);
    // A JSON value always has a YAML form: its keys are strings, its numbers finite.
    unguard(&serde_yaml::to_string(&value).unwrap_or_default())
}

/// The documents of a YAML (or JSON) stream. For text that is already bounded in length.
///
/// # Errors
/// With line and column, where it does not parse; and where it has anchors or aliases, by which a text of a few KiB can
/// stand for gigabytes.
pub fn documents(text: &str) -> Result<Vec<Value>, String> {
    static ALIAS: LazyLock<Regex> = LazyLock::new(|| super::regex(r"(?m)(?:^|[ \t\[{,:-])[*&][0-9A-Za-z_-]"));
    if ALIAS.is_match(text) {
        return Err("YAML anchors and aliases (&a, *a) are not supported; write the value out".to_owned());
    }
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).map_err(|e| e.to_string()))
        .collect()
}

/// Stands around the hexadecimal number of an invisible character: control characters make the emitter quote the whole
/// string and write them as `\x01` and `\x02`.
const GUARDS: (char, char) = ('\u{1}', '\u{2}');

/// Puts every invisible character that the emitter would write as it is between guards.
fn guard(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(guarded) = guarded(text) {
                *text = guarded;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(guard),
        Value::Object(map) => {
            map.values_mut().for_each(guard);
            if map.keys().any(|key| guarded(key).is_some()) {
                *map =
                    std::mem::take(map).into_iter().map(|(key, value)| (guarded(&key).unwrap_or(key), value)).collect();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Between the guards at the end of a string that is to be quoted for another reason.
const QUOTE: &str = "quote it";

/// Whether kubectl's parser (YAML 1.1) takes the plain text for a boolean or a number, which the emitter (YAML 1.2)
/// does not know.
fn ambiguous(text: &str) -> bool {
    let number =
        |text: &str| text.contains('_') && text.bytes().all(|b| b.is_ascii_hexdigit() || b"_+-.xob".contains(&b));
    ["y", "n", "yes", "no", "on", "off"].iter().any(|word| text.eq_ignore_ascii_case(word)) || number(text)
}

/// The text with guards; none if it needs none.
fn guarded(text: &str) -> Option<String> {
    let escaped = |c: char| sanitize::invisible(c) && c != '\n';
    if ambiguous(text) {
        return Some(format!("{text}{}{QUOTE}{}", GUARDS.0, GUARDS.1));
    }
    if !text.contains(escaped) {
        return None;
    }
    let mut out = String::new();
    for c in text.chars().filter(|c| !sanitize::hidden(*c)) {
        if escaped(c) {
            let _ = write!(out, "{}{:08X}{}", GUARDS.0, u32::from(c), GUARDS.1);
        } else {
            out.push(c);
        }
    }
    Some(out)
}

/// Turns what the emitter made of the guards into YAML escapes.
fn unguard(text: &str) -> String {
    let mut parts = text.split(r"\x01");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let Some((between, rest)) = part.split_once(r"\x02") else {
            let _ = write!(out, r"\x01{part}");
            continue;
        };
        let _ = match u32::from_str_radix(between, 16).ok().filter(|_| between.len() == 8) {
            Some(0x09) => write!(out, r"\t{rest}"),
            Some(code @ 0..=0xff) => write!(out, r"\x{code:02x}{rest}"),
            Some(code @ 0..=0xffff) => write!(out, r"\u{code:04x}{rest}"),
            Some(code) => write!(out, r"\U{code:08x}{rest}"),
            None if between == QUOTE => write!(out, "{rest}"),
            None => write!(out, r"\x01{part}"),
        };
    }
    out
}

/// Removes what tells nothing from an object, or from each object of a list: server bookkeeping, nulls, the defaults
/// that the API server fills in, the volume of the token that every pod gets. Empty maps and lists stay unless the
/// field is known to mean nothing then: `emptyDir: {}` and `podSelector: {}` do mean something.
pub fn clean(object: &mut Value) {
    if let Some(items) = object.get_mut("items").and_then(Value::as_array_mut) {
        items.iter_mut().for_each(clean);
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for key in ["managedFields", "selfLink", "uid", "resourceVersion", "generation"] {
            metadata.shift_remove(key);
        }
    }
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        match kind.as_str() {
            "Service" => service(spec),
            "Deployment" | "StatefulSet" | "DaemonSet" => {
                drop_equal(spec, &[("progressDeadlineSeconds", json!(600)), ("revisionHistoryLimit", json!(10))]);
            }
            _ => {}
        }
    }
    walk(object);
}

/// Cleans every map; what its defaults leave empty goes with them.
fn walk(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(walk),
        Value::Object(map) => {
            annotations(map);
            if map.get("containers").is_some_and(Value::is_array) {
                pod(map);
            }
            for (key, inner) in map.iter_mut() {
                // names chosen by somebody: keys of a ConfigMap, properties of a schema
                if !matches!(key.as_str(), "data" | "binaryData" | "openAPIV3Schema") {
                    walk(inner);
                }
            }
            map.retain(|key, value| !(value.is_null() || is_empty(value) && EMPTY.contains(&key.as_str())));
        }
        _ => {}
    }
}

/// Fields that mean nothing when empty.
const EMPTY: &[&str] = &[
    "affinity",
    "annotations",
    "args",
    "command",
    "env",
    "envFrom",
    "finalizers",
    "imagePullSecrets",
    "labels",
    "loadBalancer",
    "metadata",
    "nodeSelector",
    "ownerReferences",
    "resources",
    "securityContext",
    "status",
    "tolerations",
    "volumeMounts",
    "volumes",
];

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

/// Removes the annotation that repeats the whole object.
fn annotations(map: &mut Map<String, Value>) {
    if let Some(annotations) = map.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.shift_remove("kubectl.kubernetes.io/last-applied-configuration");
    }
}

/// Removes the fields that have exactly these values.
fn drop_equal(map: &mut Map<String, Value>, defaults: &[(&str, Value)]) {
    for (key, default) in defaults {
        if map.get(*key) == Some(default) {
            map.shift_remove(*key);
        }
    }
}

/// The items of a list field, as maps.
fn each<'a>(map: &'a mut Map<String, Value>, key: &str) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    map.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

/// Defaults of a Service's spec.
fn service(spec: &mut Map<String, Value>) {
    drop_equal(
        spec,
        &[
            ("sessionAffinity", json!("None")),
            ("internalTrafficPolicy", json!("Cluster")),
            ("ipFamilyPolicy", json!("SingleStack")),
        ],
    );
    if !spec.contains_key("ipFamilyPolicy") {
        spec.shift_remove("ipFamilies");
    }
    if spec.get("clusterIPs").and_then(Value::as_array).is_some_and(|all| all.iter().eq(spec.get("clusterIP"))) {
        spec.shift_remove("clusterIPs");
    }
    each(spec, "ports").for_each(|port| drop_equal(port, &[("protocol", json!("TCP"))]));
}

/// Defaults of a pod's spec, of a Pod or in a template.
fn pod(spec: &mut Map<String, Value>) {
    let account = spec.get("serviceAccountName").cloned();
    drop_equal(
        spec,
        &[
            ("dnsPolicy", json!("ClusterFirst")),
            ("restartPolicy", json!("Always")),
            ("schedulerName", json!("default-scheduler")),
            ("terminationGracePeriodSeconds", json!(30)),
            ("enableServiceLinks", json!(true)),
            ("preemptionPolicy", json!("PreemptLowerPriority")),
            ("priority", json!(0)),
            ("serviceAccount", account.unwrap_or_default()),
        ],
    );
    let tokens: Vec<Value> =
        each(spec, "volumes").filter_map(|volume| volume.get("name")).filter(|name| is_token(name)).cloned().collect();
    if let Some(volumes) = spec.get_mut("volumes").and_then(Value::as_array_mut) {
        volumes.retain(|volume| volume.get("name").is_none_or(|name| !tokens.contains(name)));
    }
    for volume in each(spec, "volumes") {
        for source in ["configMap", "secret", "projected", "downwardAPI"] {
            if let Some(source) = volume.get_mut(source).and_then(Value::as_object_mut) {
                drop_equal(source, &[("defaultMode", json!(420))]);
            }
        }
    }
    if let Some(tolerations) = spec.get_mut("tolerations").and_then(Value::as_array_mut) {
        tolerations.retain(|toleration| {
            !["not-ready", "unreachable"].into_iter().any(|state| *toleration == default_toleration(state))
        });
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        each(spec, list).for_each(|each| container(each, &tokens));
    }
}

/// Whether a volume of that name holds the token that every pod gets.
fn is_token(name: &Value) -> bool {
    name.as_str().is_some_and(|name| name.starts_with("kube-api-access-"))
}

/// What the `DefaultTolerationSeconds` admission plugin adds.
fn default_toleration(state: &str) -> Value {
    json!({"key": format!("node.kubernetes.io/{state}"), "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})
}

/// Defaults of a container.
fn container(container: &mut Map<String, Value>, tokens: &[Value]) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let (name, digest) = image.split_once('@').map_or((image, false), |(name, _)| (name, true));
    let tag = name.rsplit('/').next().and_then(|last| last.split_once(':')).map_or("latest", |(_, tag)| tag);
    let pull = if tag == "latest" && !digest { "Always" } else { "IfNotPresent" };
    drop_equal(
        container,
        &[
            ("terminationMessagePath", json!("/dev/termination-log")),
            ("terminationMessagePolicy", json!("File")),
            ("imagePullPolicy", json!(pull)),
        ],
    );
    if let Some(mounts) = container.get_mut("volumeMounts").and_then(Value::as_array_mut) {
        mounts.retain(|mount| mount.get("name").is_none_or(|name| !tokens.contains(name)));
    }
    each(container, "ports").for_each(|port| drop_equal(port, &[("protocol", json!("TCP"))]));
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = container.get_mut(probe).and_then(Value::as_object_mut) else { continue };
        drop_equal(
            probe,
            &[
                ("timeoutSeconds", json!(1)),
                ("periodSeconds", json!(10)),
                ("successThreshold", json!(1)),
                ("failureThreshold", json!(3)),
            ],
        );
        if let Some(get) = probe.get_mut("httpGet").and_then(Value::as_object_mut) {
            drop_equal(get, &[("scheme", json!("HTTP"))]);
        }
    }
    for variable in each(container, "env") {
        let source =
            variable.get_mut("valueFrom").and_then(|source| source.get_mut("fieldRef")).and_then(Value::as_object_mut);
        iter::once(source).flatten().for_each(|source| drop_equal(source, &[("apiVersion", json!("v1"))]));
    }
}

#[cfg(test)]
mod tests;
