//! Changes that overlap: what runs, what is known to run, and what to go back to.

use serde_json::json;

use super::*;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn point(hash: &str) -> PatchPoint {
    PatchPoint { hash: hash.into(), signature: "{}".into() }
}

/// A development deployment that runs what was pushed.
fn draft() -> Deployment {
    let mut draft: Deployment = serde_json::from_value(json!({
        "id": "dep1",
        "model": "mdl1",
        "name": "development",
        "kind": "development",
        "created_at": 0,
        "created_by": "someone",
        "artifact": "as pushed",
        "config": {},
        "build": { "state": "done", "at": 0 },
        "lifecycle": "active",
        "autoscaling": crate::AutoscalingSettings::default(),
        "target": 1,
        "active_since": 0,
        "deploy_timeout_minutes": 30,
        "failed_starts": 0,
        "version": 0,
    }))
    .unwrap();
    draft.live = Some(LiveReload::as_pushed(point("pushed")));
    draft
}

/// One whose pushed code never loaded.
fn failed_push() -> Deployment {
    Deployment { active_since: None, failure: Some("no weights".into()), ..draft() }
}

/// A change arrives that leads to the state `hash` by the code of `artifact`.
fn stage(draft: &mut Deployment, hash: &str, artifact: &str, hot: bool) {
    let revision = Revision {
        point: point(hash),
        artifact: ArtifactId::new(artifact),
        config: json!({ "of": artifact }),
        raw_config: None,
    };
    draft.live.as_mut().unwrap().stage(Staged { revision, hot, at: at(0), by: "someone".into() });
}

/// The staged change is put into service as far as its start.
fn start(draft: &mut Deployment) {
    draft.prepare_staged("preparing".into());
    draft.start_staged(at(1));
}

fn live(draft: &Deployment) -> &LiveReload {
    draft.live.as_ref().unwrap()
}

fn artifact(draft: &Deployment) -> &str {
    draft.artifact.as_str()
}

#[test]
fn a_change_that_gives_way_to_a_newer_one_is_never_what_ran_before() {
    let mut draft = draft();
    stage(&mut draft, "h1", "a1", false);
    start(&mut draft);
    assert_eq!((artifact(&draft), draft.proven().artifact.as_str()), ("a1", "as pushed"));
    stage(&mut draft, "h2", "a2", false);
    draft.prepare_staged("preparing".into());
    assert_eq!((artifact(&draft), &draft.config), ("as pushed", &json!({})), "until a2 is prepared");
    assert_eq!((&live(&draft).starts, &live(&draft).fallback), (&None, &None));
    draft.start_staged(at(2));
    assert_eq!((artifact(&draft), draft.proven().artifact.as_str()), ("a2", "as pushed"));
    draft.staged_failed("no weights".into(), Some(ReplicaId::new("rep1")), at(3));
    assert_eq!((artifact(&draft), &draft.config), ("as pushed", &json!({})));
    assert_eq!((live(&draft).running.hash.as_str(), &draft.failure), ("pushed", &None));
    assert_eq!(draft.revision().unwrap().point, point("pushed"));
}

#[test]
fn a_change_whose_preparation_fails_while_another_starts_leaves_what_ran_before_both() {
    let mut draft = draft();
    stage(&mut draft, "h1", "a1", false);
    start(&mut draft);
    stage(&mut draft, "h2", "a2", false);
    draft.prepare_staged("preparing".into());
    draft.staged_failed("no such package".into(), None, at(2));
    assert_eq!((artifact(&draft), live(&draft).running.hash.as_str()), ("as pushed", "pushed"));
    assert_eq!(draft.failure, None);
}

#[test]
fn a_change_received_while_another_starts_does_not_pass_for_running() {
    let mut draft = draft();
    stage(&mut draft, "h1", "a1", false);
    start(&mut draft);
    stage(&mut draft, "h2", "a2", false);
    assert!(draft.starts_change(), "what starts goes on");
    draft.started_runs(at(2));
    assert_eq!((live(&draft).running.hash.as_str(), artifact(&draft)), ("h1", "a1"));
    assert!(!live(&draft).is_in_sync());
    assert!(live(&draft).sentence().contains("waits to be put into service"));
    start(&mut draft);
    assert_eq!(live(&draft).fallback.as_ref().unwrap().point, point("h1"));
    assert_eq!((artifact(&draft), draft.proven().artifact.as_str()), ("a2", "a1"));
    draft.started_runs(at(3));
    assert!(live(&draft).is_in_sync());
    assert_eq!((live(&draft).running.hash.as_str(), artifact(&draft)), ("h2", "a2"));
}

