//! The log of an environment: those of all that it had, each for the time that it was there.

use domain::{
    Action, Actor, Attachment, Change, ChangeKind, EnvironmentLogFound, EnvironmentLogNews, EnvironmentName,
    LogMerge, LogPlaces, LogQuery, ModelId, Timestamp, attached_within, in_reading_order, served_first_until,
};
use store::Part;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use crate::logs::{LINES, NEWS, PATIENCE, check, failed};
use crate::parts::no_model;
use crate::{ControlPlane, Error};

/// Promotions that are looked at, the newest, to find what an environment had in a window.
const PROMOTIONS: u32 = 200;
/// After this long, in milliseconds, no line is on its way any more that is of an earlier moment.
const SETTLED: i64 = 60_000;

impl ControlPlane {
    /// Lines of an environment's log: those of every deployment that it had within the question's window and that was not
    /// deleted since, each for the time that it was there. Stops early as [`ControlPlane::logs`] does.
    pub async fn environment_logs(
        &self,
        actor: &Actor,
        model: &ModelId,
        environment: &EnvironmentName,
        query: &LogQuery,
    ) -> Result<EnvironmentLogFound, Error> {
        self.may(actor, Action::View)?;
        check(query, LINES)?;
        let attached = in_reading_order(self.attached(model, environment, query).await?, query);
        let until = self.parts.clock.monotonic() + PATIENCE;
        let mut found = EnvironmentLogFound::default();
        let mut asked = query.clone();
        loop {
            let mut merge = LogMerge::new(&asked);
            for one in &attached {
                if self.parts.clock.monotonic() >= until
                    && let Some(at) = one.answered_before(&asked)
                {
                    merge.stop(at);
                    break;
                }
                let question = one.within(merge.query());
                let part = self.parts.runtime.logs(&one.deployment, &question).await.map_err(failed)?;
                merge.add(&one.deployment, part);
            }
            let part = merge.found();
            let rest = part.searched_to.map(|at| asked.beyond(at, part.lines.len()));
            found.lines.extend(part.lines);
            found.searched_to = part.searched_to;
            match rest {
                Some(rest) if self.parts.clock.monotonic() < until => asked = rest,
                _ => return Ok(found),
            }
        }
    }

    /// Where an environment's log ends now, for somebody who follows it from here on.
    pub async fn environment_log_end(
        &self,
        actor: &Actor,
        model: &ModelId,
        environment: &EnvironmentName,
    ) -> Result<LogPlaces, Error> {
        self.may(actor, Action::View)?;
        let mut places = LogPlaces::at(self.settled().millis().saturating_mul(1_000_000));
        for one in self.attached_since(model, environment, &places).await? {
            let newest = one.within(&LogQuery { limit: 1, ..LogQuery::default() });
            let found = self.parts.runtime.logs(&one.deployment, &newest).await.map_err(failed)?;
            if let Some(line) = found.lines.first() {
                places.go_on(&one.deployment, line.nanos);
            }
        }
        Ok(places)
    }

    /// Waits for what is written to an environment's log after some places, by whatever deployment it has at that moment.
    pub async fn follow_environment_logs(
        &self,
        actor: &Actor,
        model: &ModelId,
        environment: &EnvironmentName,
        query: &LogQuery,
        places: &LogPlaces,
    ) -> Result<EnvironmentLogNews, Error> {
        self.may(actor, Action::View)?;
        check(query, NEWS)?;
        // Listened to from before it is asked what is there, so that no change falls in between.
        let mut changes = self.parts.changes.subscribe();
        loop {
            let attached = self.attached_since(model, environment, places).await?;
            let news = self.environment_news(&attached, query, places).await?;
            if news.read_to != *places {
                return Ok(news);
            }
            // Either way it is asked again what is there: a deployment may have come or left.
            tokio::select! {
                written = self.written(&attached, places) => written?,
                () = changed(&mut changes, model) => {}
            }
        }
    }

