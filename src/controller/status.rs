//! What the status of an `McpEndpoint` should say. Pure: the clock is an argument.

use super::count;
use crate::{
    api::{ClusterStatus, McpEndpoint, McpEndpointStatus, Summary},
    endpoint::{Endpoint, Problem, Reason, Tool, Trust},
};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use kube::{ResourceExt as _, core::error_boundary::InvalidObject};
use std::collections::BTreeSet;

/// Problems that a message names before it only counts the rest.
const NAMED_PROBLEMS: usize = 8;

/// What k-mcp makes of one object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    /// Name of the object.
    pub name: String,
    /// What its status says now.
    current: Option<McpEndpointStatus>,
    generation: Option<i64>,
    url: String,
    serving: bool,
    summary: Summary,
    problems: Vec<Problem>,
    clusters: Vec<(String, bool)>,
}

impl Verdict {
    /// Of an object that was compiled.
    pub fn of(object: &McpEndpoint, endpoint: Option<&Endpoint>, problems: &[Problem], url: &str) -> Self {
        let usable = |name: &str| {
            let cluster = endpoint.and_then(|e| e.clusters.get(name));
            cluster.is_some_and(|c| c.upstream.trust != Trust::Unresolved)
        };
        let clusters: Vec<(String, bool)> =
            object.spec.clusters.iter().map(|c| (c.name.clone(), usable(&c.name))).collect();
        let tools: BTreeSet<Tool> = endpoint
            .into_iter()
            .flat_map(|e| &e.rules)
            .filter(|rule| !rule.clusters.is_empty())
            .flat_map(|rule| rule.tools.iter().copied())
            .collect();
        let in_use = clusters.iter().filter(|(_, usable)| *usable).count();
        Self {
            name: object.name_any(),
            current: object.status.clone(),
            generation: object.metadata.generation,
            url: url.to_owned(),
            serving: endpoint.is_some(),
            summary: Summary {
                clusters: format!("{in_use}/{}", clusters.len()),
                tools: i32::try_from(tools.len()).unwrap_or(i32::MAX),
                problems: i32::try_from(problems.len()).unwrap_or(i32::MAX),
            },
            problems: problems.to_vec(),
            clusters,
        }
    }

    /// Of an object that does not have the shape of this version's CRD.
    pub fn unreadable(object: &InvalidObject) -> Self {
        let problem = Problem {
            field: "spec".to_owned(),
            reason: Reason::Invalid,
            message: "does not have the shape of k-mcp.dev/v1alpha1; `k-mcp check FILE` names the field".to_owned(),
            fatal: true,
        };
        Self {
            name: object.metadata.name.clone().unwrap_or_default(),
            current: None,
            generation: object.metadata.generation,
            url: String::new(),
            serving: false,
            summary: Summary { clusters: "0/0".to_owned(), tools: 0, problems: 1 },
            problems: vec![problem],
            clusters: Vec::new(),
        }
    }

    /// Problems of a reason.
    pub fn count(&self, reason: Reason) -> usize {
        count(&self.problems, reason)
    }

    /// The status that the object should have; `None` where it has it already. Times move only with what they time.
    pub fn status(&self, now: Timestamp) -> Option<McpEndpointStatus> {
        let old = self.current.clone().unwrap_or_default();
        let mut conditions = vec![self.accepted()];
        conditions.extend(self.partially_invalid());
        conditions.push(self.ready());
        let conditions = conditions
            .into_iter()
            .map(|(type_, status, reason, message)| {
                let before = old.conditions.iter().find(|c| c.type_ == type_ && (c.status == "True") == status);
                Condition {
                    type_: type_.to_owned(),
                    status: if status { "True" } else { "False" }.to_owned(),
                    reason: reason.to_owned(),
                    message,
                    observed_generation: self.generation,
                    last_transition_time: before.map_or(Time(now), |c| c.last_transition_time.clone()),
                }
            })
            .collect();
        let status = McpEndpointStatus {
            observed_generation: self.generation,
            url: self.serving.then(|| self.url.clone()),
            summary: Some(self.summary.clone()),
            conditions,
            clusters: self.clusters.iter().map(|(name, usable)| cluster(name, *usable, &old, now)).collect(),
        };
        (self.current.as_ref() != Some(&status)).then_some(status)
    }

    fn accepted(&self) -> (&'static str, bool, &'static str, String) {
        if self.serving {
            ("Accepted", true, "Accepted", "the endpoint is valid".to_owned())
        } else {
            let fatal: Vec<&Problem> = self.problems.iter().filter(|p| p.fatal).collect();
            ("Accepted", false, "Invalid", list(&fatal))
        }
    }

    fn partially_invalid(&self) -> Option<(&'static str, bool, &'static str, String)> {
        if !self.serving || self.problems.is_empty() {
            return None;
        }
        let reason = [Reason::Invalid, Reason::NotFound, Reason::NotYetSupported]
            .into_iter()
            .find(|reason| self.count(*reason) > 0)
            .map_or("Invalid", Reason::as_str);
        Some(("PartiallyInvalid", true, reason, list(&self.problems.iter().collect::<Vec<_>>())))
    }

