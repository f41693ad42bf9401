//! Label selectors over clusters.

use crate::api;
use std::collections::{BTreeMap, BTreeSet};

/// A compiled, non-empty label selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector(Vec<(String, Requirement)>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    Exists,
    Absent,
}

impl Selector {
    /// Compiles a selector of the wire.
    ///
    /// # Errors
    /// With what is wrong, when it is empty or an operator and its values do not fit.
    pub fn compile(wire: &api::LabelSelector) -> Result<Self, String> {
        let api::LabelSelector { match_labels, match_expressions } = wire;
        let mut all: Vec<(String, Requirement)> = match_labels
            .iter()
            .map(|(key, value)| (key.clone(), Requirement::In(BTreeSet::from([value.clone()]))))
            .collect();
        for api::LabelSelectorRequirement { key, operator, values } in match_expressions {
            let set: BTreeSet<String> = values.iter().cloned().collect();
            let requirement = match (operator, set.is_empty()) {
                (api::LabelSelectorOperator::In, false) => Requirement::In(set),
                (api::LabelSelectorOperator::NotIn, false) => Requirement::NotIn(set),
                (api::LabelSelectorOperator::Exists, true) => Requirement::Exists,
                (api::LabelSelectorOperator::DoesNotExist, true) => Requirement::Absent,
                _ => return Err(format!("{key}: In and NotIn need values, Exists and DoesNotExist take none")),
            };
            all.push((key.clone(), requirement));
        }
        if all.is_empty() {
            return Err("an empty selector would mean every cluster; name the labels that are meant".to_owned());
        }
        Ok(Self(all))
    }

    /// Whether labels meet every requirement.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|(key, requirement)| match (requirement, labels.get(key)) {
            (Requirement::In(set), Some(value)) => set.contains(value),
            (Requirement::NotIn(set), Some(value)) => !set.contains(value),
            (Requirement::Exists, Some(_)) | (Requirement::NotIn(_) | Requirement::Absent, None) => true,
            (Requirement::In(_) | Requirement::Exists, None) | (Requirement::Absent, Some(_)) => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_selector_matches_as_in_kubernetes() {
        let prod = BTreeMap::from([("env".to_owned(), "prod".to_owned()), ("region".to_owned(), "eu".to_owned())]);
        for (wire, expected) in [
            (json!({"matchLabels": {"env": "prod"}}), true),
            (json!({"matchLabels": {"env": "prod", "region": "us"}}), false),
            (json!({"matchLabels": {"team": "a"}}), false),
            (json!({"matchExpressions": [{"key": "region", "operator": "In", "values": ["us", "eu"]}]}), true),
            (json!({"matchExpressions": [{"key": "region", "operator": "NotIn", "values": ["us"]}]}), true),
            (json!({"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a"]}]}), true),
            (json!({"matchExpressions": [{"key": "team", "operator": "Exists"}]}), false),
            (json!({"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}), true),
            (json!({"matchExpressions": [{"key": "env", "operator": "DoesNotExist"}]}), false),
        ] {
            let selector = Selector::compile(&serde_json::from_value(wire.clone()).unwrap()).unwrap();
            assert_eq!(selector.matches(&prod), expected, "{wire}");
        }
    }

    #[test]
    fn an_empty_or_contradictory_selector_is_refused() {
        for wire in [
            json!({}),
            json!({"matchLabels": {}}),
            json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
            json!({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}]}),
        ] {
            assert!(Selector::compile(&serde_json::from_value(wire.clone()).unwrap()).is_err(), "{wire}");
        }
    }
}
