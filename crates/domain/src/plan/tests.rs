//! What one look decides about one deployment.

use std::collections::BTreeMap;

use serde_json::json;

use crate::{
    ArtifactId, AutoscalingSettings, Build, Demand, Deployment, DeploymentId, EventKind, Lifecycle, Memory,
    Model, ModelId, ModelName, Moment, ObservedReplica, Plan, ReplicaId, ReplicaState, Seen, Snapshot,
    StopReason, Timestamp, plan, routes_as_stored,
};

fn at(ms: i64) -> Moment {
    Moment { now: Timestamp::from_millis(1_000_000 + ms), monotonic: ms }
}

fn ready(id: &str) -> ObservedReplica {
    ObservedReplica {
        id: ReplicaId::new(id),
        model: ModelId::new("m"),
        deployment: DeploymentId::new("d"),
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
        environment: None,
    }
}

/// A deployment that has served for long and should have so many replicas whatever the load is, with those that are there and
/// how many requests each has in flight.
fn snapshot(target: u32, replicas: &[(&str, u32)]) -> Snapshot {
    let settings = AutoscalingSettings {
        min_replica: target,
        max_replica: target.max(1),
        scale_down_delay: 60,
        ..AutoscalingSettings::default()
    };
    let deployment: Deployment = serde_json::from_value(json!({
        "id": "d",
        "model": "m",
        "name": "v1",
        "kind": "published",
        "created_at": 0,
        "created_by": "someone",
        "artifact": "a",
        "config": {},
        "build": { "state": "done", "at": 0 },
        "lifecycle": "active",
        "autoscaling": settings,
        "target": target,
        "active_since": 0,
        "deploy_timeout_minutes": 30,
        "failed_starts": 0,
        "version": 0,
    }))
    .unwrap();
    Snapshot {
        model: Model {
            id: ModelId::new("m"),
            name: ModelName::new("iris").unwrap(),
            created_at: Timestamp::from_millis(0),
            next_number: 2,
            generation: 1,
            allow_download: true,
        },
        deployments: vec![deployment],
        environments: Vec::new(),
        promotions: Vec::new(),
        replicas: Seen::Known(replicas.iter().map(|(id, _)| ready(id)).collect()),
        demand: BTreeMap::new(),
        requests: BTreeMap::new(),
        in_flight: replicas.iter().map(|(id, count)| (ReplicaId::new(*id), *count)).collect(),
        sides: BTreeMap::new(),
        published: None,
    }
}

fn stopped(plan: &Plan) -> Vec<(&str, StopReason)> {
    plan.stop.iter().map(|stop| (stop.replica.as_str(), stop.reason)).collect()
}

fn routed(plan: &Plan) -> Vec<&str> {
    plan.routes.deployments.iter().flat_map(|route| &route.replicas).map(|one| one.id.as_str()).collect()
}

#[test]
fn of_two_replicas_the_idle_one_goes() {
    for busy in ["a", "b"] {
        let in_flight = |id: &str| u32::from(id == busy);
        let seen = snapshot(1, &[("a", in_flight("a")), ("b", in_flight("b"))]);
        assert_eq!(routed(&plan(&seen, &Memory::default(), at(0))), [busy]);
    }
}

#[test]
fn a_replica_that_is_not_wanted_any_more_has_as_long_as_a_request_may_take() {
    let busy = snapshot(0, &[("a", 1)]);
    let first = plan(&busy, &Memory::default(), at(0));
    assert_eq!((routed(&first), stopped(&first)), (vec![], vec![]));
    let later = plan(&busy, &first.memory, at(1_199_999));
    assert_eq!((stopped(&later), later.look_at), (vec![], Some(1_200_000)));
    let last = plan(&busy, &later.memory, at(1_200_000));
    assert_eq!(stopped(&last), [("a", StopReason::ScaleDown)]);

    let done = plan(&snapshot(0, &[("a", 0)]), &first.memory, at(100));
    assert_eq!(stopped(&done), [("a", StopReason::ScaleDown)]);
}

