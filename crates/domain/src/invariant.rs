//! The promise about capacity and traffic, checked from outside the planner (semantics: Capacity before traffic).
//!
//! Written against the published table and what was observed, not against the plan, so that a mistake in the planner
//! can't hide itself.

use std::collections::BTreeMap;

use crate::{
    Deployment, Environment, EnvironmentName, Exemption, Hold, ModelRoutes, ObservedReplica, Promotion,
    Weight,
};

/// One broken promise, as a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(pub String);

/// Checks a table at the moment it is published.
///
/// `demand` is how many requests each environment had when the table was made, `replicas` what the machine showed at that moment; the rows are those the
/// table was made from.
pub fn check(
    routes: &ModelRoutes,
    deployments: &[Deployment],
    environments: &[Environment],
    promotions: &[Promotion],
    replicas: &[ObservedReplica],
    demand: &BTreeMap<EnvironmentName, u32>,
) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut broken = |sentence: String| found.push(Violation(sentence));
    for route in &routes.deployments {
        for address in &route.replicas {
            let ready = replicas.iter().any(|replica| {
                replica.id == address.id && replica.deployment == route.id && replica.is_ready()
            });
            if !ready {
                broken(format!("{} is routed to replica {} which is not ready", route.id, address.id));
            }
        }
    }
    for environment in &routes.environments {
        let total: u32 = environment.shares.iter().map(|share| u32::from(share.weight.basis_points())).sum();
        if !environment.shares.is_empty() && total != 10_000 {
            broken(format!("{}: weights sum to {total}", environment.name));
        }
        let whole = u64::from(demand.get(&environment.name).copied().unwrap_or(0));
        for share in environment.shares.iter().filter(|share| share.weight > Weight::ZERO) {
            let name = format!("{}/{}", environment.name, share.deployment);
            let Some(route) = routes.deployments.iter().find(|route| route.id == share.deployment) else {
                broken(format!("{name} has a share and no route"));
                continue;
            };
            let ready = route.replicas.len() as u64;
            let settings = deployments
                .iter()
                .find(|deployment| deployment.id == share.deployment)
                .map(|deployment| deployment.effective_autoscaling(environments));
            let target = route.concurrency_target.map_or(u64::MAX, u64::from);
            let needs = (whole * u64::from(share.weight.basis_points())).div_ceil(10_000);
            let fits = ready > 0 && needs <= ready.saturating_mul(target);
            let running =
                promotions.iter().find(|p| p.environment == environment.name && p.gate_passed_at.is_some());
            match share.exemption {
                None if ready == 0 => {
                    broken(format!("{name} has {} % and no ready replica", share.weight.as_percent()))
                }
                None if !fits => broken(format!(
                    "{name} has {} % of {whole} requests and {ready} replicas of {target}",
                    share.weight.as_percent()
                )),
                Some(Exemption::AtMaximum)
                    if settings.is_none_or(|settings| ready < u64::from(settings.max_replica)) =>
                {
                    broken(format!("{name} is exempt as being at its maximum and is not"));
                }
                Some(Exemption::Held) if ready > 0 => {
                    broken(format!("{name} is exempt as holding its requests and has replicas"));
                }
                Some(Exemption::Held) if running.is_some_and(|p| p.is_running()) => {
                    let other_ready = environment.shares.iter().any(|other| {
                        other.deployment != share.deployment
                            && routes
                                .deployments
                                .iter()
                                .any(|route| route.id == other.deployment && !route.replicas.is_empty())
                    });
                    if other_ready {
                        broken(format!("{name} holds requests that the other side could serve"));
                    }
                }
                Some(Exemption::EnvironmentShort) if fits => {
                    broken(format!("{name} is exempt as short and is not short"));
                }
                Some(Exemption::EnvironmentShort) => {
                    let candidate = running.filter(|p| p.is_running() && p.candidate == share.deployment);
                    let down_only = candidate.is_some_and(|p| {
                        environment.shares.iter().any(|other| {
                            p.previous.as_ref() == Some(&other.deployment)
                                && routes
                                    .deployments
                                    .iter()
                                    .any(|route| route.id == other.deployment && !route.replicas.is_empty())
                        })
                    });
                    if down_only {
                        broken(format!(
                            "{name}, a candidate, carries more than it can while the previous could"
                        ));
                    }
                }
                _ => {}
            }
        }
    }
    for promotion in promotions.iter().filter(|promotion| promotion.is_running()) {
        let route = routes.environments.iter().find(|route| route.name == promotion.environment);
        let set = route
            .and_then(|route| route.shares.iter().find(|share| share.deployment == promotion.candidate))
            .map_or(Weight::ZERO, |share| share.weight);
        let previous_down = promotion.previous.as_ref().is_some_and(|previous| {
            routes.deployments.iter().any(|route| &route.id == previous && route.replicas.is_empty())
        });
        if promotion.gate_passed_at.is_none() && set > Weight::ZERO {
            broken(format!("{}: traffic moved before the gate", promotion.environment));
        }
        if set > promotion.position.weight() && !previous_down {
            broken(format!("{}: the candidate has more than its stage", promotion.environment));
        }
        if promotion.hold == Some(Hold::CandidateDown) && set > Weight::ZERO {
            broken(format!("{}: a candidate that is down has traffic", promotion.environment));
        }
    }
    found
}
