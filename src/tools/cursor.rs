//! Cursors: where a list stopped, sealed so that only the same caller with the same question can go on from there.

use super::{Argument, ToolError};
use crate::endpoint::Grant;
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    rand,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

const PREFIX: &str = "c1.";

/// Where a list stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The cluster, where several are listed.
    #[serde(rename = "k", default)]
    pub cluster: Option<String>,
    /// The namespace, where each is listed by itself: by name, as an edit of the endpoint may put others before it.
    #[serde(rename = "n", default)]
    pub namespace: Option<String>,
    /// The page of that namespace, as the API server named it; none for the first.
    #[serde(rename = "c")]
    pub page: Option<String>,
    /// Rows that all pages before have shown.
    #[serde(rename = "s", default)]
    pub shown: usize,
    /// Rows of that page that have been shown.
    #[serde(rename = "o")]
    pub offset: usize,
}

/// Seals and opens cursors.
pub struct Sealer(RandomizedNonceKey);

impl Sealer {
    /// With a key of this process: cursors end with it.
    ///
    /// # Errors
    /// Where the system gives no random bytes.
    pub fn new() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut key = [0; 32];
        rand::fill(&mut key)?;
        Ok(Self(RandomizedNonceKey::new(&AES_256_GCM, &key)?))
    }

    /// Seals a position for a caller's question.
    pub(super) fn seal(&self, grant: &Grant, question: &str, position: &Position) -> Result<String, ToolError> {
        let failed = |_| ToolError::failed("the cursor could not be sealed");
        let mut text = serde_json::to_vec(position).map_err(|_| ToolError::failed("the cursor could not be sealed"))?;
        let nonce = self.0.seal_in_place_append_tag(Aad::from(bound_to(grant, question)), &mut text).map_err(failed)?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut text);
        Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// Opens what [`Sealer::seal`] made.
    pub(super) fn open(
        &self,
        grant: &Grant,
        question: &str,
        argument: &Argument,
        cursor: &str,
    ) -> Result<Position, ToolError> {
        let open = || {
            let mut sealed = URL_SAFE_NO_PAD.decode(cursor.strip_prefix(PREFIX)?).ok()?;
            let (nonce, text) = sealed.split_at_mut_checked(NONCE_LEN)?;
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let text = self.0.open_in_place(nonce, Aad::from(bound_to(grant, question)), text).ok()?;
            serde_json::from_slice(text).ok()
        };
        open().ok_or_else(|| {
            ToolError::invalid(argument.name, "is not of this list, or has expired; start again without it")
        })
    }
}

fn bound_to(grant: &Grant, question: &str) -> String {
    let (endpoint, caller) = (grant.endpoint(), grant.caller());
    format!("{:?}", (&endpoint.uid, &caller.issuer, &caller.subject, question))
}
