//! How replicas started: what is asked, a list, and percentiles.

use control::{Startup, StartupOrder, StartupOutcome, StartupPage, StartupPhase, StartupQuery};
use domain::{Invalid, ModelId, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Pagination, words};

/// Starts that are wanted: the parameters of a list.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it is described, and never made")]
pub struct StartupsQuery {
    #[schema(minimum = 0)]
    start_epoch_millis: i64,
    /// After the start.
    #[schema(minimum = 0)]
    end_epoch_millis: i64,
    #[schema(minimum = 0)]
    min_duration_ms: Option<i64>,
    /// Where the page before ended; with the same filters and order.
    cursor: Option<String>,
    #[schema(minimum = 1, maximum = 100, default = 50)]
    limit: Option<i64>,
    /// FAILED: the process ended before it was ready. STALLED: it took too long, or has taken ten minutes already.
    #[schema(value_type = Option<Vec<words::StartupOutcome>>)]
    outcomes: Option<Vec<String>>,
    /// Only starts that spent some time in this phase.
    #[schema(value_type = Option<words::StartupPhaseName>)]
    phase: Option<String>,
    /// A replica's id, or a part of its deployment's name.
    #[schema(max_length = 256)]
    search: Option<String>,
    #[schema(value_type = Option<words::StartupSort>, default = "STARTED_AT")]
    sort_by: Option<String>,
    #[schema(value_type = Option<words::Order>, default = "desc")]
    direction: Option<String>,
}

/// The parameters of a summary.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it is described, and never made")]
pub struct StartupsWindow {
    #[schema(minimum = 0)]
    start_epoch_millis: i64,
    /// After the start.
    #[schema(minimum = 0)]
    end_epoch_millis: i64,
    #[schema(minimum = 0)]
    min_duration_ms: Option<i64>,
}

impl StartupsQuery {
    /// From the pairs of a query; `outcomes` may come several times.
    pub fn read(pairs: Vec<(String, String)>) -> Result<StartupQuery, Invalid> {
        read(pairs, false)
    }
}

impl StartupsWindow {
    pub fn read(pairs: Vec<(String, String)>) -> Result<StartupQuery, Invalid> {
        read(pairs, true)
    }
}

const PHASES: [(&str, Option<StartupPhase>); 6] = [
    ("SCHEDULING", Some(StartupPhase::Scheduling)),
    ("IMAGE_PULL", None),
    ("WEIGHT_DOWNLOAD", None),
    ("CONTAINER_CREATE", None),
    ("CONTAINER_START", Some(StartupPhase::ContainerStart)),
    ("READINESS", Some(StartupPhase::Readiness)),
];
const OUTCOMES: [(&str, StartupOutcome); 3] = [
    ("SUCCESS", StartupOutcome::Success),
    ("FAILED", StartupOutcome::Failed),
    ("STALLED", StartupOutcome::Stalled),
];
const ORDERS: [(&str, StartupOrder); 4] = [
    ("STARTED_AT", StartupOrder::StartedAt),
    ("READY_AT", StartupOrder::ReadyAt),
    ("DURATION", StartupOrder::Duration),
    ("OUTCOME", StartupOrder::Outcome),
];

