//! One environment's page: its rollout, both sides, what was decided.

use app::view::{
    AccessView, Counted, Decision, DeploymentRef, EnvironmentActions, EnvironmentPage, Permit, Rollout,
    RolloutControls, SampleRun, Served, Side,
};
use domain::{
    Action, Asked, DeploymentId, Door, Environment, EnvironmentName, Event, EventKind, Lifecycle, Phase,
    Promotion, Signal, Strategy, Timestamp, ask, may_deactivate, may_delete_environment,
};

use crate::picture::{Picture, finishes_at, next_stage_at};

/// What the gateway counted for one deployment since the rollout's first stage.
pub type Counts<'a> = &'a dyn Fn(&DeploymentId) -> Option<Counted>;

/// `promotion` is the running one, or the last one; `events` are the environment's, newest first.
pub fn environment_page(
    picture: &Picture,
    environment: &Environment,
    promotion: Option<&Promotion>,
    events: &[Event],
    counts: Counts<'_>,
    sample_run: Option<SampleRun>,
    access: AccessView,
) -> EnvironmentPage {
    let running = promotion.is_some_and(Promotion::is_running);
    let choices = picture.choices();
    let others = choices
        .deployments
        .iter()
        .any(|choice| environment.current.as_ref().is_none_or(|id| id.as_str() != choice.id));
    let promote = if running {
        Err("a promotion is under way; cancel it or let it finish first".into())
    } else if !others {
        Err("there is no other deployment to promote; push one first".into())
    } else {
        Ok(())
    };
    EnvironmentPage {
        as_of: picture.now,
        model_id: picture.model.id.to_string(),
        model_name: picture.model.name.to_string(),
        name: environment.name.to_string(),
        headline: capitalised(&format!("{}.", picture.environment_sentence(environment))),
        address: picture.environment_address(&environment.name),
        current: environment.current.as_ref().and_then(|id| picture.served(id)),
        rollout: promotion.map(|promotion| rollout(picture, promotion, events, counts)),
        controls: controls(picture, &environment.name, promotion),
        promote: picture.permit_in(&environment.name, promote),
        choices,
        settings: environment.promotion.clone(),
        scaling: environment.autoscaling.clone(),
        may_change_settings: picture.permit_in(&environment.name, Ok(())),
        access,
        actions: actions(picture, environment),
        sample: match sample_permit(picture, environment) {
            Err(reason) => Permit::Refused(reason),
            Ok(()) if sample_run.is_some_and(|run| run.running) => {
                Permit::Refused("it is being sent; wait until it is over".into())
            }
            Ok(()) => Permit::Allowed,
        },
        sample_run,
    }
}

/// What the person may ask of the promotion now, and if not, why.
fn controls(picture: &Picture, name: &EnvironmentName, promotion: Option<&Promotion>) -> RolloutControls {
    let running = promotion.filter(|promotion| promotion.is_running());
    let permit = |signal: Signal, already: &str| {
        picture.permit_in(
            name,
            match running.map(|promotion| ask(promotion, signal)) {
                None => Err("no promotion is under way".into()),
                Some(Ok(Asked::Store)) => Ok(()),
                Some(Ok(Asked::Already)) => Err(already.into()),
                Some(Err(reason)) => Err(reason),
            },
        )
    };
    RolloutControls {
        cancel: permit(Signal::Cancel, "it is canceled already; its traffic is going back"),
        force_cancel: permit(Signal::ForceCancel, "it is canceled by force already"),
        pause: permit(Signal::Pause, "it is paused already"),
        resume: permit(Signal::Resume, "it is not paused"),
        roll_forward: permit(Signal::RollForward, "it is being rolled forward already"),
    }
}

/// Whether requests to the environment would reach a model; `Err` says why not.
pub fn sample_permit(picture: &Picture, environment: &Environment) -> Result<(), String> {
    if !picture.role.permits(Action::Invoke) {
        return Err("your key may not call models".into());
    }
    match environment.current.as_ref().and_then(|id| picture.deployment(id)) {
        None => Err("nothing is promoted here yet; promote a deployment first".into()),
        Some(current) if current.lifecycle == Lifecycle::Inactive => {
            Err("it is inactive; activate it first".into())
        }
        Some(_) => Ok(()),
    }
}

