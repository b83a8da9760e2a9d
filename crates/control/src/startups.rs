//! How replicas started, or failed to (semantics: The record of scaling), as lists and in percentiles.

use std::collections::BTreeMap;

use domain::{Action, Actor, ColdStart, DeploymentName, Invalid, KEPT, ModelId, StartOutcome, Timestamp};

use crate::{ControlPlane, Error, MetricScope};

const LONGEST_TEXT: usize = 256;

/// The parts of a start. The record's first answer comes after them: a replica that is routed has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartupPhase {
    /// Until its process is started: a wait for room, or for the engine.
    Scheduling,
    /// Until its model begins to load, or its port answers.
    ContainerStart,
    /// Until the gateway has it in its routes.
    Readiness,
}

impl StartupPhase {
    pub const ALL: [Self; 3] = [Self::Scheduling, Self::ContainerStart, Self::Readiness];

    /// Milliseconds of a start that were spent in it.
    pub fn of(self, start: &ColdStart) -> i64 {
        match self {
            Self::Scheduling => start.queue_ms,
            Self::ContainerStart => start.spawn_ms,
            Self::Readiness => start.load_ms + start.ready_ms,
        }
    }
}

/// What came of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StartupOutcome {
    Success,
    Failed,
    Stalled,
}

impl StartupOutcome {
    pub const ALL: [Self; 3] = [Self::Success, Self::Failed, Self::Stalled];
}

/// What a list is sorted by. A start that never got ready comes before all others by when it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartupOrder {
    #[default]
    StartedAt,
    ReadyAt,
    Duration,
    Outcome,
}

/// Which starts are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartupQuery {
    /// When they ended, both included; a week is kept.
    pub start: Timestamp,
    pub end: Timestamp,
    pub min_duration_ms: Option<i64>,
    /// Only those that spent some time in it.
    pub phase: Option<StartupPhase>,
    /// A replica's id, or a part of its deployment's name in any case.
    pub search: Option<String>,
    /// Only those of which this came; none of them finds nothing.
    pub outcomes: Vec<StartupOutcome>,
    pub order: StartupOrder,
    pub ascending: bool,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// 1 to 100.
    pub limit: usize,
}

/// One start, with what it was a start of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Startup {
    pub start: ColdStart,
    pub deployment_name: DeploymentName,
}

impl Startup {
    pub fn outcome(&self) -> StartupOutcome {
        match self.start.outcome {
            StartOutcome::Ready => StartupOutcome::Success,
            StartOutcome::Failed { .. } => StartupOutcome::Failed,
            StartOutcome::Stalled => StartupOutcome::Stalled,
        }
    }

    /// When it was routed, if it was.
    pub fn ready_at(&self) -> Option<Timestamp> {
        self.start.succeeded().then_some(self.start.at)
    }

    /// The phases it came to, and whether each was completed.
    pub fn phases(&self) -> impl Iterator<Item = (StartupPhase, bool)> {
        let last = match () {
            () if self.start.succeeded() => None,
            () if self.start.had_spawned() => Some(StartupPhase::Readiness),
            () => Some(StartupPhase::ContainerStart),
        };
        let came_to = StartupPhase::ALL.iter().position(|phase| Some(*phase) == last);
        let count = came_to.map_or(StartupPhase::ALL.len(), |place| place + 1);
        StartupPhase::ALL.into_iter().take(count).map(move |phase| (phase, Some(phase) != last))
    }

    /// From being wanted to being routed, or to the end of the attempt.
    pub fn duration_ms(&self) -> i64 {
        StartupPhase::ALL.iter().map(|phase| phase.of(&self.start)).sum()
    }

    pub fn started_at(&self) -> Timestamp {
        self.start.at.plus(-self.duration_ms())
    }

    fn key(&self, order: StartupOrder) -> i64 {
        match order {
            StartupOrder::StartedAt => self.started_at().millis(),
            StartupOrder::ReadyAt => self.ready_at().map_or(0, Timestamp::millis),
            StartupOrder::Duration => self.duration_ms(),
            StartupOrder::Outcome => self.outcome() as i64,
        }
    }
}

