//! How long a promotion waits for a candidate, what a server that starts makes of what runs, and what is routed while nothing can
//! be saved.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use domain::{
    Demand, Deployment, DeploymentId, Environment, EnvironmentName, Memory, Model, ModelId, ModelName,
    Moment, ObservedReplica, Phase, Position, Promotion, PromotionId, ReplicaId, ReplicaState, RollingConfig,
    Seen, Snapshot, Strategy, Timestamp, Weight, plan, routes_as_stored,
};
use serde_json::json;

const MINUTES: u32 = 30;
const MINUTE: i64 = 60_000;

fn at(ms: i64) -> Moment {
    Moment { now: Timestamp::from_millis(10_000_000 + ms), monotonic: ms }
}

fn deployment(id: &str) -> Deployment {
    serde_json::from_value(json!({
        "id": id,
        "model": "m",
        "name": id,
        "kind": "published",
        "created_at": 0,
        "created_by": "someone",
        "artifact": "a",
        "config": {},
        "build": { "state": "done", "at": 0 },
        "lifecycle": "active",
        "environment": "production",
        "autoscaling": domain::AutoscalingSettings::default(),
        "target": 1,
        "active_since": 0,
        "deploy_timeout_minutes": MINUTES,
        "failed_starts": 0,
        "version": 0,
    }))
    .unwrap()
}

fn replica(of: &str, state: ReplicaState) -> ObservedReplica {
    ObservedReplica {
        id: ReplicaId::new(format!("of-{of}")),
        model: ModelId::new("m"),
        deployment: DeploymentId::new(of),
        state,
        port: 1,
        pid: None,
        started_at: Timestamp::from_millis(0),
        spawned_at: None,
        loaded_at: None,
        ready_at: None,
        unready_since: None,
        artifact: None,
        refused: None,
        environment: Some(EnvironmentName::production()),
    }
}

/// A model in the fourth stage of a canary from `old` to `new`, and a server that remembers nothing.
struct Life {
    seen: Snapshot,
    memory: Memory,
}

impl Life {
    fn begin() -> Self {
        let now = Timestamp::from_millis(0);
        let mut environment = Environment::new(ModelId::new("m"), EnvironmentName::production(), now);
        environment.current = Some(DeploymentId::new("old"));
        let (id, candidate) = (PromotionId::new("p"), DeploymentId::new("new"));
        let canary = Strategy::Canary { window_ms: 10 * 3_600_000 };
        let promotion = Promotion {
            phase: Phase::RampingUp,
            position: Position::at(4, 3 * 3_600_000),
            gate_passed_at: Some(now),
            previous_floor: 1,
            stop_on_errors: false,
            ..Promotion::new(id, &environment, candidate, canary, "someone", now, now)
        };
        let seen = Snapshot {
            model: Model {
                id: ModelId::new("m"),
                name: ModelName::new("iris").unwrap(),
                created_at: now,
                next_number: 3,
                generation: 7,
                allow_download: true,
            },
            deployments: vec![deployment("old"), deployment("new")],
            environments: vec![environment],
            promotions: vec![promotion],
            replicas: Seen::Known(Vec::new()),
            demand: BTreeMap::new(),
            requests: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            sides: BTreeMap::new(),
            published: None,
        };
        Self { seen, memory: Memory::default() }
    }

    /// Half of two replicas moved, in a step whose time is over.
    fn rolling() -> Self {
        let mut life = Self::begin();
        let settings = &mut life.seen.environments[0].autoscaling;
        (settings.min_replica, settings.max_replica) = (2, 2);
        let promotion = &mut life.seen.promotions[0];
        promotion.strategy = Strategy::Rolling { config: RollingConfig::default() };
        promotion.total = 2;
        promotion.position = Position { stage: 1, elapsed_ms: 0, share: Some(Weight::percent(50)) };
        life
    }

    /// No traffic has moved, and the time of the gate is over.
    fn releasing() -> Self {
        let mut life = Self::begin();
        let promotion = &mut life.seen.promotions[0];
        promotion.phase = Phase::Releasing;
        promotion.position = Position::default();
        promotion.gate_passed_at = None;
        life
    }

    /// Looks, with these replicas there, and keeps what should be written down; says how the promotion stands then.
    fn look(&mut self, ms: i64, replicas: Vec<ObservedReplica>) -> Phase {
        self.seen.replicas = Seen::Known(replicas);
        let next = plan(&self.seen, &self.memory, at(ms));
        for changed in next.deployments {
            let known = self.seen.deployments.iter_mut().find(|known| known.id == changed.id);
            *known.unwrap() = changed;
        }
        for changed in next.promotions {
            self.seen.promotions = vec![changed];
        }
        self.memory = next.memory;
        self.seen.promotions[0].phase
    }

