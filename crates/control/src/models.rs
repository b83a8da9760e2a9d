use domain::{Action, Actor, Deployment, DeploymentId, EventKind, ModelId, ModelName};
use serde_json::json;
use store::{LastChanged, ModelList, ModelOverview, ModelPart, ModelState, Part};

use crate::activity::plain;
use crate::parts::{no_model, persist};
use crate::{ControlPlane, Error};

impl ControlPlane {
    /// Everything about one model.
    pub async fn model(&self, actor: &Actor, id: &ModelId) -> Result<ModelState, Error> {
        self.may(actor, Action::View)?;
        let state = self.parts.store.load_model(id).await?;
        state.filter(|state| !state.deleted).ok_or_else(|| no_model(id))
    }

    /// A model with a part of its deployments.
    pub async fn model_part(&self, actor: &Actor, id: &ModelId, part: &Part) -> Result<ModelPart, Error> {
        self.may(actor, Action::View)?;
        self.parts.store.load_part(id, part).await?.ok_or_else(|| no_model(id))
    }

    /// The model that a deployment belongs to, with that deployment.
    pub async fn model_of(&self, actor: &Actor, id: &DeploymentId) -> Result<ModelPart, Error> {
        self.may(actor, Action::View)?;
        let found = self.parts.store.find_deployment(id).await?;
        let deployment = found.ok_or_else(|| Error::NotFound(format!("there is no deployment `{id}`")))?;
        let part = Part { named: vec![id.clone()], newest: None };
        self.model_part(actor, &deployment.model, &part).await
    }

    /// One deployment of a model.
    pub(crate) async fn deployment_of(
        &self,
        model: &ModelId,
        id: &DeploymentId,
    ) -> Result<Deployment, Error> {
        let found = self.parts.store.find_deployment(id).await?;
        if let Some(deployment) = found.filter(|deployment| &deployment.model == model) {
            return Ok(deployment);
        }
        let part = self.parts.store.load_part(model, &Part::default()).await?;
        let name = part.ok_or_else(|| no_model(model))?.state.model.name;
        Err(Error::NotFound(format!("{name} has no deployment `{id}`")))
    }

    pub async fn model_by_name(&self, actor: &Actor, name: &ModelName) -> Result<ModelState, Error> {
        self.may(actor, Action::View)?;
        let found = self.parts.store.find_model_by_name(name).await?;
        let model = found.ok_or_else(|| Error::NotFound(format!("there is no model named `{name}`")))?;
        self.model(actor, &model.id).await
    }

    /// Models and what their production serves, by name, at most `limit` after `after`.
    pub async fn model_overviews(
        &self,
        actor: &Actor,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ModelOverview>, Error> {
        self.may(actor, Action::View)?;
        Ok(self.parts.store.model_overviews(after, limit).await?)
    }

    /// The model of this name and what its production serves, if there is one. What can't be a name is no model's.
    pub async fn model_overview_by_name(
        &self,
        actor: &Actor,
        name: &str,
    ) -> Result<Option<ModelOverview>, Error> {
        self.may(actor, Action::View)?;
        match ModelName::new(name) {
            Ok(name) => Ok(self.parts.store.model_overview_by_name(&name).await?),
            Err(_) => Ok(None),
        }
    }

    /// A page of the models that changed last.
    ///
    /// # Errors
    /// The text that is looked for (`filter`) has more than 256 characters, or one that controls a terminal.
    pub async fn last_changed(&self, actor: &Actor, wanted: &LastChanged) -> Result<ModelList, Error> {
        self.may(actor, Action::View)?;
        plain("filter", &wanted.named_like)?;
        Ok(self.parts.store.last_changed(wanted).await?)
    }

    /// Every model with everything about it, by name.
    pub async fn models(&self, actor: &Actor) -> Result<Vec<ModelState>, Error> {
        self.may(actor, Action::View)?;
        Ok(self.parts.store.load_all_models().await?)
    }

    /// Gives a model another name; its address stays.
    pub async fn rename_model(&self, actor: &Actor, id: &ModelId, name: &str) -> Result<(), Error> {
        self.may(actor, Action::Deploy)?;
        let name = ModelName::new(name)?;
        persist!(self.try_rename_model(actor, id, &name).await)
    }

    async fn try_rename_model(&self, actor: &Actor, id: &ModelId, name: &ModelName) -> Result<(), Error> {
        let mut held = self.hold(id).await?;
        let previous = std::mem::replace(&mut held.state.model.name, name.clone());
        if &previous == name {
            return Ok(held.tx.rollback().await?);
        }
        held.tx.save_model(&held.state.model).await.map_err(|error| match error {
            store::Error::Taken { .. } => {
                domain::Invalid::new("name", format!("another model is named `{name}` already")).into()
            }
            other => Error::from(other),
        })?;
        let sentence = format!("{previous} was renamed to {name}");
        let data = json!({ "previous_name": previous });
        held.record(self, actor, EventKind::ModelRenamed, None, None, sentence, data).await?;
        self.finish(held).await?;
        Ok(())
    }

    /// Deletes a model with all its deployments and environments. Its usage stays in the log.
    pub async fn delete_model(&self, actor: &Actor, id: &ModelId) -> Result<(), Error> {
        self.may(actor, Action::Deploy)?;
        let done = persist!(self.try_delete_model(actor, id).await)?;
        self.moved(&done).await;
        Ok(())
    }

    async fn try_delete_model(&self, actor: &Actor, id: &ModelId) -> Result<crate::parts::Done, Error> {
        let mut held = self.hold(id).await?;
        self.may_change_all(actor, &held.state)?;
        let now = held.now;
        for mut promotion in held.state.promotions.clone() {
            promotion.phase = domain::Phase::Canceled;
            promotion.ended_at = Some(now);
            promotion.reason = Some("the model was deleted".into());
            held.save_promotion(promotion).await?;
        }
        for environment in held.state.environments.clone() {
            held.tx.delete_environment(id, &environment.name).await?;
        }
        for mut deployment in held.state.deployments.clone() {
            if deployment.deleted_at.is_none() {
                deployment.deleted_at = Some(now);
                deployment.target = 0;
                deployment.environment = None;
                held.save_deployment(deployment).await?;
            }
        }
        held.tx.mark_model_deleted(id, now).await?;
        let name = held.state.model.name.clone();
        let sentence = format!("{name} was deleted with all its deployments");
        held.record(self, actor, EventKind::ModelDeleted, None, None, sentence, json!({ "name": name }))
            .await?;
        self.finish(held).await
    }
}
