//! What a replica is given of the workspace's secrets.

use std::collections::BTreeMap;

use domain::{Deployment, SecretValue, declared_secrets};

use crate::{Engine, Error};

impl Engine {
    /// The values of the secrets that a deployment declares, and of no others; or why one can't be opened.
    ///
    /// One that is not set is left out, which the deployment's log tells: the model may do without it.
    pub(crate) async fn secrets(
        &self,
        deployment: &Deployment,
    ) -> Result<Result<BTreeMap<String, SecretValue>, String>, Error> {
        let declared = declared_secrets(&deployment.config);
        if declared.is_empty() {
            return Ok(Ok(BTreeMap::new()));
        }
        let names: Vec<&str> = declared.keys().copied().collect();
        let mut values = BTreeMap::new();
        for row in self.parts.store.secrets_named(&names).await? {
            match self.parts.vault.open(&row.name, &row.sealed) {
                Ok(value) => values.insert(row.name.into(), value),
                Err(error) => return Ok(Err(error.to_string())),
            };
        }
        for (name, has_own) in declared {
            if !has_own && !values.contains_key(name) {
                tracing::warn!(deployment = %deployment.id, secret = name, "a replica starts without a secret");
                let line = format!(
                    "the secret `{name}` is declared but not set; the replica starts without it; set it with \
                     POST /v1/secrets, and replicas that start afterwards have it"
                );
                self.parts.runtime.note(&deployment.id, &line).await;
            }
        }
        Ok(Ok(values))
    }
}
