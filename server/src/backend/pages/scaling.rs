//! How one deployment scaled, and why.

use app::view::{ColdStartRow, CountsAt, ScalingDecision, ScalingPage, StartPhase};
use domain::{
    AutoscalingSettings, ColdStart, Decided, DecisionRow, DeploymentId, Limit, ModelId, PhaseTimes,
    ScaleDecision, ScalingHistory, StartOutcome, Timestamp, phase_times,
};

/// Starts that the page shows one by one: the last ones.
const STARTS: usize = 8;

pub fn scaling_page(
    model: &ModelId,
    deployment: &DeploymentId,
    hours: u32,
    since: Timestamp,
    now: Timestamp,
    history: ScalingHistory,
) -> ScalingPage {
    let ScalingHistory { counts, decisions, cold_starts } = history;
    ScalingPage {
        as_of: now,
        model_id: model.to_string(),
        deployment_id: deployment.to_string(),
        hours,
        since,
        counts: counts
            .into_iter()
            .map(|count| CountsAt {
                // What was so when the time began began before it.
                at: count.at.max(since),
                wanted: count.wanted,
                starting: count.starting,
                ready: count.ready,
            })
            .collect(),
        decisions: decisions.into_iter().map(decision).collect(),
        start_phases: phase_times(&cold_starts).into_iter().flatten().map(phase).collect(),
        cold_starts: cold_starts.into_iter().rev().take(STARTS).map(start).collect(),
    }
}

fn phase(times: PhaseTimes) -> StartPhase {
    let PhaseTimes { starts, median_ms, p90_ms } = times;
    StartPhase { starts: starts as u32, median_ms, p90_ms }
}

fn start(start: ColdStart) -> ColdStartRow {
    ColdStartRow {
        at: start.at,
        replica: start.replica.to_string(),
        failed: match start.outcome {
            StartOutcome::Ready => None,
            StartOutcome::Failed { reason } => Some(format!("failed: {reason}")),
            StartOutcome::Stalled => Some("not ready for too long".into()),
        },
        queue_ms: start.queue_ms,
        spawn_ms: start.spawn_ms,
        load_ms: start.load_ms,
        ready_ms: start.ready_ms,
        first_byte_ms: start.first_byte_ms,
    }
}

fn decision(row: DecisionRow) -> ScalingDecision {
    let DecisionRow { at, sentence, decided } = row;
    let (_, applied) = decided.numbers();
    let inputs = match &decided {
        Decided::Computed { decision, floor, settings } => computed_from(decision, *floor, settings),
        // The sentence says all there is.
        Decided::Caused { .. } => Vec::new(),
    };
    ScalingDecision {
        at,
        sentence,
        applied,
        inputs: inputs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    }
}

/// The inputs of a decision in words: what was measured, the formula, what bound it.
fn computed_from(
    decision: &ScaleDecision,
    floor: u32,
    settings: &AutoscalingSettings,
) -> Vec<(&'static str, String)> {
    let each =
        f64::from(settings.concurrency_target) * f64::from(settings.target_utilization_percentage) / 100.0;
    let mut inputs = vec![
        (
            "Load",
            format!(
                "{:.2} requests in flight on average over {} s",
                decision.average_load, settings.autoscaling_window
            ),
        ),
        (
            "Formula",
            format!(
                "{:.2} ÷ ({} × {} % = {each:.1}) rounded up = {}",
                decision.average_load,
                settings.concurrency_target,
                settings.target_utilization_percentage,
                decision.wanted
            ),
        ),
        ("Between", format!("{} and {}", settings.min_replica, settings.max_replica)),
    ];
    if decision.arrived > 0 {
        let came = match decision.arrived {
            1 => "1 request came".to_owned(),
            many => format!("{many} requests came"),
        };
        inputs.push(("Since the look before", came));
    }
    if floor > 0 {
        inputs.push(("Needed by a promotion", floor.to_string()));
    }
    inputs.push(("Bound by", bound(decision.limit, settings)));
    inputs.push(("From, to", format!("{} → {}", decision.current, decision.applied)));
    inputs
}

fn bound(limit: Limit, settings: &AutoscalingSettings) -> String {
    match limit {
        Limit::None => "nothing: the formula's answer was taken".into(),
        Limit::Minimum => format!("the least allowed, {}", settings.min_replica),
        Limit::Maximum => format!("the most allowed, {}", settings.max_replica),
        Limit::Delay => format!("the scale down delay, {} s", settings.scale_down_delay),
        Limit::Rate => format!("the scale down rate, {} % in one step", settings.max_scale_down_rate),
        Limit::Floor => "what a promotion needs".into(),
    }
}