    /// What was written after some places, without waiting for it.
    async fn environment_news(
        &self,
        attached: &[Attachment],
        query: &LogQuery,
        places: &LogPlaces,
    ) -> Result<EnvironmentLogNews, Error> {
        let runtime = &self.parts.runtime;
        let mut news = EnvironmentLogNews { read_to: places.clone(), ..EnvironmentLogNews::default() };
        let mut behind = Vec::new();
        // What came first is read first: a deployment may have been there twice, and has one place.
        for one in attached.iter().rev() {
            if behind.contains(&&one.deployment) {
                continue;
            }
            let first = runtime.logs(&one.deployment, &places.question(one, &first_line())).await;
            if first.map_err(failed)?.lines.is_empty() {
                continue;
            }
            // Something is there, so this does not wait.
            let part = runtime.follow(&one.deployment, &places.question(one, query)).await.map_err(failed)?;
            if part.more {
                behind.push(&one.deployment);
            }
            news.add(&one.deployment, part);
        }
        if !news.more && news.read_to != *places {
            news.read_to.forget_before(self.settled(), attached);
        }
        Ok(news.sorted())
    }

    /// Waits until something is written to the log of a deployment that is there.
    async fn written(&self, attached: &[Attachment], places: &LogPlaces) -> Result<(), Error> {
        let mut waiting = JoinSet::new();
        for one in attached.iter().filter(|one| one.to.is_none()) {
            let (runtime, deployment) = (self.parts.runtime.clone(), one.deployment.clone());
            let question = places.question(one, &first_line());
            waiting.spawn(async move { runtime.follow(&deployment, &question).await.map(drop) });
        }
        match waiting.join_next().await {
            Some(Ok(written)) => written.map_err(failed),
            Some(Err(error)) => Err(Error::Internal(format!("a log could not be followed: {error}"))),
            None => std::future::pending().await,
        }
    }

    /// What an environment had since some places, and when.
    async fn attached_since(
        &self,
        model: &ModelId,
        environment: &EnvironmentName,
        places: &LogPlaces,
    ) -> Result<Vec<Attachment>, Error> {
        let from_there = LogQuery { after_nanos: Some(places.rest()), ..LogQuery::default() };
        self.attached(model, environment, &from_there).await
    }

    /// What an environment had in the time that a question is about, and when, those that were deleted aside.
    async fn attached(
        &self,
        model: &ModelId,
        environment: &EnvironmentName,
        query: &LogQuery,
    ) -> Result<Vec<Attachment>, Error> {
        let store = &self.parts.store;
        let state = store.load_part(model, &Part::default()).await?.ok_or_else(|| no_model(model))?.state;
        let found = state.environments.iter().find(|known| &known.name == environment);
        let environment = found.ok_or_else(|| {
            Error::NotFound(format!("{} has no environment `{environment}`", state.model.name))
        })?;
        let millis = |nanos: i64| Timestamp::from_millis(nanos.div_euclid(1_000_000));
        let start = query.start.max(query.after_nanos.map(millis));
        let end = query.end.into_iter().chain(query.before_nanos.map(millis)).min();
        let start = start.unwrap_or(Timestamp::from_millis(i64::MIN));
        let end = end.unwrap_or(Timestamp::from_millis(i64::MAX));
        let promotions = store.promotions_around(model, &environment.name, start, end, PROMOTIONS).await?;
        let given = match served_first_until(environment, &promotions, end) {
            Some(first) => store.given(&first, &environment.name).await?,
            None => None,
        };
        let mut attached = attached_within(environment, &promotions, given, start, end);
        let named = attached.iter().map(|one| one.deployment.clone()).collect();
        let part = Part { named, newest: None };
        let here = store.load_part(model, &part).await?.ok_or_else(|| no_model(model))?.state.deployments;
        attached.retain(|one| here.iter().any(|deployment| deployment.id == one.deployment));
        Ok(attached)
    }

    fn settled(&self) -> Timestamp {
        self.now().plus(-SETTLED)
    }
}

/// Whether there is anything at all.
fn first_line() -> LogQuery {
    LogQuery { limit: 1, ascending: true, ..LogQuery::default() }
}

/// Waits until something of a model has changed, or may have.
async fn changed(changes: &mut Receiver<Change>, model: &ModelId) {
    loop {
        match changes.recv().await {
            Ok(change) if change.kind == ChangeKind::Everything => return,
            Ok(change) if change.kind == ChangeKind::Model && change.id == model.as_str() => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => return std::future::pending().await,
        }
    }
}
