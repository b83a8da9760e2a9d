use domain::{Action, Actor, DeploymentId, LogFound, LogNews, LogQuery, ModelId, RuntimeError};

use crate::{ControlPlane, Error};

/// The longest window one question may span, in milliseconds: a week.
const LONGEST_WINDOW: i64 = 7 * 86_400_000;
/// Lines of one answer, and of what one who follows is sent at once, at most.
pub(crate) const LINES: usize = 1000;
pub(crate) const NEWS: usize = 5000;
/// How long one search goes on, in milliseconds; what it has not looked at by then is left to the next one.
pub(crate) const PATIENCE: i64 = 2_500;
/// How many texts must occur at most, and how many must not.
const TEXTS: usize = 8;
/// The longest text, pattern or id, in characters.
const LONGEST_TEXT: usize = 256;

impl ControlPlane {
    /// Lines of a deployment's log. A search that would take long stops early and says how far it came.
    pub async fn logs(
        &self,
        actor: &Actor,
        model: &ModelId,
        deployment: &DeploymentId,
        query: &LogQuery,
    ) -> Result<LogFound, Error> {
        self.may_read_logs(actor, model, deployment, query, LINES).await?;
        let until = self.parts.clock.monotonic() + PATIENCE;
        let mut found = LogFound::default();
        let mut asked = query.clone();
        loop {
            let part = self.parts.runtime.logs(deployment, &asked).await.map_err(failed)?;
            let rest = part.rest(&asked);
            found.lines.extend(part.lines);
            found.searched_to = part.searched_to;
            match rest {
                Some(rest) if self.parts.clock.monotonic() < until => asked = rest,
                _ => return Ok(found),
            }
        }
    }

    /// Waits for what is written to a deployment's log after the query's moment. A deployment that is deleted meanwhile
    /// is not found by the next question.
    pub async fn follow_logs(
        &self,
        actor: &Actor,
        model: &ModelId,
        deployment: &DeploymentId,
        query: &LogQuery,
    ) -> Result<LogNews, Error> {
        self.may_read_logs(actor, model, deployment, query, NEWS).await?;
        self.parts.runtime.follow(deployment, query).await.map_err(failed)
    }

    async fn may_read_logs(
        &self,
        actor: &Actor,
        model: &ModelId,
        deployment: &DeploymentId,
        query: &LogQuery,
        most: usize,
    ) -> Result<(), Error> {
        self.may(actor, Action::View)?;
        self.deployment_of(model, deployment).await?;
        Ok(check(query, most)?)
    }
}

pub(crate) fn failed(error: RuntimeError) -> Error {
    match error {
        RuntimeError::Refused(problem) => domain::Invalid::new("search_pattern", problem).into(),
        RuntimeError::Retryable(problem) => Error::Internal(problem),
    }
}

pub(crate) fn check(query: &LogQuery, most: usize) -> Result<(), domain::Invalid> {
    if !(1..=most).contains(&query.limit) {
        return Err(domain::Invalid::new("limit", format!("{} is not within 1 to {most}", query.limit)));
    }
    if let (Some(start), Some(end)) = (query.start, query.end) {
        if end < start {
            return Err(domain::Invalid::new("end_epoch_millis", "the window ends before it begins"));
        }
        if end.since(start) > LONGEST_WINDOW {
            return Err(domain::Invalid::new("start_epoch_millis", "a window has at most 7 days"));
        }
    }
    let too_long = |text: &String| text.chars().count() > LONGEST_TEXT;
    for (field, list) in [("includes", &query.includes), ("excludes", &query.excludes)] {
        if list.len() > TEXTS {
            let problem = format!("{} texts are given, at most {TEXTS} are allowed", list.len());
            return Err(domain::Invalid::new(field, problem));
        }
        if list.iter().any(too_long) {
            return Err(domain::Invalid::new(field, format!("a text has at most {LONGEST_TEXT} characters")));
        }
    }
    for (field, text) in [
        ("replica", &query.replica),
        ("request_id", &query.request_id),
        ("search_pattern", &query.search_pattern),
    ] {
        if text.as_ref().is_some_and(too_long) {
            return Err(domain::Invalid::new(field, format!("has more than {LONGEST_TEXT} characters")));
        }
    }
    Ok(())
}
