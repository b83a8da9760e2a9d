use domain::{Action, Actor, DeploymentId, LogLine, LogQuery, ModelId, RuntimeError};

use crate::{ControlPlane, Error};

/// The longest window one question may span, in milliseconds: a week.
const LONGEST_WINDOW: i64 = 7 * 86_400_000;

impl ControlPlane {
    /// Lines of a deployment's log.
    pub async fn logs(
        &self,
        actor: &Actor,
        model: &ModelId,
        deployment: &DeploymentId,
        query: &LogQuery,
    ) -> Result<Vec<LogLine>, Error> {
        self.may(actor, Action::View)?;
        let state = self.model(actor, model).await?;
        if !state.deployments.iter().any(|found| &found.id == deployment && found.deleted_at.is_none()) {
            return Err(Error::NotFound(format!("{} has no deployment `{deployment}`", state.model.name)));
        }
        check(query)?;
        self.parts.runtime.logs(deployment, query).await.map_err(|error| match error {
            RuntimeError::Refused(problem) => domain::Invalid::new("search_pattern", problem).into(),
            RuntimeError::Retryable(problem) => Error::Internal(problem),
        })
    }
}

fn check(query: &LogQuery) -> Result<(), domain::Invalid> {
    if !(1..=1000).contains(&query.limit) {
        return Err(domain::Invalid::new("limit", format!("{} is not within 1 to 1000", query.limit)));
    }
    if let (Some(start), Some(end)) = (query.start, query.end) {
        if end < start {
            return Err(domain::Invalid::new("end_epoch_millis", "the window ends before it begins"));
        }
        if end.since(start) > LONGEST_WINDOW {
            return Err(domain::Invalid::new("start_epoch_millis", "a window has at most 7 days"));
        }
    }
    for (field, list) in [("includes", &query.includes), ("excludes", &query.excludes)] {
        if list.len() > 8 {
            return Err(domain::Invalid::new(
                field,
                format!("{} texts are given, at most 8 are allowed", list.len()),
            ));
        }
        if list.iter().any(|text| text.len() > 256) {
            return Err(domain::Invalid::new(field, "a text has at most 256 characters"));
        }
    }
    Ok(())
}
