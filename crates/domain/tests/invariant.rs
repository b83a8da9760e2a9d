//! The checker itself is checked: a sound table passes, and each planted fault is found.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use domain::*;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

struct World {
    routes: ModelRoutes,
    deployments: Vec<Deployment>,
    environments: Vec<Environment>,
    promotions: Vec<Promotion>,
    replicas: Vec<ObservedReplica>,
    demand: BTreeMap<EnvironmentName, u32>,
}

fn id(text: &str) -> DeploymentId {
    DeploymentId::new(text)
}

fn deployment(name: &str) -> Deployment {
    Deployment {
        id: id(name),
        model: ModelId::new("model"),
        name: DeploymentName::new(name).unwrap(),
        kind: DeploymentKind::Published,
        created_at: NOW,
        created_by: "someone".into(),
        artifact: ArtifactId::new("artifact"),
        config: serde_json::json!({}),
        raw_config: None,
        labels: None,
        build: Build::Done { at: NOW },
        lifecycle: Lifecycle::Active,
        environment: Some(EnvironmentName::production()),
        autoscaling: AutoscalingSettings::default(),
        target: 2,
        active_since: Some(NOW),
        deadline: None,
        deploy_timeout_minutes: 30,
        failed_starts: 0,
        retry_at: None,
        last_exit: None,
        terminating: Vec::new(),
        failure: None,
        compute: Default::default(),
        waiting: None,
        backpressure: None,
        truss_hash: None,
        truss_signature: None,
        live: None,
        copied_from: None,
        deleted_at: None,
        version: 1,
    }
}

fn replica(name: &str, deployment: &str) -> ObservedReplica {
    ObservedReplica {
        id: ReplicaId::new(name),
        model: ModelId::new("model"),
        deployment: id(deployment),
        state: ReplicaState::Ready,
        port: 20_000,
        pid: Some(1),
        started_at: NOW,
        spawned_at: None,
        loaded_at: None,
        ready_at: Some(NOW),
        unready_since: None,
        artifact: None,
        refused: None,
        environment: Some(EnvironmentName::production()),
    }
}

/// `old` and `new` with two replicas each, at stage 3 of a canary, ten requests under way, five for each replica.
fn sound() -> World {
    let mut environment = Environment::new(ModelId::new("model"), EnvironmentName::production(), NOW);
    environment.current = Some(id("old"));
    environment.autoscaling.max_replica = 4;
    environment.autoscaling.concurrency_target = 5;
    let replicas =
        vec![replica("o1", "old"), replica("o2", "old"), replica("n1", "new"), replica("n2", "new")];
    let route = |name: &str| DeploymentRoute {
        id: id(name),
        availability: Availability::Serving,
        concurrency_target: Some(5),
        rejects_when_full: false,
        replicas: replicas
            .iter()
            .filter(|replica| replica.deployment == id(name))
            .map(|replica| ReplicaAddress { id: replica.id.clone(), port: replica.port })
            .collect(),
        rewrite: Rewrite::default(),
    };
    let share = |name: &str, percent| Share {
        deployment: id(name),
        weight: Weight::percent(percent),
        exemption: None,
    };
    let routes = ModelRoutes {
        model: ModelId::new("model"),
        name: ModelName::new("iris").unwrap(),
        generation: 1,
        environments: vec![EnvironmentRoute {
            name: EnvironmentName::production(),
            version: 3,
            shares: vec![share("old", 70), share("new", 30)],
        }],
        deployments: vec![route("old"), route("new")],
        development: None,
    };
    let (promotion, canary) = (PromotionId::new("promotion"), Strategy::Canary { window_ms: 100_000 });
    let promotion = Promotion {
        phase: Phase::RampingUp,
        position: Position::at(3, 25_000),
        gate_passed_at: Some(NOW),
        previous_floor: 2,
        version: 1,
        ..Promotion::new(promotion, &environment, id("new"), canary, "someone", NOW, NOW)
    };
    World {
        routes,
        deployments: vec![deployment("old"), deployment("new")],
        environments: vec![environment],
        promotions: vec![promotion],
        replicas,
        demand: BTreeMap::from([(EnvironmentName::production(), 10)]),
    }
}

fn violations(world: &World) -> Vec<Violation> {
    check_invariant(
        &world.routes,
        &world.deployments,
        &world.environments,
        &world.promotions,
        &world.replicas,
        &world.demand,
    )
}

/// Plants one fault in the sound world and expects a violation that says `sentence`.
fn planted(sentence: &str, fault: impl FnOnce(&mut World)) {
    let mut world = sound();
    fault(&mut world);
    let found = violations(&world);
    assert!(
        found.iter().any(|violation| violation.0.contains(sentence)),
        "expected a violation with {sentence:?}, found {found:?}"
    );
}

fn shares(world: &mut World) -> &mut Vec<Share> {
    &mut world.routes.environments[0].shares
}

#[test]
fn a_sound_table_passes() {
    assert_eq!(violations(&sound()), []);
}

#[test]
fn weights_that_do_not_sum_to_the_whole() {
    planted("weights sum to", |world| shares(world)[1].weight = Weight::percent(20));
}

#[test]
fn a_route_to_a_replica_that_is_not_ready() {
    planted("which is not ready", |world| world.replicas[3].state = ReplicaState::Loading);
}

#[test]
fn a_route_to_a_replica_that_is_gone() {
    planted("which is not ready", |world| {
        world.replicas.remove(0);
    });
}

#[test]
fn a_route_to_another_deployments_replica() {
    planted("which is not ready", |world| world.replicas[2].deployment = id("old"));
}

#[test]
fn a_share_without_a_ready_replica() {
    planted("no ready replica", |world| world.routes.deployments[1].replicas.clear());
}

#[test]
fn a_share_beyond_its_capacity() {
    planted("of 40 requests", |world| {
        world.demand.insert(EnvironmentName::production(), 40);
    });
}

#[test]
fn a_share_without_a_route() {
    planted("no route", |world| {
        world.routes.deployments.remove(0);
    });
}

#[test]
fn an_exemption_as_full_below_the_maximum() {
    planted("at its maximum and is not", |world| shares(world)[0].exemption = Some(Exemption::AtMaximum));
}

#[test]
fn an_exemption_as_short_that_is_not_short() {
    planted("is not short", |world| shares(world)[0].exemption = Some(Exemption::EnvironmentShort));
}

#[test]
fn an_exemption_as_holding_with_replicas() {
    planted("and has replicas", |world| shares(world)[0].exemption = Some(Exemption::Held));
}

#[test]
fn a_candidate_that_holds_requests_the_other_side_could_serve() {
    planted("the other side could serve", |world| {
        world.routes.deployments[1].replicas.clear();
        shares(world)[1].exemption = Some(Exemption::Held);
    });
}

#[test]
fn a_candidate_overloaded_while_the_previous_could_carry() {
    planted("more than it can", |world| {
        world.demand.insert(EnvironmentName::production(), 40);
        shares(world)[1].exemption = Some(Exemption::EnvironmentShort);
    });
}

#[test]
fn traffic_before_the_gate() {
    planted("before the gate", |world| world.promotions[0].gate_passed_at = None);
}

#[test]
fn more_than_the_stage() {
    planted("more than its stage", |world| world.promotions[0].position.stage = 2);
}

#[test]
fn traffic_to_a_candidate_that_is_down() {
    planted("is down has traffic", |world| world.promotions[0].hold = Some(Hold::CandidateDown));
}
