//! Kinds that no call may ever read.

use super::GroupResource;

/// What every question for a built-in restricted kind is answered with, on every cluster, without asking it.
pub const NEVER_AVAILABLE: &str = "secrets are never available through k-mcp; nor are service accounts, RBAC and \
    user objects. Workloads, events, logs and ConfigMaps are.";

/// Groups that are restricted as a whole.
const GROUPS: [&str; 4] =
    ["rbac.authorization.k8s.io", "authorization.openshift.io", "oauth.openshift.io", "user.openshift.io"];

/// Core resources that are restricted, and every name that they go by.
const CORE: [(&str, &[&str]); 2] =
    [("secrets", &["secret", "secrets"]), ("serviceaccounts", &["serviceaccount", "serviceaccounts", "sa"])];

/// Names of kinds in the restricted groups, for a fixed answer before discovery is asked.
const GROUP_KINDS: [&str; 8] = [
    "role",
    "roles",
    "rolebinding",
    "rolebindings",
    "clusterrole",
    "clusterroles",
    "clusterrolebinding",
    "clusterrolebindings",
];

/// Why a kind may not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restriction {
    /// On every endpoint: answered by [`NEVER_AVAILABLE`].
    BuiltIn,
    /// By this endpoint: answered as if the kind did not exist.
    Endpoint,
}

/// Whether a resource is restricted, in whatever version or subresource.
pub fn restriction(added: &[GroupResource], group: &str, resource: &str) -> Option<Restriction> {
    let core = group.is_empty() && CORE.iter().any(|(plural, _)| plural.eq_ignore_ascii_case(resource));
    if core || GROUPS.iter().any(|g| g.eq_ignore_ascii_case(group)) {
        return Some(Restriction::BuiltIn);
    }
    added
        .iter()
        .any(|r| {
            r.group.eq_ignore_ascii_case(group) && (r.resource == "*" || r.resource.eq_ignore_ascii_case(resource))
        })
        .then_some(Restriction::Endpoint)
}

/// Whether a name that an agent wrote (`secret`, `sa`, `roles.rbac.authorization.k8s.io`) means a kind that is
/// restricted everywhere. Asked before discovery, so that the answer is the same on every cluster.
pub fn restriction_by_name(written: &str) -> Option<Restriction> {
    let lower = written.to_ascii_lowercase();
    let (kind, rest) = lower.split_once('.').unwrap_or((&lower, ""));
    let core =
        CORE.iter().any(|(_, names)| names.contains(&kind)) && (rest.is_empty() || rest == "v1" || rest == "v1.");
    let group_kind = rest.is_empty() && GROUP_KINDS.contains(&kind);
    let in_group = GROUPS.iter().any(|g| rest == *g || rest.ends_with(&format!(".{g}")));
    (core || group_kind || in_group).then_some(Restriction::BuiltIn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_accounts_and_rbac_are_restricted_by_resource() {
        for (group, resource, expected) in [
            ("", "secrets", Some(Restriction::BuiltIn)),
            ("", "Secrets", Some(Restriction::BuiltIn)),
            ("", "serviceaccounts", Some(Restriction::BuiltIn)),
            ("rbac.authorization.k8s.io", "roles", Some(Restriction::BuiltIn)),
            ("rbac.authorization.k8s.io", "anything", Some(Restriction::BuiltIn)),
            ("user.openshift.io", "users", Some(Restriction::BuiltIn)),
            ("", "pods", None),
            ("secrets.example.com", "secrets", None),
            ("external-secrets.io", "externalsecrets", Some(Restriction::Endpoint)),
            ("example.com", "widgets", Some(Restriction::Endpoint)),
            ("example.com", "gadgets", None),
        ] {
            let added = [
                GroupResource { group: "external-secrets.io".to_owned(), resource: "*".to_owned() },
                GroupResource { group: "example.com".to_owned(), resource: "widgets".to_owned() },
            ];
            assert_eq!(restriction(&added, group, resource), expected, "{group}/{resource}");
        }
    }

    #[test]
    fn restricted_kinds_are_known_by_every_name_before_discovery() {
        for (name, expected) in [
            ("secret", true),
            ("Secrets", true),
            ("secrets.v1", true),
            ("sa", true),
            ("ServiceAccount", true),
            ("ClusterRole", true),
            ("roles.rbac.authorization.k8s.io", true),
            ("roles.v1.rbac.authorization.k8s.io", true),
            ("users.user.openshift.io", true),
            ("secretstores.external-secrets.io", false),
            ("secrets.example.com", false),
            ("pods", false),
        ] {
            assert_eq!(restriction_by_name(name).is_some(), expected, "{name}");
        }
    }
}
