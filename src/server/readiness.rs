//! Readiness as named guards: ready is when nothing is pending.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

/// What has to be in place before requests are answered.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeSet<&'static str>>>);

/// One thing that is not in place yet; dropping it says that it is.
#[derive(Debug)]
pub struct Pending {
    readiness: Readiness,
    name: &'static str,
}

impl Readiness {
    /// Names something that has to be in place.
    #[must_use = "dropping it at once says that it is in place"]
    pub fn pending(&self, name: &'static str) -> Pending {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        Pending { readiness: self.clone(), name }
    }

    /// What is not in place.
    pub fn missing(&self) -> Vec<&'static str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.readiness.0.lock().unwrap_or_else(PoisonError::into_inner).remove(self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_when_the_last_guard_is_dropped() {
        let readiness = Readiness::default();
        let catalog = readiness.pending("catalog");
        let listener = readiness.pending("listener");
        assert_eq!(readiness.missing(), ["catalog", "listener"]);
        drop(catalog);
        assert_eq!(readiness.missing(), ["listener"]);
        drop(listener);
        assert_eq!(readiness.missing(), Vec::<&str>::new());
    }
}
