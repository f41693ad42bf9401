//! `spec.clusters`.

use super::{Problems, References, https_url, is_dns_label};
use crate::{
    api,
    endpoint::{Cluster, Credential, Trust, Upstream},
};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use std::{collections::BTreeMap, sync::Arc};

pub(super) fn compile_clusters(
    wire: &[api::Cluster],
    references: &References,
    log: &mut Problems,
) -> BTreeMap<String, Arc<Cluster>> {
    let mut compiled = BTreeMap::new();
    for (i, cluster) in wire.iter().enumerate() {
        let field = format!("spec.clusters[{i}]");
        if let Some(done) = compile_cluster(cluster, &field, references, log) {
            if compiled.contains_key(&done.name) {
                log.invalid(format!("{field}.name"), "another cluster has the same name");
            } else {
                compiled.insert(done.name.clone(), Arc::new(done));
            }
        }
    }
    compiled
}

fn compile_cluster(wire: &api::Cluster, field: &str, references: &References, log: &mut Problems) -> Option<Cluster> {
    let api::Cluster {
        name,
        labels,
        server,
        profile_ref,
        certificate_authority,
        tls_server_name,
        credential: api::Credential { mode, forward, exchange: _, impersonate: _ },
        limits: api::ClusterLimits { max_concurrent_requests },
    } = wire;
    if !is_dns_label(name) {
        log.invalid(format!("{field}.name"), "must be a DNS label (lower-case letters, digits and -)");
        return None;
    }
    if profile_ref.is_some() {
        log.not_yet(format!("{field}.profileRef"), "ClusterProfiles");
        return None;
    }
    let Some(server) = server else {
        log.invalid(field, "server or profileRef must be set");
        return None;
    };
    let server = https_url(server, &format!("{field}.server"), log)?;
    let credential = match (mode, forward) {
        (api::CredentialMode::Forward, Some(api::Forward { issuers, audiences })) => Credential::Forward {
            issuers: issuers.iter().cloned().collect(),
            audiences: audiences.iter().cloned().collect(),
        },
        (api::CredentialMode::Forward, None) => {
            log.invalid(format!("{field}.credential.forward"), "mode Forward needs issuers and audiences");
            return None;
        }
        (api::CredentialMode::Exchange, _) => {
            log.not_yet(format!("{field}.credential.mode"), "Exchange");
            return None;
        }
        (api::CredentialMode::Impersonate, _) => {
            log.not_yet(format!("{field}.credential.mode"), "Impersonate");
            return None;
        }
    };
    let trust =
        compile_trust(certificate_authority.as_ref(), &format!("{field}.certificateAuthority"), references, log);
    Some(Cluster {
        name: name.clone(),
        labels: labels.clone(),
        upstream: Upstream { server, trust, tls_server_name: tls_server_name.clone() },
        credential,
        max_concurrent_requests: usize::try_from(*max_concurrent_requests).unwrap_or(1).max(1),
    })
}

/// A CA that does not resolve trusts nobody: never the system's roots in its place.
pub(super) fn compile_trust(
    wire: Option<&api::CertificateAuthority>,
    field: &str,
    references: &References,
    log: &mut Problems,
) -> Trust {
    let (field, pem) = match wire {
        None => return Trust::System,
        Some(api::CertificateAuthority { config_map: None, inline: Some(pem) }) => (format!("{field}.inline"), pem),
        Some(api::CertificateAuthority { config_map: Some(reference), inline: None }) => {
            let api::ConfigMapKeyRef { name, key } = reference;
            if let Some(pem) = references.config_maps.get(&(name.clone(), key.clone())) {
                (format!("{field}.configMap"), pem)
            } else {
                if references.complete {
                    let message = format!("ConfigMap {name:?} has no key {key:?} in this namespace, or does not exist");
                    log.not_found(format!("{field}.configMap"), message);
                }
                return Trust::Unresolved;
            }
        }
        Some(_) => {
            log.not_found(field, "configMap or inline must be set, and not both");
            return Trust::Unresolved;
        }
    };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match certificates {
        Ok(list) if !list.is_empty() => Trust::pem(pem),
        _ => {
            log.not_found(field, "holds no PEM certificate (-----BEGIN CERTIFICATE-----)");
            Trust::Unresolved
        }
    }
}
