//! What the management doors share: the use cases, and how they read one model.

mod archive;

use std::path::PathBuf;
use std::sync::Arc;

use axum::response::Response;
use control::{ControlPlane, Error};
use domain::{Actor, Clock, DeploymentId, Door, Host, ModelId, ModelName, Runtime, Seen, Timestamp};
use engine::StartTimes;
use http::HeaderMap;
use store::{ModelPart, Newest, Part};

use crate::auth;
use crate::picture::{Overview, Picture};
use crate::rest::Limits;
use crate::uses::Uses;

/// The use cases with what the doors need beside them.
pub struct Api {
    pub control: Arc<ControlPlane>,
    pub runtime: Arc<dyn Runtime>,
    pub clock: Arc<dyn Clock>,
    /// What models may use of the machine.
    pub host: Arc<Host>,
    /// What replicas used when somebody looked last.
    pub uses: Uses,
    /// How long starts took since this server began.
    pub start_times: Arc<StartTimes>,
    /// Where this server is called, without a slash at the end.
    pub public_url: Arc<str>,
    /// When this server was first started.
    pub since: Timestamp,
    /// The folder of pushed archives.
    pub artifacts: PathBuf,
    /// Signs links to archives; forgotten with the process.
    pub link_secret: [u8; 32],
    /// What each key has used up of its rates.
    pub limits: Limits,
}

impl Api {
    /// Who asks, by the API key in the header.
    pub async fn caller(&self, headers: &HeaderMap) -> Result<Actor, Error> {
        let key = auth::key(headers).ok_or(Error::Unauthorized)?;
        self.control.authenticate(key, Door::Api).await
    }

    /// One model with all its deployments, or why it can't be seen.
    pub async fn whole(&self, actor: &Actor, model: &ModelId) -> Result<Picture, Error> {
        let state = self.control.model(actor, model).await?;
        Ok(self.draw(actor, state))
    }

    /// One model with the deployments that serve, run or are under development, and with these if they are the model's.
    pub async fn picture(
        &self,
        actor: &Actor,
        model: &ModelId,
        named: &[DeploymentId],
    ) -> Result<Picture, Error> {
        self.part(actor, model, Part { named: named.to_vec(), newest: None }).await
    }

    /// The same with some of the newest published deployments.
    pub async fn page(
        &self,
        actor: &Actor,
        model: &ModelId,
        newest: Newest,
        named: &[DeploymentId],
    ) -> Result<Picture, Error> {
        self.part(actor, model, Part { named: named.to_vec(), newest: Some(newest) }).await
    }

    async fn part(&self, actor: &Actor, model: &ModelId, mut part: Part) -> Result<Picture, Error> {
        if let Seen::Known(replicas) = self.runtime.observe(model) {
            part.named.extend(replicas.into_iter().map(|replica| replica.deployment));
        }
        let read = self.control.model_part(actor, model, &part).await?;
        Ok(self.draw_part(actor, read))
    }

    pub async fn picture_by_name(&self, actor: &Actor, name: &str) -> Result<Picture, Error> {
        let name =
            ModelName::new(name).map_err(|_| Error::not_found(format!("there is no model `{name}`")))?;
        let state = self.control.model_by_name(actor, &name).await?;
        Ok(self.draw(actor, state))
    }

    /// The model that a deployment belongs to.
    pub async fn picture_by_deployment(
        &self,
        actor: &Actor,
        id: &str,
    ) -> Result<(Picture, DeploymentId), Error> {
        let id = DeploymentId::new(id);
        let part = self.control.model_of(actor, &id).await?;
        Ok((self.draw_part(actor, part), id))
    }

    /// Every model with all its deployments, by name.
    pub async fn pictures(&self, actor: &Actor) -> Result<Vec<Picture>, Error> {
        let states = self.control.models(actor).await?;
        Ok(states.into_iter().map(|state| self.draw(actor, state)).collect())
    }

    /// Models by name with what their production serves: at most `limit` after the name `after`.
    pub async fn overviews(
        &self,
        actor: &Actor,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Overview>, Error> {
        let all = self.control.model_overviews(actor, after, limit).await?;
        Ok(all.into_iter().map(|overview| self.draw_overview(actor, overview)).collect())
    }

    /// The same of the model of this name, if there is one.
    pub async fn overview_by_name(&self, actor: &Actor, name: &str) -> Result<Option<Overview>, Error> {
        let found = self.control.model_overview_by_name(actor, name).await?;
        Ok(found.map(|overview| self.draw_overview(actor, overview)))
    }

    pub fn draw_overview(&self, actor: &Actor, overview: store::ModelOverview) -> Overview {
        let state = store::ModelState {
            model: overview.model,
            deleted: false,
            deployments: overview.named,
            environments: overview.production.into_iter().collect(),
            promotions: overview.promotion.into_iter().collect(),
        };
        let count = overview.deployments;
        Overview {
            development: overview.development,
            changed_at: overview.changed_at,
            picture: Picture { count, ..self.draw(actor, state) },
        }
    }

    fn draw_part(&self, actor: &Actor, part: ModelPart) -> Picture {
        let ModelPart { state, page, next, count } = part;
        Picture { page, next, count, ..self.draw(actor, state) }
    }

    /// A model with what its replicas do now.
    pub fn draw(&self, actor: &Actor, state: store::ModelState) -> Picture {
        let ring = self.control.key_ring();
        let names = state.environments.iter().map(|environment| &environment.name);
        let restricted = names.filter(|name| ring.restriction(name).is_some());
        let restricted = restricted.map(|name| (name.clone(), ring.kept_out(actor, name))).collect();
        let mut deployments = state.deployments;
        deployments.retain(|deployment| deployment.deleted_at.is_none());
        let mut promotions = state.promotions;
        promotions.retain(domain::Promotion::is_running);
        Picture {
            replicas: self.runtime.observe(&state.model.id),
            model: state.model,
            count: deployments.len() as u64,
            page: Vec::new(),
            next: None,
            deployments,
            environments: state.environments,
            promotions,
            host: self.host.clone(),
            now: self.clock.now(),
            role: actor.role,
            restricted,
            public_url: self.public_url.clone(),
        }
    }

    /// A token that lets its holder fetch one deployment's archive for some minutes.
    pub fn archive_token(
        &self,
        actor: &Actor,
        picture: &Picture,
        deployment: &DeploymentId,
    ) -> Result<String, Error> {
        if !actor.role.permits(domain::Action::View) {
            return Err(Error::forbidden("your key may only call models"));
        }
        if !picture.model.allow_download {
            return Err(Error::conflict(format!(
                "{} was pushed with downloads disabled",
                picture.model.name
            )));
        }
        let found = picture.deployment(deployment);
        let artifact =
            found.map(|found| &found.artifact).ok_or_else(|| Error::not_found("the deployment is gone"))?;
        Ok(archive::token(&self.link_secret, artifact, self.clock.now()))
    }

    /// The archive that a token is for; nothing if it is not ours, or too old.
    pub async fn archive(&self, token: &str) -> Option<Response> {
        let artifact = archive::check(&self.link_secret, token, self.clock.now())?;
        let path = self.artifacts.join(format!("{artifact}.tar"));
        let folder = self.artifacts.join(artifact.as_str());
        archive::ensure(&folder, &path).await;
        archive::send(&path, &artifact).await
    }
}