#[test]
fn a_change_that_is_taken_back_is_in_service_only_if_what_it_goes_back_to_runs() {
    let mut draft = draft();
    stage(&mut draft, "h1", "a1", false);
    start(&mut draft);
    let failed = {
        let mut draft = draft.clone();
        draft.staged_failed("no weights".into(), None, at(2));
        stage(&mut draft, "pushed", "a2", false);
        draft
    };
    assert!(live(&failed).is_in_sync(), "what was pushed runs");

    stage(&mut draft, "pushed", "a2", false);
    assert!(!live(&draft).is_in_sync());
    draft.started_runs(at(2));
    assert!(!live(&draft).is_in_sync(), "h1 runs");
    start(&mut draft);
    draft.started_runs(at(3));
    assert!(live(&draft).is_in_sync());
    assert_eq!(artifact(&draft), "a2");
}

#[test]
fn where_nothing_ever_ran_what_comes_up_first_is_known_by_its_own_state() {
    let mut draft = failed_push();
    stage(&mut draft, "h1", "a1", false);
    start(&mut draft);
    assert_eq!((&draft.failure, live(&draft).fallback.is_none()), (&None, true));
    stage(&mut draft, "pushed", "a2", false);
    assert!(!live(&draft).is_in_sync(), "what was pushed never ran");
    draft.prepare_staged("preparing".into());
    assert_eq!(artifact(&draft), "a1", "there is nothing to go back to");
    draft.started_runs(at(2));
    draft.active_since = Some(at(2));
    assert!(draft.prepares_change(), "the newer change goes on");
    assert_eq!((live(&draft).running.hash.as_str(), live(&draft).patched_at), ("h1", Some(at(2))));
    draft.start_staged(at(3));
    assert_eq!(live(&draft).fallback.as_ref().unwrap().point, point("h1"));
}

#[test]
fn a_failed_change_that_comes_up_after_all_runs() {
    let mut draft = failed_push();
    stage(&mut draft, "h1", "a1", false);
    start(&mut draft);
    draft.staged_failed("no weights".into(), None, at(2));
    assert_eq!((draft.failure.as_deref(), artifact(&draft)), (Some("no weights"), "a1"));
    draft.begin_deploying(1, at(3));
    draft.started_runs(at(4));
    assert!(live(&draft).is_in_sync());
    assert_eq!(live(&draft).running.hash, "h1");
}

#[test]
fn a_class_is_swapped_only_where_nothing_but_code_lies_between() {
    let hot = |draft: &Deployment| live(draft).staged.as_ref().unwrap().hot;
    let mut draft = draft();
    stage(&mut draft, "h1", "a1", true);
    assert!(hot(&draft));
    stage(&mut draft, "h2", "a2", true);
    assert!(hot(&draft), "all of it is code");
    stage(&mut draft, "h3", "a3", false);
    stage(&mut draft, "h4", "a4", true);
    assert!(!hot(&draft), "the process that runs lacks what h3 brought");
    start(&mut draft);
    draft.staged_failed("no weights".into(), None, at(2));
    stage(&mut draft, "h5", "a5", true);
    assert!(!hot(&draft), "and still does");
    start(&mut draft);
    draft.started_runs(at(3));
    stage(&mut draft, "h6", "a6", true);
    assert!(hot(&draft));
}

#[test]
fn the_code_of_former_changes_goes_but_for_the_newest_and_what_runs_or_was_copied() {
    let names = |all: &[&str]| all.iter().copied().map(ArtifactId::new).collect::<Vec<_>>();
    let mut draft = draft();
    for name in ["copied", "runs"] {
        stage(&mut draft, name, name, false);
        start(&mut draft);
        draft.started_runs(at(2));
    }
    let id = crate::DeploymentId::new("dep2");
    let copies = [Deployment { id, artifact: ArtifactId::new("copied"), live: None, ..draft.clone() }];
    let mut removed = Vec::new();
    for change in 0..FORMER_CHANGES + 3 {
        let name = format!("a{change}");
        stage(&mut draft, &name, &name, false);
        removed.extend(draft.forget_former(&copies));
        assert!(live(&draft).former.len() <= FORMER_CHANGES + 1, "what runs is among it");
    }
    assert_eq!(removed, names(&["a0", "a1"]));
    assert_eq!(draft.forget_former(&copies), names(&[]), "once is enough");

    start(&mut draft);
    stage(&mut draft, "h1", "newest", false);
    assert_eq!(draft.forget_former(&copies), names(&[]), "what ran before the one that starts stays");
    draft.started_runs(at(3));
    stage(&mut draft, "h2", "last", false);
    assert_eq!(draft.forget_former(&copies), names(&["a2", "a3"]));
    assert_eq!(draft.idle_changes(&copies).len(), FORMER_CHANGES);
}