/// What the person may do to the environment now, and if not, why.
fn actions(picture: &Picture, environment: &Environment) -> EnvironmentActions {
    let current = environment.current.as_ref().and_then(|id| picture.deployment(id));
    let nothing = || Err("nothing is promoted here yet; promote a deployment first".to_owned());
    let activate = match current.map(|deployment| deployment.lifecycle) {
        None => nothing(),
        Some(Lifecycle::Active) => Err("it is active already".into()),
        Some(Lifecycle::Inactive) => Ok(()),
    };
    let deactivate = match current {
        None => nothing(),
        Some(deployment) if deployment.lifecycle == Lifecycle::Inactive => {
            Err("it is inactive already".into())
        }
        Some(deployment) => may_deactivate(deployment, &picture.promotions),
    };
    let delete = may_delete_environment(environment, picture.promotion(&environment.name));
    EnvironmentActions {
        activate: picture.permit_in(&environment.name, activate),
        deactivate: picture.permit_in(&environment.name, deactivate),
        delete: picture.permit_in(&environment.name, delete),
    }
}

fn rollout(picture: &Picture, promotion: &Promotion, events: &[Event], counts: Counts<'_>) -> Rollout {
    let percent = promotion.percent().min(100) as u8;
    let window_ms = match promotion.strategy {
        Strategy::Canary { window_ms } => window_ms,
        Strategy::Direct | Strategy::Rolling { .. } => 0,
    };
    let counted = |id: &DeploymentId| promotion.gate_passed_at.and_then(|_| counts(id));
    let side = |id: &DeploymentId, percent: u8| {
        let served = picture.served(id).unwrap_or_else(|| gone(id));
        Side { served, percent, counted: counted(id) }
    };
    Rollout {
        promotion_id: promotion.id.to_string(),
        phase: promotion.phase,
        running: promotion.is_running(),
        sentence: picture.promotion_sentence(promotion),
        canary: window_ms > 0,
        moved: promotion.moved(),
        window_seconds: u32::try_from(window_ms / 1000).unwrap_or(u32::MAX),
        percent,
        stage: stage(promotion),
        reached: reached(promotion, events),
        next_stage_at: next_stage_at(promotion),
        finishes_at: finishes_at(promotion),
        started_at: promotion.started_at,
        started_by: Some(promotion.started_by.clone()),
        ended_at: promotion.ended_at,
        previous: promotion.previous.as_ref().map(|id| side(id, 100 - percent)),
        candidate: side(&promotion.candidate, percent),
        decisions: decisions(promotion, events),
    }
}

fn stage(promotion: &Promotion) -> u8 {
    if promotion.phase == Phase::Succeeded { 10 } else { promotion.position.stage.min(10) as u8 }
}

/// A deployment that was deleted since.
fn gone(id: &DeploymentId) -> Served {
    Served {
        deployment: DeploymentRef { id: id.to_string(), name: id.to_string() },
        status: domain::DeploymentStatus::Inactive,
        sentence: "deleted".into(),
        replicas: app::view::Replicas::default(),
    }
}

/// When each stage began, the first one first.
fn reached(promotion: &Promotion, events: &[Event]) -> Vec<Timestamp> {
    let mut stages: Vec<(u64, Timestamp)> = events
        .iter()
        .filter(|event| event.kind == EventKind::ModelPromotionStep)
        .filter(|event| event.data["promotion"].as_str() == Some(promotion.id.as_str()))
        .filter_map(|event| Some((event.data["stage"].as_u64()?, event.at)))
        .collect();
    stages.sort();
    stages.dedup_by_key(|(stage, _)| *stage);
    // Only an unbroken run from the first stage can be shown as a ladder.
    stages
        .into_iter()
        .enumerate()
        .take_while(|(index, (stage, _))| *index as u64 + 1 == *stage)
        .map(|(_, (_, at))| at)
        .collect()
}

/// What was decided since the promotion began, newest first.
fn decisions(promotion: &Promotion, events: &[Event]) -> Vec<Decision> {
    events
        .iter()
        .filter(|event| event.at >= promotion.started_at)
        .filter(|event| promotion.ended_at.is_none_or(|ended| event.at <= ended.plus(1000)))
        .take(100)
        .map(|event| Decision {
            at: event.at,
            sentence: event.sentence.clone(),
            by: (event.actor.door != Door::System).then(|| event.actor.name.clone()),
        })
        .collect()
}

fn capitalised(sentence: &str) -> String {
    // Names of deployments keep their spelling; only words of ours begin with a capital.
    let mut letters = sentence.chars();
    match letters.next() {
        Some(first) if sentence.split(' ').next().is_some_and(|word| !word.contains(['-', '_', '.'])) => {
            first.to_uppercase().chain(letters).collect()
        }
        _ => sentence.to_owned(),
    }
}
