//! What pages show.

use app::error::AppError;
use app::view::{
    DeploymentPage, EnvironmentPage, ModelPage, ModelsPage, ReplicaRow, ReplicasNow, ScalingPage,
};
use domain::{Actor, Deployment, DeploymentId, EnvironmentName, ModelId};
use store::{EventFilter, LastChanged, Newest, Place};

use super::errors::told;
use super::first_run::first_run;
use super::{Dashboard, pages};
use crate::picture::Picture;
use crate::room_left;

/// Models or deployments that a list shows, and deployments that can be chosen from.
const LISTED: u32 = 50;
const FIRST: Newest = Newest { after: None, limit: LISTED };

/// Decisions that an environment's page shows at most.
const DECISIONS: u32 = 200;

/// Where the page before ended, if there was one.
fn place(cursor: &str) -> Result<Option<Place>, AppError> {
    Ok((!cursor.is_empty()).then(|| cursor.parse()).transpose()?)
}

impl Dashboard {
    pub(super) async fn read_models(
        &self,
        actor: &Actor,
        filter: &str,
        cursor: &str,
    ) -> Result<ModelsPage, AppError> {
        let after = place(cursor)?;
        let wanted = LastChanged { named_like: filter.trim().to_owned(), after, limit: LISTED };
        let list = self.api.control.last_changed(actor, &wanted).await.map_err(told)?;
        let models: Vec<_> = list
            .models
            .into_iter()
            .map(|overview| pages::model_row(&self.api.draw_overview(actor, overview)))
            .collect();
        let first_run = if list.count == 0 { Some(first_run(&self.api.public_url).await) } else { None };
        Ok(ModelsPage {
            warning: room_left::warning(&self.api.artifacts),
            as_of: self.api.clock.now(),
            headline: pages::models_headline(&models, list.count),
            models,
            filter: filter.to_owned(),
            cursor: cursor.to_owned(),
            older: list.next.as_ref().map(ToString::to_string),
            found: list.found,
            first_run,
        })
    }

    pub(super) async fn read_model(
        &self,
        actor: &Actor,
        model: &ModelId,
        cursor: &str,
    ) -> Result<ModelPage, AppError> {
        let newest = Newest { after: place(cursor)?, limit: LISTED };
        let picture = self.api.page(actor, model, newest, &[]).await.map_err(told)?;
        let mut page = pages::model_page(&picture, self.choosable(actor).await?);
        page.cursor = cursor.to_owned();
        let rows =
            page.deployments.iter_mut().chain(page.development.iter_mut().map(|band| &mut band.deployment));
        for row in rows {
            if let Some(deployment) = picture.deployment(&DeploymentId::new(row.id.clone())) {
                row.making = self.making(actor, &picture, deployment).await;
            }
        }
        Ok(page)
    }

    pub(super) async fn read_environment(
        &self,
        actor: &Actor,
        model: &ModelId,
        name: &EnvironmentName,
    ) -> Result<EnvironmentPage, AppError> {
        let last = self.api.control.promotions(actor, model, name, 1).await.map_err(told)?.pop();
        let sides: Vec<DeploymentId> = last
            .iter()
            .flat_map(|last| std::iter::once(&last.candidate).chain(last.previous.as_ref()))
            .cloned()
            .collect();
        let picture = self.api.page(actor, model, FIRST, &sides).await.map_err(told)?;
        let Some(environment) = picture.environment(name) else {
            return Err(AppError::not_found(format!("{} has no environment `{name}`.", picture.model.name)));
        };
        let promotion = picture.promotion(name).cloned().or(last);
        let filter = EventFilter {
            model: Some(model.clone()),
            environment: Some(name.to_string()),
            limit: DECISIONS,
            ..EventFilter::default()
        };
        let events = self.api.control.activity(actor, filter).await.map_err(told)?;
        let counts = |deployment: &DeploymentId| {
            promotion.as_ref().and_then(|promotion| self.rollouts.counted(promotion, deployment))
        };
        let sample = self.samples.of(model, name);
        let access = self.access(actor, name).await?;
        let promotion = promotion.as_ref();
        Ok(pages::environment_page(&picture, environment, promotion, &events, &counts, sample, access))
    }

    pub(super) async fn read_deployment(
        &self,
        actor: &Actor,
        model: &ModelId,
        id: &DeploymentId,
    ) -> Result<DeploymentPage, AppError> {
        let named = std::slice::from_ref(id);
        let picture = self.api.page(actor, model, FIRST, named).await.map_err(told)?;
        let Some(deployment) = picture.deployment(id) else {
            return Err(AppError::not_found(format!("{} has no deployment `{id}`.", picture.model.name)));
        };
        let copies = self.copies(&picture, deployment).await;
        let mut page = pages::deployment_page(&picture, deployment, copies);
        page.making = self.making(actor, &picture, deployment).await;
        page.instance_type = self.api.host.type_name(&deployment.compute);
        let disk = self.api.control.storage_of(actor, deployment).await.map_err(told)?;
        page.holds = pages::holds(deployment, &disk);
        Ok(page)
    }

    pub(super) async fn read_replicas(
        &self,
        actor: &Actor,
        model: &ModelId,
        id: &DeploymentId,
    ) -> Result<ReplicasNow, AppError> {
        let picture = self.api.picture(actor, model, std::slice::from_ref(id)).await.map_err(told)?;
        let Some(deployment) = picture.deployment(id) else {
            return Err(AppError::not_found(format!("{} has no deployment `{id}`.", picture.model.name)));
        };
        Ok(ReplicasNow { as_of: picture.now, copies: self.copies(&picture, deployment).await })
    }

    /// The replicas of a deployment with what they use now.
    async fn copies(&self, picture: &Picture, deployment: &Deployment) -> Vec<ReplicaRow> {
        let mut rows = Vec::new();
        for replica in picture.copies(&deployment.id) {
            let used = self.api.runtime.uses(&replica.id).await;
            let up = picture.now.since(replica.started_at);
            let percent =
                used.map(|used| self.api.uses.percent(&replica.id, used, self.api.clock.monotonic(), up));
            let in_flight = self.traffic.in_flight(&replica.id);
            rows.push(pages::replica_row(picture, deployment, replica, in_flight, used, percent));
        }
        rows
    }

    pub(super) async fn read_scaling(
        &self,
        actor: &Actor,
        model: &ModelId,
        id: &DeploymentId,
        hours: u32,
    ) -> Result<ScalingPage, AppError> {
        let now = self.api.clock.now();
        let picture = self.api.picture(actor, model, std::slice::from_ref(id)).await.map_err(told)?;
        let created = picture.deployment(id).map(|deployment| deployment.created_at);
        // Before it was there is nothing to see.
        let since = now.plus(-i64::from(hours) * 3_600_000).max(created.unwrap_or_default());
        let history = self.api.control.scaling_history(actor, model, id, since).await.map_err(told)?;
        Ok(pages::scaling_page(model, id, hours, since, now, history))
    }
}