/// A page of starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartupPage {
    pub startups: Vec<Startup>,
    /// Where the next page begins, if there is one.
    pub cursor: Option<String>,
    /// As many as the query finds, on all pages.
    pub total: usize,
}

impl ControlPlane {
    /// How replicas of a deployment started, or of what an environment served at the time; a page of it.
    pub async fn startups(
        &self,
        actor: &Actor,
        model: &ModelId,
        scope: &MetricScope,
        query: &StartupQuery,
    ) -> Result<StartupPage, Error> {
        if !(1..=100).contains(&query.limit) {
            let problem = format!("{} is not within 1 to 100", query.limit);
            return Err(Invalid::new("limit", problem).into());
        }
        if query.search.as_ref().is_some_and(|text| text.chars().count() > LONGEST_TEXT) {
            return Err(Invalid::new("search", format!("has more than {LONGEST_TEXT} characters")).into());
        }
        let after = query.cursor.as_deref().map(read_cursor).transpose()?;
        let all = self.all_startups(actor, model, scope, query).await?;
        Ok(page(all, query, after))
    }

    /// Every start that a query finds, whatever its page; for percentiles.
    pub async fn all_startups(
        &self,
        actor: &Actor,
        model: &ModelId,
        scope: &MetricScope,
        query: &StartupQuery,
    ) -> Result<Vec<Startup>, Error> {
        self.may(actor, Action::View)?;
        let (deployments, environment) = match scope {
            MetricScope::Deployment(id) => (vec![self.deployment_of(model, id).await?], None),
            MetricScope::Model => (self.model(actor, model).await?.deployments, None),
            MetricScope::Environment(name) => {
                let state = self.model(actor, model).await?;
                if !state.environments.iter().any(|environment| &environment.name == name) {
                    return Err(Error::NotFound(format!("{} has no environment `{name}`", state.model.name)));
                }
                (state.deployments, Some(name))
            }
        };
        if query.start >= query.end {
            let problem = "the window ends before it begins, or is empty";
            return Err(Invalid::new("end_epoch_millis", problem).into());
        }
        if query.outcomes.is_empty() {
            return Ok(Vec::new());
        }
        let since = query.start.max(self.now().plus(-KEPT));
        let ids: Vec<_> = deployments.iter().map(|deployment| deployment.id.clone()).collect();
        let starts = self.parts.store.cold_starts_within(&ids, since, query.end).await?;
        let names: BTreeMap<_, _> =
            deployments.into_iter().map(|deployment| (deployment.id, deployment.name)).collect();
        Ok(starts
            .into_iter()
            .filter(|start| environment.is_none() || start.environment.as_ref() == environment)
            .filter_map(|start| {
                let deployment_name = names.get(&start.deployment)?.clone();
                Some(Startup { start, deployment_name })
            })
            .filter(|startup| wanted(startup, query))
            .collect())
    }
}

fn wanted(startup: &Startup, query: &StartupQuery) -> bool {
    let search = query.search.as_ref().is_none_or(|text| {
        startup.start.replica.as_str() == text
            || startup.deployment_name.as_str().to_lowercase().contains(&text.to_lowercase())
    });
    search
        && query.outcomes.contains(&startup.outcome())
        && query.min_duration_ms.is_none_or(|least| startup.duration_ms() >= least)
        && query.phase.is_none_or(|phase| phase.of(&startup.start) > 0)
}

fn page(mut all: Vec<Startup>, query: &StartupQuery, after: Option<(i64, String)>) -> StartupPage {
    let total = all.len();
    let key = |startup: &Startup| (startup.key(query.order), startup.start.replica.to_string());
    all.sort_by_cached_key(key);
    if !query.ascending {
        all.reverse();
    }
    if let Some(after) = after {
        all.retain(|startup| if query.ascending { key(startup) > after } else { key(startup) < after });
    }
    let more = all.len() > query.limit;
    all.truncate(query.limit);
    let last = all.last().filter(|_| more);
    let cursor = last.map(|last| format!("{}.{}", last.key(query.order), last.start.replica));
    StartupPage { startups: all, cursor, total }
}

