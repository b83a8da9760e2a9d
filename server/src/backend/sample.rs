//! Sample traffic: some requests with the model's example input, so that a first rollout has something to count.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use app::error::AppError;
use app::view::{Done, SampleRun};
use domain::{Action, Actor, EnvironmentName, ModelId};
use tokio::time::MissedTickBehavior;

use super::Dashboard;
use super::errors::told;
use super::pages::{example, sample_permit};

/// Requests of one run.
const REQUESTS: u32 = 100;
/// Time between two of them.
const PACE: Duration = Duration::from_millis(200);

/// The runs of this server, the last one of each environment. Forgotten when it stops: they are for the eye only.
#[derive(Default)]
pub struct Samples(Mutex<HashMap<(ModelId, EnvironmentName), SampleRun>>);

impl Samples {
    /// The run of an environment that goes on, or the last one.
    pub fn of(&self, model: &ModelId, environment: &EnvironmentName) -> Option<SampleRun> {
        let runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        runs.get(&(model.clone(), environment.clone())).copied()
    }

    /// Begins a run; false while one goes on.
    fn begin(&self, key: &(ModelId, EnvironmentName)) -> bool {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if runs.get(key).is_some_and(|run| run.running) {
            return false;
        }
        let run = SampleRun { of: REQUESTS, sent: 0, answered: 0, refused: 0, failed: 0, running: true };
        runs.insert(key.clone(), run);
        true
    }

    fn note(&self, key: &(ModelId, EnvironmentName), change: impl FnOnce(&mut SampleRun)) {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = runs.get_mut(key) {
            change(run);
        }
    }
}

impl Dashboard {
    pub(super) async fn do_send_sample(
        &self,
        actor: &Actor,
        model: &ModelId,
        name: &EnvironmentName,
    ) -> Result<Done, AppError> {
        if !actor.role.permits(Action::Invoke) {
            return Err(AppError::Forbidden { message: "Your key may not call models.".into() });
        }
        let picture = self.api.picture(actor, model, &[]).await.map_err(told)?;
        let Some(environment) = picture.environment(name) else {
            return Err(AppError::not_found(format!("{} has no environment `{name}`.", picture.model.name)));
        };
        sample_permit(&picture, environment).map_err(|reason| AppError::Conflict {
            message: format!("Sample traffic can't be sent: {reason}."),
        })?;
        let current = environment.current.as_ref().and_then(|id| picture.deployment(id));
        let input = current.map(example).unwrap_or_else(|| "{}".into());
        let key = (model.clone(), name.clone());
        if !self.samples.begin(&key) {
            let message = format!("Sample traffic is being sent to {name}; wait until it is over.");
            return Err(AppError::Conflict { message });
        }
        let path = picture.environment_path(name);
        let (samples, trial) = (self.samples.clone(), self.trial.clone());
        tokio::spawn(async move { send(samples, trial, key, path, input).await });
        let seconds = PACE.as_millis() * u128::from(REQUESTS) / 1000;
        Ok(Done::new(format!("{REQUESTS} requests go to {name} over {seconds} seconds.")))
    }
}

/// Sends the requests at their pace, whatever becomes of each; ends when all have ended.
async fn send(
    samples: Arc<Samples>,
    trial: super::Trial,
    key: (ModelId, EnvironmentName),
    path: String,
    input: String,
) {
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut open = tokio::task::JoinSet::new();
    for _ in 0..REQUESTS {
        pace.tick().await;
        samples.note(&key, |run| run.sent += 1);
        let (samples, trial, key) = (samples.clone(), trial.clone(), key.clone());
        let (path, input) = (path.clone(), input.clone());
        open.spawn(async move {
            let status = trial.status(path, input).await;
            samples.note(&key, |run| match status {
                Some(200..=299) => run.answered += 1,
                Some(400..=499) => run.refused += 1,
                _ => run.failed += 1,
            });
        });
    }
    while open.join_next().await.is_some() {}
    samples.note(&key, |run| run.running = false);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_at_a_time_for_each_environment() {
        let samples = Samples::default();
        let key = |name: &str| (ModelId::new("m"), EnvironmentName::new(name).unwrap());
        assert!(samples.begin(&key("production")));
        assert!(!samples.begin(&key("production")));
        assert!(samples.begin(&key("staging")));
        samples.note(&key("production"), |run| run.running = false);
        assert!(samples.begin(&key("production")));
        assert_eq!(samples.of(&key("staging").0, &key("staging").1).map(|run| run.running), Some(true));
    }
}