    fn ready(&self) -> (&'static str, bool, &'static str, String) {
        match (self.serving, self.problems.len()) {
            (false, _) => ("Ready", false, "NotAccepted", "the endpoint is not served; see Accepted".to_owned()),
            (true, 0) => ("Ready", true, "Serving", "the endpoint answers calls".to_owned()),
            (true, n) => {
                let message = format!("the endpoint answers calls, without {n} of its parts; see PartiallyInvalid");
                ("Ready", true, "ServingPartially", message)
            }
        }
    }
}

fn list(problems: &[&Problem]) -> String {
    let mut named: Vec<String> = problems.iter().take(NAMED_PROBLEMS).map(ToString::to_string).collect();
    if problems.len() > NAMED_PROBLEMS {
        named.push(format!("and {} more", problems.len() - NAMED_PROBLEMS));
    }
    named.join("; ")
}

fn cluster(name: &str, usable: bool, old: &McpEndpointStatus, now: Timestamp) -> ClusterStatus {
    let (state, reason, message) = if usable {
        ("Unknown", "NotProbed", "in use; this version does not probe whether it is reachable")
    } else {
        ("Invalid", "Invalid", "not in use; see PartiallyInvalid")
    };
    let before = old.clusters.iter().find(|c| c.name == name && c.state == state);
    ClusterStatus {
        name: name.to_owned(),
        state: state.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: before.map_or(Some(Time(now)), |c| c.last_transition_time.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(problems: Vec<Problem>, serving: bool) -> Verdict {
        Verdict {
            name: "platform".to_owned(),
            current: None,
            generation: Some(3),
            url: "https://mcp/mcp/platform".to_owned(),
            serving,
            summary: Summary { clusters: "1/2".to_owned(), tools: 3, problems: 0 },
            problems,
            clusters: vec![("eu".to_owned(), true), ("us".to_owned(), false)],
        }
    }

    fn problem(field: &str, fatal: bool) -> Problem {
        Problem { field: field.to_owned(), reason: Reason::Invalid, message: "is wrong".to_owned(), fatal }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn conditions(status: &McpEndpointStatus) -> Vec<(&str, &str, &str)> {
        status.conditions.iter().map(|c| (c.type_.as_str(), c.status.as_str(), c.reason.as_str())).collect()
    }

    #[test]
    fn a_valid_endpoint_is_accepted_and_ready() {
        let status = verdict(vec![], true).status(at(0)).unwrap();
        assert_eq!(conditions(&status), [("Accepted", "True", "Accepted"), ("Ready", "True", "Serving")]);
        assert!(status.conditions.iter().all(|c| c.observed_generation == Some(3)));
        assert_eq!(status.url.as_deref(), Some("https://mcp/mcp/platform"));
        assert_eq!(status.clusters[0].state, "Unknown");
        assert_eq!(status.clusters[1].state, "Invalid");
    }

    #[test]
    fn a_broken_part_is_named_and_the_rest_serves() {
        let status = verdict(vec![problem("spec.rules[1].subjects", false)], true).status(at(0)).unwrap();
        assert_eq!(
            conditions(&status),
            [
                ("Accepted", "True", "Accepted"),
                ("PartiallyInvalid", "True", "Invalid"),
                ("Ready", "True", "ServingPartially")
            ]
        );
        assert_eq!(status.conditions[1].message, "spec.rules[1].subjects: is wrong");
    }

    #[test]
    fn a_fatal_problem_takes_the_url_away() {
        let problems = vec![problem("spec.rules[0]", false), problem("spec.limits", true)];
        let status = verdict(problems, false).status(at(0)).unwrap();
        assert_eq!(conditions(&status), [("Accepted", "False", "Invalid"), ("Ready", "False", "NotAccepted")]);
        assert_eq!(status.conditions[0].message, "spec.limits: is wrong");
        assert_eq!(status.url, None);
    }

    #[test]
    fn what_has_not_changed_is_not_written_and_times_stay() {
        let mut verdict = verdict(vec![], true);
        let first = verdict.status(at(0)).unwrap();
        verdict.current = Some(first.clone());
        assert_eq!(verdict.status(at(60)), None);

        verdict.generation = Some(4);
        let second = verdict.status(at(60)).unwrap();
        assert_eq!(second.conditions[0].last_transition_time, first.conditions[0].last_transition_time);
        verdict.serving = false;
        let third = verdict.status(at(90)).unwrap();
        assert_eq!(third.conditions[0].last_transition_time, Time(at(90)));
    }

    #[test]
    fn a_long_list_of_problems_is_counted() {
        let problems: Vec<Problem> = (0..20).map(|i| problem(&format!("spec.rules[{i}]"), false)).collect();
        let status = verdict(problems, true).status(at(0)).unwrap();
        assert!(status.conditions[1].message.ends_with("; and 12 more"), "{}", status.conditions[1].message);
    }
}
