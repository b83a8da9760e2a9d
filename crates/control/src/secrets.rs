//! Secrets of the workspace: set, listed and deleted here; read by nobody but the models that declare them.

use domain::{Action, Actor, EventKind, SecretId, SecretName, SecretValue};
use serde_json::json;
use store::SecretRow;

use crate::parts::About;
use crate::{ControlPlane, Error};

impl ControlPlane {
    /// Every secret, without its value, by name.
    pub async fn secrets(&self, actor: &Actor) -> Result<Vec<SecretRow>, Error> {
        self.may(actor, Action::View)?;
        Ok(self.parts.store.secrets().await?)
    }

    /// Sets a secret, or gives it another value. Replicas that start from then on get it; those that run keep what they
    /// were started with.
    pub async fn set_secret(
        &self,
        actor: &Actor,
        name: SecretName,
        value: &SecretValue,
    ) -> Result<SecretRow, Error> {
        self.may(actor, Action::Deploy)?;
        let mut nonce = [0; 24];
        (self.parts.random)(&mut nonce);
        let now = self.now();
        let row = SecretRow {
            id: SecretId::from_random(self.random_bytes()),
            sealed: self.parts.vault.seal(&name, value, nonce)?,
            name,
            created_at: now,
            updated_at: now,
        };
        let mut tx = self.parts.store.begin().await?;
        let stored = tx.put_secret(&row).await?;
        let about = about(
            EventKind::SecretUpdated,
            &stored.id,
            &stored.name,
            if stored.id == row.id { "was set" } else { "got a new value" },
        );
        tx.append(&self.event(actor, now, 0, about)).await?;
        tx.commit().await?;
        self.tell_workspace();
        Ok(stored)
    }

    /// Deletes a secret. Replicas that run keep what they were started with.
    pub async fn delete_secret(&self, actor: &Actor, name: &SecretName) -> Result<(), Error> {
        self.may(actor, Action::Deploy)?;
        let now = self.now();
        let mut tx = self.parts.store.begin().await?;
        let Some(id) = tx.delete_secret(name).await? else {
            return Err(Error::NotFound(format!("there is no secret `{name}`")));
        };
        let about = about(EventKind::SecretDeleted, &id, name, "was deleted");
        tx.append(&self.event(actor, now, 0, about)).await?;
        tx.commit().await?;
        self.tell_workspace();
        Ok(())
    }

    /// The secrets that this server's key does not open.
    pub async fn unreadable_secrets(&self) -> Result<Vec<SecretName>, Error> {
        let rows = self.parts.store.secrets().await?;
        let shut = rows.into_iter().filter(|row| self.parts.vault.open(&row.name, &row.sealed).is_err());
        Ok(shut.map(|row| row.name).collect())
    }
}

fn about(kind: EventKind, id: &SecretId, name: &SecretName, done: &str) -> About<'static> {
    About {
        kind,
        model: None,
        deployment: None,
        environment: None,
        sentence: format!("the secret {name} {done}"),
        data: json!({ "secret_id": id, "secret_name": name }),
    }
}
