//! The development deployment becomes a deployment of its own, without an environment.

use domain::{Action, Actor, DeploymentId, DeploymentName, EventKind, Invalid, ModelId, may_publish};
use serde_json::json;

use crate::parts::persist;
use crate::{ControlPlane, Error};

impl ControlPlane {
    /// Makes a copy of the development deployment that stays as it is, and starts it. The slot stays, too.
    ///
    /// `name` is as typed; without one the copy is numbered.
    pub async fn publish(
        &self,
        actor: &Actor,
        model: &ModelId,
        id: &DeploymentId,
        name: Option<&str>,
    ) -> Result<DeploymentId, Error> {
        self.may(actor, Action::Deploy)?;
        let name = name.map(DeploymentName::new).transpose()?;
        persist!(self.try_publish(actor, model, id, name.as_ref()).await)
    }

    async fn try_publish(
        &self,
        actor: &Actor,
        model: &ModelId,
        id: &DeploymentId,
        name: Option<&DeploymentName>,
    ) -> Result<DeploymentId, Error> {
        let mut held = self.hold(model).await?;
        let source = held.deployment(id)?.clone();
        may_publish(&source).map_err(Error::Conflict)?;
        let live = held.state.deployments.iter().filter(|other| other.deleted_at.is_none());
        let taken: Vec<DeploymentName> = live.map(|other| other.name.clone()).collect();
        let name = match name {
            Some(name) if taken.contains(name) => {
                let problem =
                    format!("another deployment of {} is named `{name}` already", held.state.model.name);
                return Err(Invalid::new("name", problem).into());
            }
            Some(name) => name.clone(),
            None => {
                let name = held.state.model.take_name(|name| taken.contains(name));
                let model = held.state.model.clone();
                held.tx.save_model(&model).await?;
                name
            }
        };
        let copy = self.copy(&held, &source, name, actor);
        let (copy_id, copy_name) = (copy.id.clone(), copy.name.clone());
        held.insert_deployment(copy).await?;
        let sentence = format!("{copy_name} was published from the development deployment");
        let data = json!({ "copied_from": source.id, "publish": true });
        held.record(self, actor, EventKind::ModelDeployed, Some(&copy_id), None, sentence, data).await?;
        self.finish(held).await?;
        Ok(copy_id)
    }
}