#[test]
fn what_is_to_be_gone_is_not_waited_for_so_long() {
    let first = plan(&snapshot(0, &[("a", 1)]), &Memory::default(), at(0));
    let mut deleted = snapshot(0, &[("a", 1)]);
    deleted.deployments[0].deleted_at = Some(at(1_000).now);
    assert_eq!(stopped(&plan(&deleted, &first.memory, at(29_999))), []);
    assert_eq!(stopped(&plan(&deleted, &first.memory, at(30_000))), [("a", StopReason::Deleted)]);

    // A person's word counts from the moment it was given, also of one that is on its way out already.
    let mut asked = snapshot(0, &[("a", 1)]);
    asked.deployments[0].terminating.push(ReplicaId::new("a"));
    let told = plan(&asked, &first.memory, at(100_000));
    assert_eq!(stopped(&told), []);
    assert_eq!(stopped(&plan(&asked, &told.memory, at(129_999))), []);
    assert_eq!(stopped(&plan(&asked, &told.memory, at(130_000))), [("a", StopReason::Asked)]);
}

#[test]
fn former_code_is_not_waited_for_so_long() {
    let mut asleep = snapshot(0, &[("a", 1)]);
    if let Seen::Known(replicas) = &mut asleep.replicas {
        replicas[0].artifact = Some(ArtifactId::new("a"));
    }
    let mut pushed = asleep.clone();
    pushed.deployments[0].artifact = ArtifactId::new("b");
    pushed.deployments[0].build = Build::Queued;
    let first = plan(&pushed, &Memory::default(), at(0));
    assert_eq!((routed(&first), stopped(&first)), (vec![], vec![]));
    let later = plan(&pushed, &first.memory, at(29_999));
    assert_eq!((stopped(&later), later.look_at), (vec![], Some(30_000)));
    assert_eq!(stopped(&plan(&pushed, &later.memory, at(30_000))), [("a", StopReason::Replaced)]);

    // So is what has finished for longer already when the newer code comes, whatever for.
    let sleeps = plan(&asleep, &Memory::default(), at(0));
    assert_eq!(stopped(&plan(&asleep, &sleeps.memory, at(100_000))), []);
    assert_eq!(stopped(&plan(&pushed, &sleeps.memory, at(100_000))), [("a", StopReason::Replaced)]);
    asleep.deployments[0].lifecycle = Lifecycle::Inactive;
    let inactive = plan(&asleep, &Memory::default(), at(0));
    assert_eq!(stopped(&plan(&asleep, &inactive.memory, at(100_000))), []);
    assert_eq!(stopped(&plan(&pushed, &inactive.memory, at(100_000))), [("a", StopReason::Replaced)]);
}

#[test]
fn what_a_person_ended_gets_no_request_while_nothing_can_be_saved() {
    let mut asked = snapshot(2, &[("a", 1), ("b", 0)]);
    asked.deployments[0].terminating.push(ReplicaId::new("a"));
    let routes = routes_as_stored(&asked, &Memory::default(), at(0)).unwrap();
    let routed: Vec<&str> = routes.deployments[0].replicas.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(routed, ["b"]);
}

#[test]
fn one_that_finishes_serves_again_before_another_is_started() {
    let first = plan(&snapshot(0, &[("a", 1)]), &Memory::default(), at(0));
    let again = plan(&snapshot(2, &[("a", 1)]), &first.memory, at(60_000));
    assert_eq!(routed(&again), ["a"]);
    assert_eq!(again.start.iter().map(|start| start.count).collect::<Vec<_>>(), [1], "one is missing still");
    assert!(again.memory.draining.is_empty());

    let mut asked = snapshot(1, &[("a", 1)]);
    asked.deployments[0].terminating.push(ReplicaId::new("a"));
    let replaced = plan(&asked, &first.memory, at(60_000));
    assert_eq!((routed(&replaced), replaced.start.len()), (vec![], 1), "what a person ended does not");

    let mut inactive = snapshot(0, &[("a", 1)]);
    inactive.deployments[0].lifecycle = Lifecycle::Inactive;
    let between = plan(&inactive, &first.memory, at(30_000));
    let anew = plan(&snapshot(1, &[("a", 1)]), &between.memory, at(60_000));
    assert_eq!((routed(&anew), anew.start.len()), (vec![], 1), "what was deactivated does not");
}

