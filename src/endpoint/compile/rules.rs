//! `spec.toolSets` and `spec.rules`.

use super::{Problems, is_dns_label};
use crate::{
    api,
    endpoint::{Cluster, Expression, NamespaceScope, Rule, Selector, Subjects, Tool, ToolSet, expression::Scope},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub(super) fn compile_tool_sets(wire: &[api::ToolSet], log: &mut Problems) -> BTreeMap<String, BTreeSet<Tool>> {
    let mut compiled = BTreeMap::new();
    for (i, api::ToolSet { name, tools }) in wire.iter().enumerate() {
        let field = format!("spec.toolSets[{i}]");
        if name.parse::<ToolSet>().is_ok() {
            log.invalid(format!("{field}.name"), format!("{name} is built in and cannot be redefined"));
            continue;
        }
        let mut set = BTreeSet::new();
        for (j, tool) in tools.iter().enumerate() {
            let field = format!("{field}.tools[{j}]");
            match tool.parse::<Tool>() {
                Ok(known) if known.is_available() => {
                    set.insert(known);
                }
                Ok(_) => log.not_yet(field, tool),
                Err(()) => {
                    let all = Tool::ALL.map(Tool::name).join(", ");
                    log.invalid(field, format!("{tool:?} is not a tool; the tools are {all}"));
                }
            }
        }
        compiled.insert(name.clone(), set);
    }
    compiled
}

pub(super) fn compile_rules(
    wire: &[api::Rule],
    issuers: &[api::Issuer],
    clusters: &BTreeMap<String, Arc<Cluster>>,
    tool_sets: &BTreeMap<String, BTreeSet<Tool>>,
    log: &mut Problems,
) -> Vec<Rule> {
    wire.iter()
        .enumerate()
        .filter_map(|(i, rule)| compile_rule(rule, &format!("spec.rules[{i}]"), issuers, clusters, tool_sets, log))
        .collect()
}

fn compile_rule(
    wire: &api::Rule,
    field: &str,
    issuers: &[api::Issuer],
    clusters: &BTreeMap<String, Arc<Cluster>>,
    tool_sets: &BTreeMap<String, BTreeSet<Tool>>,
    log: &mut Problems,
) -> Option<Rule> {
    let api::Rule { name, subjects, allow: api::Allow { clusters: selected, tool_sets: sets, namespaces, writes } } =
        wire;
    let subjects = compile_subjects(subjects, &format!("{field}.subjects"), issuers, log)?;
    let clusters = select_clusters(selected, &format!("{field}.allow.clusters"), clusters, log)?;
    let tools = expand_tools(sets, &format!("{field}.allow.toolSets"), tool_sets, log);
    let (namespaces, cluster_scoped) = compile_namespaces(namespaces, &format!("{field}.allow.namespaces"), log)?;
    if *writes != api::Writes::default() {
        log.not_yet(format!("{field}.allow.writes"), "writes");
    }
    Some(Rule { name: name.clone(), subjects, clusters, tools, namespaces, cluster_scoped })
}

fn compile_subjects(
    wire: &api::Subjects,
    field: &str,
    declared: &[api::Issuer],
    log: &mut Problems,
) -> Option<Subjects> {
    let api::Subjects { issuers, users, groups, condition, any_user } = wire;
    let compiled = match condition.as_deref().map(|source| Expression::compile(source, Scope::Rule)).transpose() {
        Ok(compiled) => compiled,
        Err(why) => {
            log.invalid(format!("{field}.condition"), why);
            return None;
        }
    };
    if issuers.is_empty() {
        log.invalid(format!("{field}.issuers"), "must name at least one issuer");
        return None;
    }
    for (i, issuer) in issuers.iter().enumerate() {
        if !declared.iter().any(|d| d.name == *issuer) {
            log.not_found(format!("{field}.issuers[{i}]"), format!("{issuer:?} is not in spec.authentication.issuers"));
            return None;
        }
    }
    match (any_user, users.is_empty() && groups.is_empty()) {
        (true, true) | (false, false) => {}
        (false, true) if compiled.is_some() => {}
        (true, false) => {
            log.invalid(field, "anyUser: true cannot be combined with users or groups");
            return None;
        }
        (false, true) => {
            log.invalid(field, "must name users, groups, a condition, or anyUser: true");
            return None;
        }
    }
    let some = |list: &[String]| (!list.is_empty()).then(|| list.iter().cloned().collect());
    Some(Subjects {
        issuers: issuers.iter().cloned().collect(),
        users: some(users),
        groups: some(groups),
        condition: compiled,
    })
}

fn select_clusters(
    wire: &api::Clusters,
    field: &str,
    clusters: &BTreeMap<String, Arc<Cluster>>,
    log: &mut Problems,
) -> Option<BTreeSet<String>> {
    match wire {
        api::Clusters { names: Some(names), selector: None } => {
            for (i, name) in names.iter().enumerate().filter(|(_, name)| !clusters.contains_key(*name)) {
                log.not_found(
                    format!("{field}.names[{i}]"),
                    format!("{name:?} is not a usable cluster of spec.clusters"),
                );
            }
            Some(names.iter().filter(|name| clusters.contains_key(*name)).cloned().collect())
        }
        api::Clusters { names: None, selector: Some(selector) } => match Selector::compile(selector) {
            Ok(selector) => {
                let selected: BTreeSet<String> =
                    clusters.values().filter(|c| selector.matches(&c.labels)).map(|c| c.name.clone()).collect();
                if selected.is_empty() {
                    log.not_found(
                        format!("{field}.selector"),
                        "matches the labels of no usable cluster of spec.clusters",
                    );
                }
                Some(selected)
            }
            Err(why) => {
                log.invalid(format!("{field}.selector"), why);
                None
            }
        },
        _ => {
            log.invalid(field, "names or selector must be set, and not both");
            None
        }
    }
}

fn expand_tools(
    sets: &[String],
    field: &str,
    own: &BTreeMap<String, BTreeSet<Tool>>,
    log: &mut Problems,
) -> BTreeSet<Tool> {
    let mut tools = BTreeSet::new();
    for (i, name) in sets.iter().enumerate() {
        if let Ok(built_in) = name.parse::<ToolSet>() {
            let available: Vec<Tool> =
                Tool::ALL.into_iter().filter(|t| t.set() == built_in && t.is_available()).collect();
            if available.is_empty() {
                log.not_yet(format!("{field}[{i}]"), &format!("the tools of {name}"));
            }
            tools.extend(available);
        } else if let Some(set) = own.get(name) {
            tools.extend(set);
        } else {
            let message = format!("{name:?} is not inspect, diagnosis, change or one of spec.toolSets");
            log.not_found(format!("{field}[{i}]"), message);
        }
    }
    tools
}

fn compile_namespaces(wire: &api::Namespaces, field: &str, log: &mut Problems) -> Option<(NamespaceScope, bool)> {
    let api::Namespaces { mode, names, cluster_scoped } = wire;
    let cluster_scoped = *cluster_scoped == api::ClusterScoped::Allow;
    match (mode, names.is_empty()) {
        (api::NamespaceMode::All, true) => Some((NamespaceScope::All, cluster_scoped)),
        (api::NamespaceMode::Listed, false) => {
            if let Some((i, bad)) = names.iter().enumerate().find(|(_, name)| !is_dns_label(name)) {
                log.invalid(format!("{field}.names[{i}]"), format!("{bad:?} is not the name of a namespace"));
                return None;
            }
            Some((NamespaceScope::Listed(names.iter().cloned().collect()), cluster_scoped))
        }
        _ => {
            log.invalid(field, "mode Listed needs names, mode All takes none");
            None
        }
    }
}
