use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use domain::{ModelId, ModelRoutes};

use crate::Publisher;

/// Keeps what was published, in place of a gateway.
#[derive(Debug, Default)]
pub struct Table {
    routes: Mutex<BTreeMap<ModelId, ModelRoutes>>,
}

impl Table {
    pub fn of(&self, model: &ModelId) -> Option<ModelRoutes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner).get(model).cloned()
    }

    /// The gateway of a server that starts knows nothing.
    pub fn clear(&self) {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Publisher for Table {
    fn publish(&self, routes: ModelRoutes) {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner).insert(routes.model.clone(), routes);
    }

    fn forget(&self, model: &ModelId) {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner).remove(model);
    }

    fn knows_all(&self) {}
}
