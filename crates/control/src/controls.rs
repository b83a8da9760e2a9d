//! Controls of a running promotion: cancel, pause, resume, roll forward.

use domain::{
    Action, Actor, Asked, EnvironmentName, EventKind, ModelId, Phase, Promotion, PromotionId, Signal, ask,
};
use serde_json::json;

use crate::parts::{Done, persist};
use crate::{ControlPlane, Error};

impl ControlPlane {
    /// Cancels the running promotion of an environment: its traffic goes back at once where capacity permits.
    ///
    /// Returns the phase reached when requests met the change, or after two seconds: [`Phase::Canceled`], or
    /// [`Phase::RampingDown`] if the previous deployment had lost replicas.
    pub async fn cancel_promotion(
        &self,
        actor: &Actor,
        model: &ModelId,
        environment: &EnvironmentName,
    ) -> Result<Phase, Error> {
        let now = self.signal_promotion(actor, model, environment, Signal::Cancel).await?;
        Ok(now.map(|promotion| promotion.phase).filter(|phase| phase.is_over()).unwrap_or(Phase::RampingDown))
    }

    /// Asks something of the running promotion of an environment, and returns the promotion as it is when requests met
    /// the change, or after two seconds.
    ///
    /// What is so already is asked once. Refused with what to do instead if nothing is in progress or it makes no sense
    /// now ([`ask`]).
    pub async fn signal_promotion(
        &self,
        actor: &Actor,
        model: &ModelId,
        environment: &EnvironmentName,
        signal: Signal,
    ) -> Result<Option<Promotion>, Error> {
        self.may(actor, Action::Deploy)?;
        let (done, id) = persist!(self.try_signal(actor, model, environment, signal).await)?;
        self.moved(&done).await;
        let last = self.parts.store.last_promotion(model, environment).await?;
        Ok(last.filter(|promotion| promotion.id == id))
    }

    async fn try_signal(
        &self,
        actor: &Actor,
        model: &ModelId,
        environment: &EnvironmentName,
        signal: Signal,
    ) -> Result<(Done, PromotionId), Error> {
        let mut held = self.hold(model).await?;
        held.environment(environment)?;
        self.may_change(actor, environment)?;
        let Some(mut promotion) = held.running(environment).cloned() else {
            return Err(Error::Conflict(format!("Environment {environment} has no in progress promotion.")));
        };
        let id = promotion.id.clone();
        if ask(&promotion, signal).map_err(Error::Conflict)? == Asked::Store {
            let candidate = promotion.candidate.clone();
            let (percent, strategy) = (promotion.percent(), promotion.strategy);
            promotion.send(signal, &actor.name, held.now);
            held.save_promotion(promotion).await?;
            let noun = signal.noun();
            let sentence = format!("{noun} of the promotion to {environment} was asked for at {percent} %");
            let data =
                json!({ "action": signal.meant(strategy).action(), "promotion": id, "percent": percent });
            let kind = EventKind::ModelPromotionControlAction;
            held.record(self, actor, kind, Some(&candidate), Some(environment), sentence, data).await?;
        }
        Ok((self.finish(held).await?, id))
    }
}
