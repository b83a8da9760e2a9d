//! Recomputes a recorded scaling decision from its inputs (semantics: Autoscaling).
//!
//! Written against the rules and not against [`crate::decide`], so that a mistake there can't hide itself: the formula is
//! checked by its meaning (the fewest replicas that carry the load), and each limit by what it forbids.

use crate::{AutoscalingSettings, Limit, ScaleDecision};

/// Half of the smallest difference that a load may make; averages are sums of products of milliseconds.
const TOLERANCE: f64 = 1e-6;

/// What is wrong with a decision, as sentences; nothing if it follows from its inputs.
pub fn check_decision(decision: &ScaleDecision, floor: u32, settings: &AutoscalingSettings) -> Vec<String> {
    let mut wrong = Vec::new();
    formula(decision, settings, &mut wrong);
    if decision.applied > decision.current {
        upwards(decision, floor, settings, &mut wrong);
    } else {
        downwards(decision, floor, settings, &mut wrong);
    }
    wrong
}

/// The fewest replicas that carry the load at the utilisation that is aimed at; one at least while anything is there.
fn formula(decision: &ScaleDecision, settings: &AutoscalingSettings, wrong: &mut Vec<String>) {
    let wanted = f64::from(decision.wanted);
    let hundredths =
        f64::from(settings.concurrency_target) * f64::from(settings.target_utilization_percentage);
    let load = decision.average_load * 100.0;
    if load > wanted * hundredths + TOLERANCE * load.max(1.0) {
        wrong.push(format!("{} replicas don't carry {} requests", decision.wanted, decision.average_load));
    }
    let idle = decision.average_load <= 0.0 && decision.instant_load == 0 && decision.arrived == 0;
    match decision.wanted {
        0 if !idle => wrong.push("nothing is wanted though requests are there".into()),
        0 => {}
        1 if idle => wrong.push("a replica is wanted for no requests".into()),
        1 => {}
        _ if load <= (wanted - 1.0) * hundredths - TOLERANCE * load.max(1.0) => {
            let (fewer, load) = (decision.wanted - 1, decision.average_load);
            wrong.push(format!(
                "{fewer} replicas would carry {load} requests, {} are wanted",
                decision.wanted
            ));
        }
        _ => {}
    }
}

/// More replicas come at once, and exactly as many as the load, the minimum or a promotion asks for.
fn upwards(decision: &ScaleDecision, floor: u32, settings: &AutoscalingSettings, wrong: &mut Vec<String>) {
    let ScaleDecision { applied, wanted, limit, .. } = *decision;
    let least = settings.min_replica.max(floor);
    let most = settings.max_replica.max(floor);
    if applied > most {
        wrong.push(format!("{applied} is more than the maximum, {most}"));
    }
    if applied < least {
        wrong.push(format!("{applied} is fewer than the minimum, {least}"));
    }
    let expected = if wanted > most {
        Limit::Maximum
    } else if wanted >= least {
        Limit::None
    } else if floor > settings.min_replica {
        Limit::Floor
    } else {
        Limit::Minimum
    };
    if limit != expected {
        wrong.push(format!("{expected:?} bound it, {limit:?} is recorded"));
    }
    let asked = match expected {
        Limit::Maximum => most,
        Limit::None => wanted,
        _ => least,
    };
    if applied != asked {
        wrong.push(format!("{asked} are asked for, {applied} were applied"));
    }
}

/// Fewer replicas only after the delay, by the rate at most, and never below what is asked for; none only, and then at once,
/// after a delay without anything that asks for one.
fn downwards(decision: &ScaleDecision, floor: u32, settings: &AutoscalingSettings, wrong: &mut Vec<String>) {
    let ScaleDecision { applied, wanted, current, limit, .. } = *decision;
    let least = settings.min_replica.max(floor);
    let most = settings.max_replica.max(floor);
    // Whatever the limits make of it, so many have to stay.
    let needed = if wanted > most { most } else { wanted.max(least) };
    if needed >= current {
        if applied != current {
            wrong.push(format!("{needed} are needed, {applied} of {current} stayed"));
        }
        return;
    }
    if current > most {
        // The ceiling came down: that is corrected at once.
        if applied != most {
            wrong.push(format!("the maximum is {most}, {applied} were kept"));
        }
        if limit != Limit::Maximum {
            wrong.push(format!("the maximum bound it, {limit:?} is recorded"));
        }
        return;
    }
    if applied < needed {
        wrong.push(format!("{needed} are needed, {applied} were kept"));
    }
    let Some(since) = decision.low_since else {
        wrong.push("fewer would do, and since when is not recorded".into());
        return;
    };
    let is_over = |since: i64| decision.monotonic - since >= i64::from(settings.scale_down_delay) * 1000;
    match decision.idle_since {
        None if needed == 0 => wrong.push("nothing is needed, and since when is not recorded".into()),
        Some(_) if needed > 0 => wrong.push(format!("{needed} are needed, and it is recorded as idle")),
        Some(idle_since) if is_over(idle_since) => return to_zero(decision, wrong),
        _ => {}
    }
    if applied == 0 {
        wrong.push("put to sleep before nothing came for the whole delay".into());
    } else if applied < current {
        if !is_over(since) {
            wrong.push("removed before load was low for the whole delay".into());
        }
        one_step(decision, needed, settings, wrong);
    } else {
        // The last one waits until nothing came for the whole delay, however long one would have done.
        if is_over(since) && current > 1 {
            wrong.push("the delay was over, and nothing was removed".into());
        }
        if limit != Limit::Delay {
            wrong.push(format!("it waits for the delay, {limit:?} is recorded"));
        }
    }
}

/// All stop, but one where nobody can have seen the deployment active.
fn to_zero(decision: &ScaleDecision, wrong: &mut Vec<String>) {
    let ScaleDecision { applied, limit, young, .. } = *decision;
    let (stay, expected) = if young { (1, Limit::Delay) } else { (0, Limit::None) };
    if applied != stay {
        wrong.push(format!("nothing came for the whole delay: {stay} should stay, {applied} were kept"));
    }
    if limit != expected {
        wrong.push(format!("{expected:?} bound it, {limit:?} is recorded"));
    }
}

/// One may always go; more only within the rate, and as many as that permits.
fn one_step(decision: &ScaleDecision, needed: u32, settings: &AutoscalingSettings, wrong: &mut Vec<String>) {
    let ScaleDecision { applied, current, limit, .. } = *decision;
    let removed = u64::from(current - applied);
    let rate = u64::from(settings.max_scale_down_rate);
    if removed > 1 && removed * 100 > u64::from(current) * rate {
        wrong.push(format!("{removed} of {current} removed in one step, {rate} % may be"));
    }
    if applied > needed {
        let more = removed + 1;
        if more * 100 <= u64::from(current) * rate {
            wrong.push(format!("{more} of {current} may go in one step, {removed} went"));
        }
        if limit != Limit::Rate {
            wrong.push(format!("the rate bound it, {limit:?} is recorded"));
        }
    } else if matches!(limit, Limit::Rate | Limit::Delay) {
        wrong.push(format!("nothing held it back, {limit:?} is recorded"));
    }
}