    fn reason(&self) -> &str {
        self.seen.promotions[0].reason.as_deref().unwrap_or_default()
    }
}

fn exited() -> ReplicaState {
    ReplicaState::Exited { code: Some(1), signal: None, reason: "no weights".into() }
}

#[test]
fn after_a_reboot_it_has_the_time_of_a_start() {
    let mut life = Life::begin();
    let limit = i64::from(MINUTES) * MINUTE;
    for ms in [0, MINUTE + 1, limit - 1] {
        assert_eq!(life.look(ms, vec![replica("new", ReplicaState::Loading)]), Phase::RampingUp, "{ms}");
    }
    assert_eq!(life.look(limit, vec![replica("new", ReplicaState::Loading)]), Phase::Failed);
    assert!(life.reason().contains("30 minutes"), "{}", life.reason());
}

#[test]
fn what_a_former_server_saw_is_not_held_against_it() {
    let mut life = Life::begin();
    life.seen.promotions[0].candidate_down_since = Some(Timestamp::from_millis(0));
    for ms in [0, 2 * MINUTE] {
        assert_eq!(life.look(ms, Vec::new()), Phase::RampingUp, "{ms}");
    }
}

#[test]
fn a_process_that_fails_begins_the_grace() {
    let mut life = Life::begin();
    life.look(0, vec![replica("new", ReplicaState::Loading)]);
    let failed = 5 * MINUTE;
    for (ms, replicas) in [
        (failed, vec![replica("new", exited())]),
        (failed + MINUTE - 1, vec![replica("new", ReplicaState::Loading)]),
    ] {
        assert_eq!(life.look(ms, replicas), Phase::RampingUp, "{ms}");
    }
    assert_eq!(life.look(failed + MINUTE, vec![replica("new", ReplicaState::Loading)]), Phase::Failed);
    assert!(life.reason().contains("60 s: no weights"), "{}", life.reason());
}

#[test]
fn one_that_was_ready_has_the_grace_from_its_end_on() {
    let mut life = Life::begin();
    life.look(0, vec![replica("new", ReplicaState::Ready), replica("old", ReplicaState::Ready)]);
    let gone = 10 * MINUTE;
    for ms in [gone, gone + MINUTE - 1] {
        assert_eq!(life.look(ms, vec![replica("old", ReplicaState::Ready)]), Phase::RampingUp, "{ms}");
    }
    assert_eq!(life.look(gone + MINUTE, vec![replica("old", ReplicaState::Ready)]), Phase::Failed);
}

/// One replica of each side is ready.
fn one_each() -> Vec<ObservedReplica> {
    vec![replica("old", ReplicaState::Ready), replica("new", ReplicaState::Ready)]
}

#[test]
fn after_a_reboot_a_step_has_the_time_of_a_start() {
    let mut life = Life::rolling();
    let limit = i64::from(MINUTES) * MINUTE;
    assert_eq!(life.look(0, Vec::new()), Phase::RampingUp);
    for ms in [5 * MINUTE, limit - 1] {
        assert_eq!(life.look(ms, one_each()), Phase::RampingUp, "{ms}");
    }
    assert_eq!(life.look(limit, one_each()), Phase::Failed);
    assert!(life.reason().contains("a step took longer than 30 minutes"), "{}", life.reason());
}

#[test]
fn one_that_fails_while_it_is_needed_says_why_while_traffic_goes_back() {
    let mut life = Life::rolling();
    assert_eq!(life.seen.promotions[0].problem(), None);
    life.seen.promotions[0].previous_floor = 2;
    // More than one replica of the current deployment carries.
    life.seen.demand.insert(DeploymentId::new("old"), Demand { in_flight: 2, held: 0 });
    assert_eq!(life.look(0, one_each()), Phase::RampingDown);
    let problem = life.seen.promotions[0].problem().unwrap().to_owned();
    assert!(problem.contains("a step took longer than 30 minutes"), "{problem}");
    let another = ObservedReplica { id: ReplicaId::new("another"), ..replica("old", ReplicaState::Ready) };
    assert_eq!(life.look(1_000, [one_each(), vec![another]].concat()), Phase::Failed);
    let problem = life.seen.promotions[0].problem().unwrap();
    assert!(problem.contains("a step took longer than 30 minutes"), "{problem}");
}

#[test]
fn after_a_reboot_the_gate_has_the_time_of_a_start() {
    let mut life = Life::releasing();
    let limit = i64::from(MINUTES) * MINUTE;
    assert_eq!(life.look(0, Vec::new()), Phase::Releasing);
    for ms in [1, limit - 1] {
        assert_eq!(life.look(ms, vec![replica("new", ReplicaState::Loading)]), Phase::Releasing, "{ms}");
    }
    assert_eq!(life.look(limit, vec![replica("new", ReplicaState::Loading)]), Phase::Failed);
    assert!(life.reason().contains("the gate was not passed in time"), "{}", life.reason());
}

