//! The snapshot of all endpoints.

use super::Endpoint;
use arc_swap::ArcSwap;
use std::{collections::BTreeMap, sync::Arc};

/// Every endpoint in effect. Immutable: a change makes a new one, which replaces the old one whole.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Catalog {
    /// Endpoints by name.
    pub endpoints: BTreeMap<String, Arc<Endpoint>>,
}

/// Where the newest [`Catalog`] is. One writer (the controller), many readers.
pub type LiveCatalog = Arc<ArcSwap<Catalog>>;

impl Catalog {
    /// The endpoint of a name.
    pub fn endpoint(&self, name: &str) -> Option<Arc<Endpoint>> {
        self.endpoints.get(name).cloned()
    }
}