#[test]
fn requests_between_two_looks_keep_a_deployment_awake() {
    let mut seen = snapshot(1, &[("a", 0)]);
    seen.deployments[0].autoscaling.min_replica = 0;
    let mut memory = Memory::default();
    for second in 0..600 {
        // One each ten seconds; the gateway begins to count anew in between.
        seen.requests.insert(DeploymentId::new("d"), (second % 300) as u64 / 10);
        let look = plan(&seen, &memory, at(second * 1_000));
        assert_eq!(look.deployments, [], "at {second} s");
        memory = look.memory;
    }
    let mut slept = None;
    for second in 600..700 {
        let look = plan(&seen, &memory, at(second * 1_000));
        if look.deployments.iter().any(|deployment| deployment.target == 0) {
            slept = Some(second);
            break;
        }
        memory = look.memory;
    }
    // The last one came at 590 s, and the look after it found none.
    assert_eq!(slept, Some(651));
}

#[test]
fn what_came_before_the_first_look_is_not_known_to_have_come() {
    let mut seen = snapshot(1, &[("a", 0)]);
    seen.deployments[0].autoscaling.min_replica = 0;
    seen.requests.insert(DeploymentId::new("d"), 1_000);
    let first = plan(&seen, &Memory::default(), at(0));
    assert_eq!((first.look_at, first.sample_at), (Some(60_000), Some(2_000)));
    let last = plan(&seen, &first.memory, at(60_000));
    assert_eq!(last.deployments[0].target, 0);
}

#[test]
fn a_change_of_replicas_that_no_load_asked_for_is_recorded_with_its_cause() {
    let mut seen = snapshot(0, &[]);
    seen.deployments[0].active_since = None;
    let begun = plan(&seen, &Memory::default(), at(0));
    assert_eq!(begun.deployments[0].target, 1);
    let recorded: Vec<_> = begun.events.iter().map(|event| (event.kind, event.sentence.as_str())).collect();
    assert_eq!(
        recorded,
        [(EventKind::ScalingDecision, "v1 goes from 0 to 1 replica: it was built and starts")]
    );
    assert_eq!(begun.events[0].data, json!({ "change": { "cause": "started", "from": 0, "to": 1 } }));
}

#[test]
fn the_load_is_looked_at_from_the_first_replica_on() {
    let mut seen = snapshot(0, &[]);
    seen.deployments[0].autoscaling.min_replica = 1;
    let raised = plan(&seen, &Memory::default(), at(0));
    assert_eq!((raised.deployments[0].target, raised.look_at), (1, Some(2_000)));
}

#[test]
fn what_rests_is_looked_at_again_only_if_something_is_counted() {
    let id = DeploymentId::new("d");
    let mut seen = snapshot(1, &[("a", 0)]);
    let mut memory = Memory::default();
    let mut look = |seen: &Snapshot, ms: i64| {
        let look = plan(seen, &memory, at(ms));
        memory = look.memory;
        (look.look_at, look.sample_at)
    };
    seen.requests.insert(id.clone(), 0);
    assert_eq!(look(&seen, 0), (None, Some(2_000)));
    // One that was over before anybody looked.
    seen.requests.insert(id.clone(), 1);
    assert_eq!(look(&seen, 2_000), (Some(4_000), None));
    assert_eq!(look(&seen, 4_000), (None, Some(6_000)));
    // One that was seen is part of the average until the window has passed.
    seen.demand.insert(id.clone(), Demand { in_flight: 1, held: 0 });
    assert_eq!(look(&seen, 6_000), (Some(8_000), None));
    seen.demand.clear();
    assert_eq!(look(&seen, 8_000), (Some(10_000), None));
    assert_eq!(look(&seen, 68_000), (None, Some(70_000)));
    // One that waits anywhere in the model.
    seen.demand.insert(DeploymentId::new("another"), Demand { in_flight: 0, held: 1 });
    assert_eq!(look(&seen, 70_000), (Some(72_000), None));
}

#[test]
fn what_is_not_as_it_should_be_does_not_rest() {
    let short = plan(&snapshot(2, &[("a", 0)]), &Memory::default(), at(0));
    assert_eq!((short.look_at, short.sample_at), (Some(2_000), None));
}

#[test]
fn earlier_failures_are_forgotten_in_time_though_nobody_calls() {
    let mut seen = snapshot(1, &[("a", 0)]);
    seen.deployments[0].failed_starts = 1;
    if let Seen::Known(replicas) = &mut seen.replicas {
        replicas[0].ready_at = Some(at(0).now);
    }
    let first = plan(&seen, &Memory::default(), at(0));
    assert_eq!((first.look_at, first.deployments.len()), (Some(60_000), 0));
    let proven = plan(&seen, &first.memory, at(60_000));
    assert_eq!(proven.deployments[0].failed_starts, 0);
}
