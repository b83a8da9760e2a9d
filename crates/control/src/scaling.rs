use domain::{Action, Actor, DecisionRow, DeploymentId, Event, ModelId, ScalingHistory, Timestamp};

use crate::{ControlPlane, Error};

/// The longest period that is kept, in milliseconds: a week.
const KEPT: i64 = 7 * 86_400_000;
/// Counts of replicas that one answer holds at most, and of decisions and of starts; the newest ones.
const MOST_COUNTS: u32 = 5_000;
const MOST_OTHERS: u32 = 500;
/// Rows of each kind that a deployment keeps.
const KEPT_ROWS: u32 = 20_000;

impl ControlPlane {
    /// How many replicas a deployment had since a moment, and why: oldest first, bounded, a week at most.
    pub async fn scaling_history(
        &self,
        actor: &Actor,
        model: &ModelId,
        deployment: &DeploymentId,
        since: Timestamp,
    ) -> Result<ScalingHistory, Error> {
        self.may(actor, Action::View)?;
        self.deployment_of(model, deployment).await?;
        let since = since.max(self.now().plus(-KEPT));
        let store = &self.parts.store;
        let events = store.scaling_decisions(deployment, since, MOST_OTHERS).await?;
        Ok(ScalingHistory {
            counts: store.replica_counts(deployment, since, MOST_COUNTS).await?,
            decisions: events.into_iter().filter_map(row).collect(),
            cold_starts: store.cold_starts(deployment, since, MOST_OTHERS).await?,
        })
    }

    /// Drops from the record of scaling what is older than a week, and what is more than a deployment may keep.
    pub async fn trim_scaling_history(&self) -> Result<(), Error> {
        Ok(self.parts.store.trim_history(self.now().plus(-KEPT), KEPT_ROWS).await?)
    }
}

/// A decision as it was recorded; one that can't be read is left out rather than made up.
fn row(event: Event) -> Option<DecisionRow> {
    let Event { at, sentence, data, id, .. } = event;
    match serde_json::from_value(data) {
        Ok(decided) => Some(DecisionRow { at, sentence, decided }),
        Err(error) => {
            tracing::warn!(event = %id, %error, "a recorded scaling decision can't be read");
            None
        }
    }
}
