//! How many replicas each side of a rolling promotion has while load comes and goes, paused or not.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use domain::{
    AutoscalingSettings, Decided, Demand, Deployment, DeploymentId, Environment, EnvironmentName, EventKind,
    Memory, Model, ModelId, ModelName, Moment, ObservedReplica, Phase, PlannedEvent, Position, Promotion,
    PromotionId, ReplicaId, ReplicaState, RollingConfig, Seen, Snapshot, Strategy, Timestamp, Weight,
    check_decision, plan,
};
use serde_json::json;

const SETTINGS: AutoscalingSettings = AutoscalingSettings {
    min_replica: 2,
    max_replica: 8,
    autoscaling_window: 60,
    scale_down_delay: 60,
    concurrency_target: 2,
    target_utilization_percentage: 70,
    max_scale_down_rate: 50,
};

fn at(ms: i64) -> Moment {
    Moment { now: Timestamp::from_millis(10_000_000 + ms), monotonic: ms }
}

fn deployment(id: &str, target: u32) -> Deployment {
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
        "autoscaling": SETTINGS,
        "target": target,
        "active_since": 0,
        "deploy_timeout_minutes": 30,
        "failed_starts": 0,
        "version": 0,
    }))
    .unwrap()
}

fn ready(id: &str, of: &str) -> ObservedReplica {
    ObservedReplica {
        id: ReplicaId::new(id),
        model: ModelId::new("m"),
        deployment: DeploymentId::new(of),
        state: ReplicaState::Ready,
        port: 1,
        pid: None,
        started_at: Timestamp::from_millis(0),
        spawned_at: None,
        loaded_at: None,
        ready_at: Some(Timestamp::from_millis(0)),
        unready_since: None,
        artifact: None,
        refused: None,
        environment: Some(EnvironmentName::production()),
    }
}

/// Half of two replicas moved from `old` to `new`, in a step that takes an hour to settle. A replica carries two requests.
struct Life {
    seen: Snapshot,
    memory: Memory,
    events: Vec<PlannedEvent>,
}

impl Life {
    fn begin() -> Self {
        let now = Timestamp::from_millis(0);
        let mut environment = Environment::new(ModelId::new("m"), EnvironmentName::production(), now);
        environment.current = Some(DeploymentId::new("old"));
        environment.autoscaling = SETTINGS;
        let config = RollingConfig { stabilization_time_seconds: 3_600, ..RollingConfig::default() };
        let (id, candidate) = (PromotionId::new("p"), DeploymentId::new("new"));
        let rolling = Strategy::Rolling { config };
        let promotion = Promotion {
            phase: Phase::RampingUp,
            position: Position { stage: 1, elapsed_ms: 0, share: Some(Weight::percent(50)) },
            gate_passed_at: Some(now),
            previous_floor: 2,
            total: 2,
            stop_on_errors: false,
            ..Promotion::new(id, &environment, candidate, rolling, "someone", now, at(3_600_000).now)
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
            deployments: vec![deployment("old", 1), deployment("new", 2)],
            environments: vec![environment],
            promotions: vec![promotion],
            replicas: Seen::Known(vec![ready("a", "old"), ready("b", "new"), ready("c", "new")]),
            demand: BTreeMap::new(),
            requests: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            sides: BTreeMap::new(),
            published: None,
        };
        Self { seen, memory: Memory::default(), events: Vec::new() }
    }

    /// Paused a moment ago.
    fn paused() -> Self {
        let mut life = Self::begin();
        life.promotion().phase = Phase::Paused;
        life.promotion().paused_at = Some(at(0).now);
        life
    }

    fn promotion(&mut self) -> &mut Promotion {
        &mut self.seen.promotions[0]
    }

    /// Looks while so many requests are in flight; says how many replicas `old` and `new` should have then.
    fn look(&mut self, ms: i64, requests: u32) -> (u32, u32) {
        self.seen.demand.insert(DeploymentId::new("new"), Demand { in_flight: requests, held: 0 });
        let next = plan(&self.seen, &self.memory, at(ms));
        for changed in next.deployments {
            let known = self.seen.deployments.iter_mut().find(|known| known.id == changed.id);
            *known.unwrap() = changed;
        }
        for changed in next.promotions {
            self.seen.promotions = vec![changed];
        }
        self.memory = next.memory;
        self.events = next.events;
        (self.seen.deployments[0].target, self.seen.deployments[1].target)
    }
}

#[test]
fn what_a_burst_needed_stays_until_the_delay_has_passed() {
    let mut life = Life::begin();
    assert_eq!(life.look(0, 0), (1, 2), "their parts, and one that the next step is to move");
    assert_eq!(life.look(10_000, 16), (4, 4));
    for ms in [12_000, 14_000, 60_000, 69_999] {
        assert_eq!(life.look(ms, 0), (4, 4), "at {ms} ms");
        assert!(life.events.iter().all(|event| event.kind != EventKind::ScalingDecision), "at {ms} ms");
    }
    assert_eq!(life.look(70_000, 0), (1, 2));
    assert_eq!(life.promotion().total, 2, "so short a burst is no reason for more in all");
}

#[test]
fn one_burst_after_another_starts_nothing_anew() {
    let mut life = Life::begin();
    life.look(0, 0);
    life.look(10_000, 16);
    life.look(12_000, 0);
    assert_eq!(life.look(50_000, 14), (4, 4));
    life.look(52_000, 0);
    assert_eq!(life.look(70_000, 0), (4, 4), "the second needed as many");
    assert_eq!(life.look(110_000, 0), (1, 2));
}

#[test]
fn nothing_is_kept_for_a_burst_where_a_side_waits_for_room() {
    let mut life = Life::begin();
    life.look(0, 0);
    assert_eq!(life.look(10_000, 16), (4, 4));
    life.seen.deployments[1].waiting = Some("waiting for 1 GiB".into());
    assert_eq!(life.look(12_000, 0), (1, 2));
    // Else the two would take it from each other.
    life.seen.deployments[1].waiting = None;
    assert_eq!(life.look(14_000, 0), (1, 2));
}

#[test]
fn a_change_of_the_total_carries_what_it_was_decided_by() {
    let mut life = Life::begin();
    life.look(0, 16);
    let changes = life.events.iter().filter(|event| event.kind == EventKind::ModelPromotionStep);
    let data = changes.map(|event| event.data.clone()).find(|data| data["total"] == 8).unwrap();
    let decided: Decided = serde_json::from_value(data).unwrap();
    assert_eq!(decided.numbers(), (2, 8));
    let Decided::Computed { decision, floor, settings } = decided else { panic!("it is computed") };
    assert_eq!((decision.wanted, &settings), (12, &SETTINGS));
    assert_eq!(check_decision(&decision, floor, &settings), Vec::<String>::new());
}

#[test]
fn a_pause_keeps_the_share_and_not_the_replicas() {
    let mut life = Life::paused();
    assert_eq!(life.look(0, 16), (4, 6));
    let promotion = life.promotion();
    assert_eq!((promotion.phase, promotion.total), (Phase::Paused, 8));
    assert_eq!(promotion.position.share, Some(Weight::percent(50)));
}

#[test]
fn paused_before_anything_began_what_serves_keeps_its_replicas() {
    let mut life = Life::paused();
    let promotion = life.promotion();
    (promotion.gate_passed_at, promotion.total) = (None, 0);
    promotion.position = Position::default();
    life.seen.deployments[0].target = 4;
    let (old, _) = life.look(0, 0);
    assert_eq!((old, life.promotion().total), (4, 4));
}
