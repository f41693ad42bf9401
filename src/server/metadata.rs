//! OAuth 2.0 Protected Resource Metadata (RFC 9728): which authorization servers issue tokens for an endpoint.
//!
//! Only issuers of type JWT are authorization servers. An endpoint without one serves no document and names none in its
//! challenge: it would send clients into an OAuth flow that cannot end, instead of showing why a token was refused.

use crate::endpoint::{Catalog, Endpoint, Verification};
use serde_json::{Value, json};
use std::sync::Arc;
use url::Url;

/// Where the documents are (RFC 9728 section 3).
pub(super) const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The document of an endpoint, if it has an authorization server.
pub(super) fn document(endpoint: &Endpoint) -> Option<Value> {
    let servers = servers(endpoint);
    if servers.is_empty() {
        return None;
    }
    let mut document = json!({
        "resource": endpoint.url,
        "resource_name": format!("k-mcp {}", endpoint.name),
        "authorization_servers": servers,
        "bearer_methods_supported": ["header"],
    });
    if let (false, Value::Object(fields)) = (endpoint.scopes.is_empty(), &mut document) {
        fields.insert("scopes_supported".to_owned(), json!(endpoint.scopes));
    }
    Some(document)
}

/// Where the document of an endpoint is: the well-known path goes between the host and the path of its URL.
pub(super) fn url(endpoint: &Endpoint) -> Option<String> {
    if servers(endpoint).is_empty() {
        return None;
    }
    let mut url = Url::parse(&endpoint.url).ok()?;
    let path = format!("{WELL_KNOWN}{}", url.path());
    url.set_path(&path);
    Some(url.into())
}

/// The endpoint whose document a path asks for. `rest` is what follows the well-known path: that of the endpoint's URL,
/// with or without what a proxy has cut off before `/mcp/`. Nothing means the only endpoint that has a document.
pub(super) fn find(catalog: &Catalog, rest: &str) -> Option<Arc<Endpoint>> {
    let mut with_document = catalog.endpoints.values().filter(|e| !servers(e).is_empty());
    let rest = rest.trim_matches('/');
    if rest.is_empty() {
        return match (with_document.next(), with_document.next()) {
            (Some(only), None) => Some(only.clone()),
            _ => None,
        };
    }
    with_document
        .find(|e| {
            let path = Url::parse(&e.url).map(|url| url.path().trim_matches('/').to_owned()).unwrap_or_default();
            path == rest || rest.strip_prefix("mcp/") == Some(&e.name)
        })
        .cloned()
}

fn servers(endpoint: &Endpoint) -> Vec<&str> {
    let jwt = |verification: &Verification| matches!(verification, Verification::Jwt(_));
    endpoint.issuers.iter().filter(|issuer| jwt(&issuer.verification)).map(|issuer| issuer.url.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{ClaimSource, Digest, Issuer, JwtVerification, Trust, fixtures};

    fn endpoint(name: &str, url: &str, verification: Verification) -> Arc<Endpoint> {
        let issuer = Issuer {
            name: "i".to_owned(),
            url: "https://idp.example/realms/corp".to_owned(),
            verification,
            digest: Digest::of(["i"]),
        };
        Arc::new(Endpoint {
            name: name.to_owned(),
            url: format!("{url}/mcp/{name}"),
            scopes: vec!["openid".to_owned()],
            issuers: vec![Arc::new(issuer)],
            ..fixtures::endpoint(Vec::new())
        })
    }

    fn jwt() -> Verification {
        Verification::Jwt(Box::new(JwtVerification {
            discovery_url: String::new(),
            trust: Trust::System,
            algorithms: Vec::new(),
            username: ClaimSource::Claim { claim: "sub".to_owned(), prefix: String::new() },
            groups: None,
            uid: None,
            extra: Vec::new(),
            claim_rules: Vec::new(),
            user_rules: Vec::new(),
        }))
    }

    fn review() -> Verification {
        Verification::SelfSubjectReview { cluster: "a".to_owned() }
    }

    #[test]
    fn an_endpoint_names_its_authorization_servers() {
        let endpoint = endpoint("platform", "https://mcp.example/base", jwt());
        let document = document(&endpoint).unwrap();
        assert_eq!(document["resource"], "https://mcp.example/base/mcp/platform");
        assert_eq!(document["authorization_servers"], json!(["https://idp.example/realms/corp"]));
        assert_eq!(document["scopes_supported"], json!(["openid"]));
        let expected = "https://mcp.example/.well-known/oauth-protected-resource/base/mcp/platform";
        assert_eq!(url(&endpoint).as_deref(), Some(expected));
    }

    #[test]
    fn without_an_authorization_server_there_is_no_document() {
        let endpoint = endpoint("platform", "https://mcp.example", review());
        assert_eq!((document(&endpoint), url(&endpoint)), (None, None));
    }

    #[test]
    fn a_document_is_found_by_the_path_of_its_endpoint() {
        let mut catalog = Catalog::default();
        for (name, issuer) in [("one", jwt()), ("two", jwt()), ("three", review())] {
            catalog.endpoints.insert(name.to_owned(), endpoint(name, "https://mcp.example/base", issuer));
        }
        for (rest, expected) in [
            ("/base/mcp/one", Some("one")),
            ("/mcp/two", Some("two")),
            ("/base/mcp/three", None),
            ("/mcp/four", None),
            ("/other/mcp/one", None),
            ("/one", None),
            ("", None),
        ] {
            assert_eq!(find(&catalog, rest).map(|e| e.name.clone()).as_deref(), expected, "{rest}");
        }
        catalog.endpoints.remove("two");
        assert_eq!(find(&catalog, "").map(|e| e.name.clone()).as_deref(), Some("one"));
    }
}
