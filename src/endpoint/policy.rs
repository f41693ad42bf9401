//! What a [`Caller`] may do at an [`Endpoint`].
//!
//! Access is the union of each matching rule's (clusters × tools × namespaces) product. For one tool and one cluster
//! that is the union of the namespaces of the rules that allow both, which is what [`Grant::scope`] gives: nothing
//! here ever joins the clusters of one rule with the namespaces of another.

use super::{
    Caller, Cluster, Credential, Endpoint, EvaluationError, Restriction, Rule, Subjects, Tool, restriction,
    user_variable,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamespaceScope {
    /// Every one.
    All,
    /// These.
    Listed(BTreeSet<String>),
}

impl NamespaceScope {
    /// Whether a namespace is among them.
    pub fn contains(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Listed(names) => names.contains(namespace),
        }
    }

    fn union(self, other: &Self) -> Self {
        match (self, other) {
            (Self::Listed(mut mine), Self::Listed(theirs)) => {
                mine.extend(theirs.iter().cloned());
                Self::Listed(mine)
            }
            _ => Self::All,
        }
    }
}

/// What a grant allows with one tool in one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Namespaces.
    pub namespaces: NamespaceScope,
    /// Whether kinds without a namespace are allowed.
    pub cluster_scoped: bool,
}

/// What a caller may do at an endpoint, decided once per request against the newest [`super::Catalog`].
#[derive(Debug, Clone)]
pub struct Grant {
    endpoint: Arc<Endpoint>,
    caller: Arc<Caller>,
    scopes: BTreeMap<(Tool, String), Scope>,
    refused: BTreeMap<String, String>,
    failed_conditions: usize,
}

/// What a grant does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The tool, in that cluster or at all.
    Tool,
    /// The namespace.
    Namespace,
    /// Every namespace at once, where only some are granted.
    AllNamespaces,
    /// A kind without a namespace.
    ClusterScoped,
    /// The kind, to everyone.
    Restricted(Restriction),
}

impl Grant {
    /// Decides what a caller may do.
    pub fn new(endpoint: Arc<Endpoint>, caller: Arc<Caller>) -> Self {
        let mut scopes: BTreeMap<(Tool, String), Scope> = BTreeMap::new();
        let mut refused = BTreeMap::new();
        let mut failed_conditions = 0;
        for rule in &endpoint.rules {
            match matches(&rule.subjects, &caller) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(EvaluationError) => {
                    failed_conditions += 1;
                    continue;
                }
            }
            let Rule { name: _, subjects: _, clusters, tools, namespaces, cluster_scoped } = rule;
            for cluster in clusters.iter().filter_map(|name| endpoint.clusters.get(name)) {
                if let Err(why) = admits(cluster, &caller) {
                    refused.insert(cluster.name.clone(), why);
                    continue;
                }
                for tool in tools.iter().filter(|tool| tool.is_available()) {
                    scopes
                        .entry((*tool, cluster.name.clone()))
                        .and_modify(|scope| {
                            scope.namespaces = scope.namespaces.clone().union(namespaces);
                            scope.cluster_scoped |= cluster_scoped;
                        })
                        .or_insert_with(|| Scope { namespaces: namespaces.clone(), cluster_scoped: *cluster_scoped });
                }
            }
        }
        Self { endpoint, caller, scopes, refused, failed_conditions }
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The caller.
    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// Whether the caller may use a tool anywhere. What it may use nowhere is neither listed nor known.
    pub fn allows_tool(&self, tool: Tool) -> bool {
        self.scopes.keys().any(|(granted, _)| *granted == tool)
    }

    /// The tools that the caller may use somewhere, in their stable order.
    pub fn tools(&self) -> impl Iterator<Item = Tool> + '_ {
        Tool::ALL.into_iter().filter(|tool| self.allows_tool(*tool))
    }

    /// The clusters in which the caller may use a tool, by name.
    pub fn clusters(&self, tool: Tool) -> impl Iterator<Item = &Arc<Cluster>> + '_ {
        self.endpoint.clusters.values().filter(move |c| self.scopes.contains_key(&(tool, c.name.clone())))
    }

    /// What the caller may do with a tool in a cluster; `None` is nothing.
    pub fn scope(&self, tool: Tool, cluster: &str) -> Option<&Scope> {
        self.scopes.get(&(tool, cluster.to_owned()))
    }

    /// Clusters that a rule allows but that this token cannot be sent to, with the reason.
    pub fn refused_clusters(&self) -> &BTreeMap<String, String> {
        &self.refused
    }

    /// Conditions of rules that failed instead of being true or false; each matched nothing.
    pub fn failed_conditions(&self) -> usize {
        self.failed_conditions
    }

    /// Whether a resource may be read with a tool in a cluster. `namespace` is that of the request's path: none means
    /// every namespace at once, or a kind without one.
    ///
    /// # Errors
    /// With what is not allowed.
    pub fn check(
        &self,
        tool: Tool,
        cluster: &str,
        group: &str,
        resource: &str,
        namespaced: bool,
        namespace: Option<&str>,
    ) -> Result<(), Denied> {
        let scope = self.scope(tool, cluster).ok_or(Denied::Tool)?;
        if let Some(restricted) = restriction(&self.endpoint.restricted, group, resource) {
            return Err(Denied::Restricted(restricted));
        }
        match (namespaced, namespace) {
            (true, Some(namespace)) if scope.namespaces.contains(namespace) => Ok(()),
            (true, Some(_)) => Err(Denied::Namespace),
            (true, None) if scope.namespaces == NamespaceScope::All => Ok(()),
            (true, None) => Err(Denied::AllNamespaces),
            (false, None) if scope.cluster_scoped => Ok(()),
            (false, _) => Err(Denied::ClusterScoped),
        }
    }
}