fn read_cursor(text: &str) -> Result<(i64, String), Invalid> {
    let wrong = || Invalid::new("cursor", "this is no cursor of this list; leave it out to begin anew");
    let (key, replica) = text.split_once('.').ok_or_else(wrong)?;
    Ok((key.parse().map_err(|_| wrong())?, replica.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{DeploymentId, ReplicaId};

    fn startup(replica: &str, at: i64, load_ms: i64) -> Startup {
        Startup {
            start: ColdStart {
                at: Timestamp::from_millis(at),
                outcome: StartOutcome::Ready,
                deployment: DeploymentId::new("d"),
                replica: ReplicaId::new(replica),
                environment: None,
                queue_ms: 0,
                spawn_ms: 20,
                load_ms,
                ready_ms: 5,
                first_byte_ms: Some(1_000),
            },
            deployment_name: DeploymentName::new("Better-Iris").unwrap(),
        }
    }

    fn query() -> StartupQuery {
        StartupQuery {
            start: Timestamp::from_millis(0),
            end: Timestamp::from_millis(10_000),
            min_duration_ms: None,
            phase: None,
            search: None,
            outcomes: StartupOutcome::ALL.into(),
            order: StartupOrder::StartedAt,
            ascending: false,
            cursor: None,
            limit: 2,
        }
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_double() {
        let all: Vec<_> = (0..5).map(|n| startup(&format!("r{n}"), 1_000 * (n / 2), 100)).collect();
        let mut seen = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let after = cursor.as_deref().map(|text| read_cursor(text).unwrap());
            let page = page(all.clone(), &query(), after);
            assert_eq!(page.total, 5);
            seen.extend(page.startups.into_iter().map(|startup| startup.start.replica.to_string()));
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, ["r4", "r3", "r2", "r1", "r0"], "newest first");
        assert!(read_cursor("nothing").is_err());
    }

    #[test]
    fn what_is_asked_for_is_what_is_found() {
        let one = startup("r1", 1_000, 100);
        assert_eq!((one.duration_ms(), one.started_at().millis()), (125, 875), "without the first answer");
        let finds = |query: StartupQuery| wanted(&one, &query);
        assert!(finds(StartupQuery { search: Some("better".into()), ..query() }));
        assert!(finds(StartupQuery { search: Some("r1".into()), ..query() }));
        assert!(!finds(StartupQuery { search: Some("1".into()), ..query() }), "an id is whole or not at all");
        assert!(finds(StartupQuery { min_duration_ms: Some(125), ..query() }));
        assert!(!finds(StartupQuery { min_duration_ms: Some(126), ..query() }));
        assert!(!finds(StartupQuery { phase: Some(StartupPhase::Scheduling), ..query() }), "it took no time");
        let only = |outcome| StartupQuery { outcomes: vec![outcome], ..query() };
        assert!(finds(only(StartupOutcome::Success)) && !finds(only(StartupOutcome::Failed)));
    }

    #[test]
    fn a_failed_start_ends_with_the_phase_it_failed_in() {
        let failed = |load_ms| {
            let mut one = startup("r1", 1_000, load_ms);
            one.start.ready_ms = 0;
            one.start.outcome = StartOutcome::Failed { reason: "it ended".into() };
            assert_eq!((one.outcome(), one.ready_at()), (StartupOutcome::Failed, None));
            one.phases().collect::<Vec<_>>()
        };
        let scheduled = (StartupPhase::Scheduling, true);
        assert_eq!(failed(0), [scheduled, (StartupPhase::ContainerStart, false)]);
        let spawned = (StartupPhase::ContainerStart, true);
        assert_eq!(failed(100), [scheduled, spawned, (StartupPhase::Readiness, false)]);
        let ready = startup("r1", 1_000, 100);
        assert!(ready.phases().count() == 3 && ready.phases().all(|(_, completed)| completed));
    }
}