#[test]
fn what_was_stored_before_is_read() {
    let stored = json!({
        "pushed": point("pushed"),
        "running": point("h1"),
        "patched_at": 1,
        "staged": null,
        "sync": { "state": "failed", "reason": "no weights", "at": 2 },
        "fallback": null,
    });
    let live: LiveReload = serde_json::from_value(stored).unwrap();
    assert_eq!((&live.starts, live.hot_once_started, live.former.len()), (&None, false, 0));
    let failed =
        FailedChange { reason: "no weights".into(), at: at(2), replica: None, hash: None, since: None };
    assert_eq!(live.failure_of("pushed"), Some(&failed), "it is the newest");
    let again = serde_json::to_value(&live).unwrap();
    assert_eq!(serde_json::from_value::<LiveReload>(again).unwrap(), live);
}

#[test]
fn a_change_that_fails_is_told_from_one_received_meanwhile() {
    let mut draft = draft();
    stage(&mut draft, "h1", "a1", false);
    start(&mut draft);
    stage(&mut draft, "h2", "a2", false);
    draft.staged_failed("no weights".into(), Some(ReplicaId::new("rep1")), at(2));
    let failed = live(&draft).failure_of("h1").unwrap();
    assert_eq!((failed.since, failed.at, failed.reason.as_str()), (Some(at(1)), at(2), "no weights"));
    assert_eq!(live(&draft).failure_of("h2"), None);
    let sentence = live(&draft).sentence();
    assert!(sentence.starts_with("a change was received and waits to be put into service"), "{sentence}");
    assert!(sentence.ends_with("the one before it did not come up: no weights"), "{sentence}");

    draft.prepare_staged("preparing".into());
    assert_eq!(live(&draft).failure_of("h1"), None, "it is history");
    draft.staged_failed("no such package".into(), None, at(3));
    let failed = live(&draft).failure_of("h2").unwrap();
    assert_eq!((failed.since, failed.at), (None, at(3)));
    assert_eq!(live(&draft).sentence(), "the last change did not come up: no such package");
}

#[test]
fn a_preparation_that_fails_while_the_first_code_ever_starts_is_not_that_codes_failure() {
    let mut draft = failed_push();
    stage(&mut draft, "h1", "a1", false);
    start(&mut draft);
    stage(&mut draft, "h2", "a2", false);
    draft.prepare_staged("preparing".into());
    draft.staged_failed("no such package".into(), None, at(2));
    assert_eq!(live(&draft).starts, Some(point("h1")), "there is nothing to go back to");
    assert!(live(&draft).failure_of("h2").is_some());
    assert_eq!(live(&draft).failure_of("h1"), None);
}

#[test]
fn a_class_is_swapped_in_what_started_meanwhile_if_that_runs() {
    let hot = |draft: &Deployment| live(draft).staged.as_ref().unwrap().hot;
    let mut draft = draft();
    stage(&mut draft, "h1", "a1", false);
    start(&mut draft);
    stage(&mut draft, "h2", "a2", true);
    stage(&mut draft, "h3", "a3", true);
    assert!(!hot(&draft), "what runs lacks what h1 brings");
    let failed = {
        let mut draft = draft.clone();
        draft.staged_failed("no weights".into(), None, at(2));
        draft
    };
    assert!(!hot(&failed), "and still does");
    let (mut between, mut run) = (draft.clone(), draft);
    run.started_runs(at(2));
    assert!(hot(&run), "nothing but code came since h1");

    stage(&mut between, "h4", "a4", false);
    stage(&mut between, "h5", "a5", true);
    between.started_runs(at(2));
    assert!(!hot(&between), "h4 is more than code");
}
