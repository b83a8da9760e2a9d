//! One replica at a time.

use domain::{Action, Actor, DeploymentId, EventKind, ModelId, ObservedReplica, ReplicaId, Seen};
use serde_json::json;

use crate::parts::{Done, persist};
use crate::{ControlPlane, Error};

impl ControlPlane {
    /// Ends one replica: it gets no new request, finishes those it has and stops, and another one starts in its place
    /// while the deployment wants as many. False if that was asked for already.
    ///
    /// Returns once no new request reaches it.
    pub async fn terminate_replica(
        &self,
        actor: &Actor,
        model: &ModelId,
        id: &DeploymentId,
        replica: &ReplicaId,
    ) -> Result<bool, Error> {
        self.may(actor, Action::Deploy)?;
        let Some(done) = persist!(self.try_terminate(actor, model, id, replica).await)? else {
            return Ok(false);
        };
        self.moved(&done).await;
        Ok(true)
    }

    async fn try_terminate(
        &self,
        actor: &Actor,
        model: &ModelId,
        id: &DeploymentId,
        replica: &ReplicaId,
    ) -> Result<Option<Done>, Error> {
        let mut held = self.hold(model).await?;
        let mut deployment = held.deployment(id)?.clone();
        self.may_change_attached(actor, &deployment)?;
        let Seen::Known(seen) = self.parts.runtime.observe(model) else {
            return Err(Error::Conflict(
                "the machine can't be asked about its replicas at the moment; try again in a few seconds"
                    .into(),
            ));
        };
        let runs = |seen: &ObservedReplica| &seen.id == replica && &seen.deployment == id && seen.is_alive();
        if !seen.iter().any(runs) {
            return Err(Error::NotFound(format!("no replica `{replica}` of {} runs", deployment.name)));
        }
        if deployment.terminating.contains(replica) {
            held.tx.rollback().await?;
            return Ok(None);
        }
        deployment.terminating.push(replica.clone());
        let sentence = format!("replica {replica} of {} was terminated", deployment.name);
        let environment = deployment.environment.clone();
        held.save_deployment(deployment).await?;
        let data = json!({ "replica": replica });
        let kind = EventKind::ReplicaTerminated;
        held.record(self, actor, kind, Some(id), environment.as_ref(), sentence, data).await?;
        Ok(Some(self.finish(held).await?))
    }
}