fn read(pairs: Vec<(String, String)>, only_window: bool) -> Result<StartupQuery, Invalid> {
    let (mut start, mut end) = (None, None);
    let mut outcomes = Vec::new();
    let mut never = false;
    let mut query = StartupQuery {
        start: Timestamp::from_millis(0),
        end: Timestamp::from_millis(0),
        min_duration_ms: None,
        phase: None,
        search: None,
        // A summary is of those that got ready.
        outcomes: vec![StartupOutcome::Success],
        order: StartupOrder::default(),
        ascending: false,
        cursor: None,
        limit: 50,
    };
    for (name, value) in pairs {
        let number = |least: i64, most: i64| {
            let number = value.parse::<i64>().ok().filter(|number| (least..=most).contains(number));
            number.ok_or_else(|| {
                Invalid::new(&name, format!("`{value}` is not a whole number within {least} to {most}"))
            })
        };
        match name.as_str() {
            "start_epoch_millis" => start = Some(number(0, LAST)?),
            "end_epoch_millis" => end = Some(number(0, LAST)?),
            "min_duration_ms" => query.min_duration_ms = Some(number(0, i64::MAX)?),
            "cursor" if !only_window => query.cursor = Some(value),
            "limit" if !only_window => query.limit = number(1, 100)? as usize,
            "outcomes" if !only_window => {
                outcomes.push(OUTCOMES[chosen(&name, &value, &OUTCOMES.map(|(name, _)| name))?].1);
            }
            "phase" if !only_window => {
                let (_, phase) = PHASES[chosen(&name, &value, &PHASES.map(|(name, _)| name))?];
                // No start here has the other phases.
                never |= phase.is_none();
                query.phase = phase;
            }
            "search" if !only_window => query.search = Some(value),
            "sort_by" if !only_window => {
                query.order = ORDERS[chosen(&name, &value, &ORDERS.map(|(name, _)| name))?].1;
            }
            "direction" if !only_window => {
                query.ascending = chosen(&name, &value, &["desc", "asc"])? == 1;
            }
            _ => return Err(Invalid::new(name, "is not a parameter of this call")),
        }
    }
    let missing = |field: &str| Invalid::new(field, "is missing: milliseconds since 1970");
    query.start = Timestamp::from_millis(start.ok_or_else(|| missing("start_epoch_millis"))?);
    query.end = Timestamp::from_millis(end.ok_or_else(|| missing("end_epoch_millis"))?);
    if never {
        query.outcomes.clear();
    } else if !outcomes.is_empty() {
        query.outcomes = outcomes;
    } else if !only_window {
        query.outcomes = StartupOutcome::ALL.into();
    }
    Ok(query)
}

/// The last moment of the year 9999.
const LAST: i64 = 253_402_300_799_999;

/// The place of a word among those that may be chosen.
fn chosen(field: &str, value: &str, words: &[&str]) -> Result<usize, Invalid> {
    let place = words.iter().position(|word| *word == value);
    place.ok_or_else(|| Invalid::new(field, format!("`{value}` is not one of {}", words.join(", "))))
}

fn name_of(phase: StartupPhase) -> &'static str {
    PHASES.iter().find(|(_, one)| *one == Some(phase)).map_or("", |(name, _)| name)
}

/// A page of starts.
#[derive(Debug, Serialize, ToSchema)]
pub struct StartupAttempts {
    items: Vec<StartupAttempt>,
    pagination: Pagination,
    /// As many as there are on all pages.
    total_count: usize,
}

#[derive(Debug, Serialize, ToSchema)]
struct StartupAttempt {
    model_id: String,
    #[schema(required)]
    deployment_id: Option<String>,
    deployment_name: String,
    /// Null when a deployment is asked about.
    #[schema(required)]
    environment_name: Option<String>,
    #[schema(required)]
    replica_id: Option<String>,
    started_at_epoch_millis: i64,
    /// Null if it never got ready.
    #[schema(required)]
    ready_at_epoch_millis: Option<i64>,
    duration_ms: i64,
    #[schema(value_type = words::StartupOutcome)]
    outcome: &'static str,
    phase_summary: Vec<StartupPhaseSummary>,
}

#[derive(Debug, Serialize, ToSchema)]
struct StartupPhaseSummary {
    #[schema(value_type = words::StartupPhaseName)]
    phase: &'static str,
    #[schema(value_type = words::StartupPhaseStatus)]
    status: &'static str,
    /// From the start of the attempt.
    offset_ms: i64,
    #[schema(required)]
    duration_ms: Option<i64>,
}

impl StartupAttempts {
    pub fn new(model: &ModelId, of_environment: bool, page: StartupPage) -> Self {
        let items = page.startups.into_iter().map(|startup| attempt(model, of_environment, &startup));
        Self {
            items: items.collect(),
            pagination: Pagination { has_more: page.cursor.is_some(), cursor: page.cursor },
            total_count: page.total,
        }
    }
}

fn attempt(model: &ModelId, of_environment: bool, startup: &Startup) -> StartupAttempt {
    let mut offset_ms = 0;
    let phases = startup.phases().map(|(phase, completed)| {
        let duration = phase.of(&startup.start);
        let summary = StartupPhaseSummary {
            phase: name_of(phase),
            status: if completed { "COMPLETED" } else { "FAILED" },
            offset_ms,
            duration_ms: Some(duration),
        };
        offset_ms += duration;
        summary
    });
    let phase_summary = phases.collect();
    let (outcome, _) = OUTCOMES[startup.outcome() as usize];
    StartupAttempt {
        model_id: model.to_string(),
        deployment_id: Some(startup.start.deployment.to_string()),
        deployment_name: startup.deployment_name.to_string(),
        environment_name: startup
            .start
            .environment
            .as_ref()
            .filter(|_| of_environment)
            .map(ToString::to_string),
        replica_id: Some(startup.start.replica.to_string()),
        started_at_epoch_millis: startup.started_at().millis(),
        ready_at_epoch_millis: startup.ready_at().map(Timestamp::millis),
        duration_ms: startup.duration_ms(),
        outcome,
        phase_summary,
    }
}