/// Whether a caller is one of a rule's subjects: issuers, users, groups and condition are ANDed, the entries of each
/// ORed.
fn matches(subjects: &Subjects, caller: &Caller) -> Result<bool, EvaluationError> {
    let Subjects { issuers, users, groups, condition } = subjects;
    let named = issuers.contains(&caller.issuer)
        && users.as_ref().is_none_or(|users| users.contains(&caller.username))
        && groups.as_ref().is_none_or(|groups| !groups.is_disjoint(&caller.groups));
    match condition {
        Some(condition) if named => {
            let user =
                user_variable(&caller.username, caller.groups.iter().cloned(), caller.uid.as_deref(), &caller.extra);
            let issuer = Value::from(caller.issuer.as_str());
            let mut variables = vec![("user", &user), ("issuer", &issuer)];
            variables.extend(caller.claims.as_deref().map(|claims| ("claims", claims)));
            condition.holds(&variables)
        }
        _ => Ok(named),
    }
}

/// Whether a caller's token may be sent to a cluster.
fn admits(cluster: &Cluster, caller: &Caller) -> Result<(), String> {
    if caller.only_cluster.as_ref().is_some_and(|only| *only != cluster.name) {
        return Err("this token was vouched for by another cluster and reaches only that one".to_owned());
    }
    let Credential::Forward { issuers, audiences } = &cluster.credential;
    if !issuers.contains(&caller.issuer) {
        return Err("tokens of this issuer are not sent there (credential.forward.issuers)".to_owned());
    }
    if audiences.is_disjoint(&caller.audiences) {
        let wanted: Vec<&str> = audiences.iter().map(String::as_str).collect();
        return Err(format!("the token's aud must also hold one of: {}", wanted.join(", ")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{
        Expression, GroupResource, expression,
        fixtures::{self, set},
    };
    use serde_json::json;

    /// Whose claims say `acr: mfa`.
    fn caller(name: &str, groups: &[&str]) -> Caller {
        Caller { claims: Some(Arc::new(json!({"acr": "mfa"}))), ..fixtures::caller(name, groups) }
    }

    fn rule(
        groups: &[&str],
        clusters: &[&str],
        tools: &[Tool],
        namespaces: NamespaceScope,
        cluster_scoped: bool,
    ) -> Rule {
        Rule {
            name: "r".to_owned(),
            subjects: Subjects { issuers: set(&["corp"]), users: None, groups: Some(set(groups)), condition: None },
            clusters: set(clusters),
            tools: tools.iter().copied().collect(),
            namespaces,
            cluster_scoped,
        }
    }

    fn endpoint(rules: Vec<Rule>) -> Arc<Endpoint> {
        let restricted = vec![GroupResource { group: "example.com".to_owned(), resource: "*".to_owned() }];
        Arc::new(Endpoint { restricted, ..fixtures::endpoint(rules) })
    }

    fn listed(names: &[&str]) -> NamespaceScope {
        NamespaceScope::Listed(set(names))
    }

    #[test]
    fn no_rule_is_no_access() {
        let grant = Grant::new(endpoint(vec![]), caller("ann", &["dev"]).into());
        assert_eq!(grant.tools().count(), 0);
        assert_eq!(grant.check(Tool::ResourceGet, "a", "", "pods", true, Some("x")), Err(Denied::Tool));
    }

    #[test]
    fn access_is_the_union_of_products_not_the_product_of_unions() {
        let grant = Grant::new(
            endpoint(vec![
                rule(&["dev"], &["a"], &[Tool::ResourceGet], listed(&["one"]), false),
                rule(&["dev"], &["b"], &[Tool::ResourceList], NamespaceScope::All, true),
                rule(&["dev"], &["a"], &[Tool::ResourceGet], listed(&["two"]), false),
                rule(&["ops"], &["a", "b"], &[Tool::ResourceGet], NamespaceScope::All, true),
            ]),
            caller("ann", &["dev"]).into(),
        );
        let check = |tool, cluster, namespace| grant.check(tool, cluster, "", "pods", true, namespace);
        assert_eq!(check(Tool::ResourceGet, "a", Some("one")), Ok(()));
        assert_eq!(check(Tool::ResourceGet, "a", Some("two")), Ok(()));
        assert_eq!(check(Tool::ResourceGet, "a", Some("three")), Err(Denied::Namespace));
        assert_eq!(check(Tool::ResourceGet, "a", None), Err(Denied::AllNamespaces));
        assert_eq!(check(Tool::ResourceGet, "b", Some("one")), Err(Denied::Tool));
        assert_eq!(check(Tool::ResourceList, "b", None), Ok(()));
        assert_eq!(check(Tool::ResourceList, "a", Some("one")), Err(Denied::Tool));
        assert_eq!(grant.check(Tool::ResourceGet, "a", "", "nodes", false, None), Err(Denied::ClusterScoped));
        assert_eq!(grant.check(Tool::ResourceList, "b", "", "nodes", false, None), Ok(()));
        assert_eq!(grant.tools().collect::<Vec<_>>(), [Tool::ResourceList, Tool::ResourceGet]);
    }

    #[test]
    fn restricted_kinds_are_denied_whatever_a_rule_says() {
        let all = vec![rule(&["dev"], &["a"], &Tool::ALL, NamespaceScope::All, true)];
        let grant = Grant::new(endpoint(all), caller("ann", &["dev"]).into());
        for (group, resource, expected) in [
            ("", "secrets", Restriction::BuiltIn),
            ("rbac.authorization.k8s.io", "clusterroles", Restriction::BuiltIn),
            ("example.com", "widgets", Restriction::Endpoint),
        ] {
            let denied = grant.check(Tool::ResourceGet, "a", group, resource, true, Some("x"));
            assert_eq!(denied, Err(Denied::Restricted(expected)), "{group}/{resource}");
        }
    }

    #[test]
    fn subjects_and_their_entries() {
        let subjects = |issuers: &[&str], users: Option<&[&str]>, groups: Option<&[&str]>| Subjects {
            issuers: set(issuers),
            users: users.map(set),
            groups: groups.map(set),
            condition: None,
        };
        for (subjects, expected) in [
            (subjects(&["corp"], None, Some(&["dev"])), true),
            (subjects(&["corp"], None, Some(&["ops", "dev"])), true),
            (subjects(&["corp"], None, Some(&["ops"])), false),
            (subjects(&["other"], None, Some(&["dev"])), false),
            (subjects(&["corp"], Some(&["corp:ann"]), None), true),
            (subjects(&["corp"], Some(&["ann"]), None), false),
            (subjects(&["corp"], Some(&["corp:ann"]), Some(&["ops"])), false),
            (subjects(&["corp"], None, None), true),
        ] {
            assert_eq!(matches(&subjects, &caller("ann", &["dev"])), Ok(expected), "{subjects:?}");
        }
    }

    #[test]
    fn a_condition_narrows_and_one_that_fails_matches_nothing_and_is_counted() {
        for (source, issuer, tools, failed) in [
            ("claims.acr == 'mfa'", "corp", 1, 0),
            ("claims.acr == 'pwd'", "corp", 0, 0),
            ("user.username == 'corp:ann' && issuer == 'corp' && 'dev' in user.groups", "corp", 1, 0),
            ("claims.nope == 'x'", "corp", 0, 1),
            ("claims.acr", "corp", 0, 1),
            ("claims.acr == 'mfa'", "other", 0, 0), // not asked: the rule is for another issuer
        ] {
            let mut narrowed = rule(&["dev"], &["a"], &[Tool::ResourceGet], NamespaceScope::All, false);
            narrowed.subjects.condition = Some(Expression::compile(source, expression::Scope::Rule).unwrap());
            let caller = Caller { issuer: issuer.to_owned(), ..caller("ann", &["dev"]) };
            let grant = Grant::new(endpoint(vec![narrowed]), caller.into());
            assert_eq!((grant.tools().count(), grant.failed_conditions()), (tools, failed), "{source} {issuer}");
        }
    }

    #[test]
    fn a_cluster_that_the_token_may_not_be_sent_to_is_not_granted_and_says_why() {
        let all = || endpoint(vec![rule(&["dev"], &["a", "b"], &Tool::ALL, NamespaceScope::All, true)]);
        let no_audience = Caller { audiences: set(&["mcp"]), ..caller("ann", &["dev"]) };
        let grant = Grant::new(all(), no_audience.into());
        assert_eq!(grant.tools().count(), 0);
        assert!(grant.refused_clusters()["a"].contains("k8s"));

        let vouched_by_a = Caller { only_cluster: Some("a".to_owned()), ..caller("ann", &["dev"]) };
        let grant = Grant::new(all(), vouched_by_a.into());
        assert_eq!(grant.clusters(Tool::ResourceGet).map(|c| c.name.as_str()).collect::<Vec<_>>(), ["a"]);
    }
}