#[test]
fn a_pause_during_a_reboot_is_not_counted_twice() {
    let mut life = Life::releasing();
    let limit = i64::from(MINUTES) * MINUTE;
    life.seen.promotions[0].phase = Phase::Paused;
    life.seen.promotions[0].paused_at = Some(at(-MINUTE).now);
    life.look(0, Vec::new());
    assert_eq!(life.seen.promotions[0].gate_deadline, at(limit - MINUTE).now);
}

#[test]
fn a_server_that_starts_beside_what_runs_allows_no_more_time() {
    assert_eq!(Life::rolling().look(0, one_each()), Phase::Failed);
    let loading = vec![replica("old", ReplicaState::Ready), replica("new", ReplicaState::Loading)];
    assert_eq!(Life::releasing().look(0, loading), Phase::Failed);
}

#[test]
fn what_finished_when_the_server_was_killed_is_not_woken() {
    let rolling = Strategy::Rolling { config: RollingConfig::default() };
    for strategy in [Strategy::Canary { window_ms: 60_000 }, rolling] {
        let mut life = Life::releasing();
        life.seen.promotions[0].strategy = strategy;
        life.seen.promotions[0].gate_deadline = at(MINUTE).now;
        life.seen.deployments[0].target = 0;
        let replicas = vec![replica("old", ReplicaState::Ready), replica("new", ReplicaState::Loading)];
        for ms in [0, 200] {
            assert_eq!(life.look(ms, replicas.clone()), Phase::Releasing, "{strategy:?}");
            assert_eq!(life.seen.deployments[0].target, 0, "{strategy:?}");
        }
    }
}

#[test]
fn while_nothing_can_be_saved_whoever_is_ready_answers() {
    let mut life = Life::begin();
    let mut shares = |replicas| {
        life.seen.replicas = replicas;
        let routes = routes_as_stored(&life.seen, &life.memory, at(0))?;
        assert_eq!(routes.generation, 0, "what was asked for is not done");
        let shares = routes.environments[0].shares.iter();
        Some(shares.map(|share| share.weight.as_percent()).collect::<Vec<_>>())
    };
    let both = vec![replica("old", ReplicaState::Ready), replica("new", ReplicaState::Ready)];
    assert_eq!(shares(Seen::Known(both)), Some(vec![60.0, 40.0]));
    let dead = vec![replica("old", ReplicaState::Ready), replica("new", exited())];
    assert_eq!(shares(Seen::Known(dead)), Some(vec![100.0, 0.0]));
    assert_eq!(shares(Seen::Unknown), None);
}

#[test]
fn one_that_nobody_calls_is_looked_at_when_it_is_to_be_saved_and_when_its_stage_is_over() {
    let (mut life, hour) = (Life::begin(), 60 * MINUTE);
    assert_eq!(life.look(0, one_each()), Phase::RampingUp);
    let again = plan(&life.seen, &life.memory, at(1));
    assert_eq!((again.look_at, again.sample_at), (Some(36_000), Some(2_001)));
    assert_eq!(again.promotions, [], "it was saved a moment ago");
    let saved = plan(&life.seen, &life.memory, at(36_000));
    assert_eq!(saved.promotions[0].position, Position::at(4, 3 * hour + 36_000));
    assert_eq!(saved.look_at, Some(72_000));

    let mut life = Life::begin();
    life.seen.promotions[0].position = Position::at(4, 4 * hour - 10_000);
    life.look(0, one_each());
    assert_eq!(plan(&life.seen, &life.memory, at(1)).look_at, Some(10_000));
    assert_eq!(life.look(10_000, one_each()), Phase::RampingUp);
    assert_eq!(life.seen.promotions[0].position, Position::at(5, 4 * hour));
}

#[test]
fn the_time_in_which_nothing_happened_counts_until_something_does() {
    let (mut life, hour) = (Life::begin(), 60 * MINUTE);
    life.look(0, one_each());
    for second in [2, 4, 30] {
        life.memory.rest(second * 1_000);
    }
    life.look(31_000, vec![replica("old", ReplicaState::Ready), replica("new", exited())]);
    assert_eq!(life.seen.promotions[0].position, Position::at(4, 3 * hour + 30_000));
    // While it is held, none does.
    life.memory.rest(60_000);
    life.look(60_500, one_each());
    let (live, saved) = (life.memory.clone(), life.seen.promotions[0].position);
    assert_eq!(saved, Position::at(4, 3 * hour + 30_000));
    assert!(live.counting.values().all(|counting| counting.position == saved));
}