/// How long starts that succeeded took, in all and by phase.
#[derive(Debug, Serialize, ToSchema)]
pub struct StartupSummary {
    start_epoch_millis: i64,
    end_epoch_millis: i64,
    total_duration_ms: StartupPercentiles,
    phase_duration_ms: Vec<StartupPhasePercentiles>,
}

#[derive(Debug, Serialize, ToSchema)]
struct StartupPhasePercentiles {
    #[schema(value_type = words::StartupPhaseName)]
    phase: &'static str,
    duration_ms: StartupPercentiles,
}

/// Null where there was no start.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct StartupPercentiles {
    sample_count: usize,
    #[schema(required)]
    mean_ms: Option<i64>,
    #[schema(required)]
    p50_ms: Option<i64>,
    #[schema(required)]
    p90_ms: Option<i64>,
    #[schema(required)]
    p95_ms: Option<i64>,
    #[schema(required)]
    p99_ms: Option<i64>,
}

impl StartupSummary {
    pub fn new(start: Timestamp, end: Timestamp, all: &[Startup]) -> Self {
        let phase = |phase: StartupPhase| StartupPhasePercentiles {
            phase: name_of(phase),
            duration_ms: percentiles(all.iter().map(|startup| phase.of(&startup.start)).collect()),
        };
        Self {
            start_epoch_millis: start.millis(),
            end_epoch_millis: end.millis(),
            total_duration_ms: percentiles(all.iter().map(Startup::duration_ms).collect()),
            phase_duration_ms: StartupPhase::ALL.map(phase).into(),
        }
    }
}

/// By the nearest rank: the least value that so many percent do not exceed.
fn percentiles(mut values: Vec<i64>) -> StartupPercentiles {
    values.sort_unstable();
    let count = values.len();
    let rank = |percent: usize| (count * percent).div_ceil(100).max(1) - 1;
    let at = |percent: usize| values.get(rank(percent)).copied();
    let sum: i64 = values.iter().sum();
    StartupPercentiles {
        sample_count: count,
        mean_ms: (count > 0).then(|| sum / count as i64),
        p50_ms: at(50),
        p90_ms: at(90),
        p95_ms: at(95),
        p99_ms: at(99),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Result<StartupQuery, Invalid> {
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        StartupsQuery::read(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn percentiles_are_of_values_that_occurred() {
        let found = percentiles((1..=10).rev().map(|n| n * 100).collect());
        assert_eq!((found.sample_count, found.mean_ms), (10, Some(550)));
        assert_eq!((found.p50_ms, found.p90_ms, found.p99_ms), (Some(500), Some(900), Some(1_000)));
        let none = percentiles(Vec::new());
        assert_eq!((none.sample_count, none.mean_ms, none.p50_ms), (0, None, None));
    }

    #[test]
    fn outcomes_and_phases_that_never_happen_find_nothing() {
        let window = "start_epoch_millis=1&end_epoch_millis=2";
        let outcomes = |more: &str| asked(&format!("{window}{more}")).unwrap().outcomes;
        let (success, failed) = (StartupOutcome::Success, StartupOutcome::Failed);
        assert_eq!(outcomes(""), StartupOutcome::ALL);
        assert_eq!(outcomes("&outcomes=FAILED"), [failed]);
        assert_eq!(outcomes("&outcomes=FAILED&outcomes=SUCCESS"), [failed, success]);
        assert_eq!(outcomes("&outcomes=FAILED&phase=IMAGE_PULL"), []);
        assert_eq!(asked("end_epoch_millis=2").unwrap_err().field, "start_epoch_millis");
        assert_eq!(asked(&format!("{window}&limit=101")).unwrap_err().field, "limit");
        assert_eq!(asked(&format!("{window}&sort_by=SIZE")).unwrap_err().field, "sort_by");
        assert_eq!(asked(&format!("{window}&nothing=1")).unwrap_err().field, "nothing");
    }
}
