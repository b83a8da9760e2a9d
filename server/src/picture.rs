//! One model as the dashboard draws it: what is stored, what runs, and who looks.

use std::collections::BTreeMap;
use std::sync::Arc;

use app::view::{
    Actions, DeploymentRef, DeploymentRow, Permit, PromoteChoices, PromoteTarget, PromotionBrief, Replicas,
    Served,
};
use domain::{
    Action, Deployment, DeploymentId, Environment, EnvironmentName, Hold, Host, Lifecycle, Model,
    ObservedReplica, Phase, Promotion, Role, STAGES, Seen, Standing, Strategy, Timestamp, may_deactivate,
    may_delete, may_publish, may_rename, standing,
};
use store::Place;

/// Everything a page about one model is made of, at one moment.
pub struct Picture {
    pub model: Model,
    /// Of those that exist the ones that were asked for, and those that serve, run or are under development.
    pub deployments: Vec<Deployment>,
    /// How many exist.
    pub count: u64,
    /// Those of the page that was asked for, newest first.
    pub page: Vec<DeploymentId>,
    /// Where that page ends, if there are more.
    pub next: Option<Place>,
    pub environments: Vec<Environment>,
    /// Those that run.
    pub promotions: Vec<Promotion>,
    pub replicas: Seen<Vec<ObservedReplica>>,
    /// What models may use of the machine.
    pub host: Arc<Host>,
    pub now: Timestamp,
    /// What the person who looks may do.
    pub role: Role,
    /// The restricted ones of its environments, and why the person may not change one; nothing if they may.
    pub restricted: BTreeMap<EnvironmentName, Option<String>>,
    /// Where this server is called, without a slash at the end.
    pub public_url: Arc<str>,
}

/// One line of a list: a picture with only what production serves.
pub struct Overview {
    pub picture: Picture,
    pub development: Option<DeploymentId>,
    pub changed_at: Timestamp,
}

impl Picture {
    pub fn deployment(&self, id: &DeploymentId) -> Option<&Deployment> {
        self.deployments.iter().find(|deployment| &deployment.id == id)
    }

    pub fn environment(&self, name: &EnvironmentName) -> Option<&Environment> {
        self.environments.iter().find(|environment| &environment.name == name)
    }

    pub fn promotion(&self, environment: &EnvironmentName) -> Option<&Promotion> {
        self.promotions.iter().find(|promotion| &promotion.environment == environment)
    }

    pub fn standing(&self, deployment: &Deployment) -> Standing {
        standing(deployment, &self.replicas, self.now)
    }

    /// A deployment's name, or its id when it is gone.
    pub fn name(&self, id: &DeploymentId) -> String {
        self.deployment(id).map_or_else(|| id.to_string(), |deployment| deployment.name.to_string())
    }

    /// What production serves.
    pub fn production(&self) -> Option<&Environment> {
        self.environments.iter().find(|environment| environment.name.is_production())
    }

    /// Copies of a deployment that hold compute.
    pub fn copies(&self, id: &DeploymentId) -> Vec<&ObservedReplica> {
        match &self.replicas {
            Seen::Known(replicas) => {
                replicas.iter().filter(|replica| &replica.deployment == id && replica.is_alive()).collect()
            }
            Seen::Unknown => Vec::new(),
        }
    }

    pub fn served(&self, id: &DeploymentId) -> Option<Served> {
        let deployment = self.deployment(id)?;
        let standing = self.standing(deployment);
        Some(Served {
            deployment: DeploymentRef { id: id.to_string(), name: deployment.name.to_string() },
            status: standing.status,
            replicas: replicas(deployment, &standing),
            sentence: standing.sentence,
        })
    }

    pub fn row(&self, deployment: &Deployment) -> DeploymentRow {
        let standing = self.standing(deployment);
        DeploymentRow {
            id: deployment.id.to_string(),
            name: deployment.name.to_string(),
            status: standing.status,
            replicas: replicas(deployment, &standing),
            sentence: standing.sentence,
            environment: deployment.environment.as_ref().map(ToString::to_string),
            created_at: deployment.created_at,
            created_by: Some(deployment.created_by.clone()),
            actions: self.actions(deployment),
            making: None,
        }
    }

    /// What the person may do to a deployment now, and if not, why.
    pub fn actions(&self, deployment: &Deployment) -> Actions {
        let permit = |allowed: Result<(), String>| self.permit_attached(deployment, allowed);
        let promote = match (&deployment.build, &deployment.failure) {
            (domain::Build::Failed { .. }, _) => Err("its build failed; push a version that builds".into()),
            (domain::Build::Stopped { .. }, _) => Err("its build was stopped; retry it first".into()),
            (_, Some(_)) => Err("it failed to deploy; retry it first".into()),
            // An inactive one is activated by its promotion.
            _ => Ok(()),
        };
        let has_failed = deployment.failure.is_some()
            || matches!(deployment.build, domain::Build::Failed { .. } | domain::Build::Stopped { .. });
        let retry =
            if has_failed { Ok(()) } else { Err("it has not failed; there is nothing to retry".into()) };
        let activate = match deployment.lifecycle {
            Lifecycle::Inactive => Ok(()),
            Lifecycle::Active => Err("it is active already".into()),
        };
        let deactivate = match deployment.lifecycle {
            Lifecycle::Inactive => Err("it is inactive already".into()),
            Lifecycle::Active => may_deactivate(deployment, &self.promotions),
        };
        Actions {
            promote: self.permit(promote),
            publish: deployment.is_development().then(|| permit(may_publish(deployment))),
            rename: permit(may_rename(deployment)),
            retry: permit(retry),
            activate: permit(activate),
            deactivate: permit(deactivate),
            delete: permit(may_delete(deployment, &self.environments, &self.promotions)),
        }
    }

    /// What the promote dialog offers.
    pub fn choices(&self) -> PromoteChoices {
        let mut deployments: Vec<&Deployment> = self
            .deployments
            .iter()
            .filter(|deployment| self.actions(deployment).promote.is_allowed())
            .collect();
        deployments.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| b.id.cmp(&a.id)));
        let environments = self.environments().into_iter();
        PromoteChoices {
            targets: environments.map(|environment| self.target(environment, &deployments)).collect(),
            deployments: deployments
                .into_iter()
                .map(|deployment| DeploymentRef {
                    id: deployment.id.to_string(),
                    name: match deployment.lifecycle {
                        Lifecycle::Inactive if !deployment.is_development() => {
                            format!("{} (inactive)", deployment.name)
                        }
                        _ => deployment.name.to_string(),
                    },
                })
                .collect(),
        }
    }

    /// Production first, then by age.
    pub fn environments(&self) -> Vec<&Environment> {
        let mut environments: Vec<&Environment> = self.environments.iter().collect();
        environments.sort_by_key(|environment| (!environment.name.is_production(), environment.created_at));
        environments
    }

    fn target(&self, environment: &Environment, offered: &[&Deployment]) -> PromoteTarget {
        let settings = &environment.promotion;
        let current = environment.current.as_ref().and_then(|id| self.deployment(id));
        let size = current.map(|current| &current.compute);
        let resized = offered.iter().filter(|deployment| {
            size.is_some_and(|size| self.host.other_type(&deployment.compute, size).is_some())
        });
        PromoteTarget {
            environment: environment.name.to_string(),
            serving: environment.current.as_ref().map(|id| self.name(id)),
            instance_type: size.map(|size| self.host.type_name(size)),
            resized: resized.map(|deployment| deployment.id.to_string()).collect(),
            canary: matches!(settings.strategy(), Strategy::Canary { .. }),
            rolling: matches!(settings.strategy(), Strategy::Rolling { .. }),
            window_seconds: settings.ramp_up_duration_seconds,
            cleanup: settings.promotion_cleanup_strategy,
            permit: self.permit_in(
                &environment.name,
                match self.promotion(&environment.name) {
                    Some(promotion) => Err(format!(
                        "a promotion to {} is under way ({} %); cancel it or let it finish first",
                        environment.name,
                        promotion.percent()
                    )),
                    None => Ok(()),
                },
            ),
        }
    }

    /// Allowed if the thing is possible and the person may change things.
    pub fn permit(&self, allowed: Result<(), String>) -> Permit {
        if !self.role.permits(Action::Deploy) {
            return Permit::Refused("your key may look but not change; sign in with a deployer's key".into());
        }
        match allowed {
            Ok(()) => Permit::Allowed,
            Err(reason) => Permit::Refused(reason),
        }
    }

    /// The same for what changes an environment, which may be restricted.
    pub fn permit_in(&self, name: &EnvironmentName, allowed: Result<(), String>) -> Permit {
        let kept_out = self.restricted.get(name).cloned().flatten();
        self.permit(kept_out.map_or(allowed, Err))
    }

    /// The same for what changes a deployment: it is part of the environment it is attached to.
    pub fn permit_attached(&self, deployment: &Deployment, allowed: Result<(), String>) -> Permit {
        match &deployment.environment {
            Some(name) => self.permit_in(name, allowed),
            None => self.permit(allowed),
        }
    }

    /// The same for the whole model, with all its environments.
    pub fn permit_all(&self) -> Permit {
        self.permit(self.restricted.values().flatten().next().cloned().map_or(Ok(()), Err))
    }

    /// Where an environment is called.
    pub fn environment_address(&self, name: &EnvironmentName) -> String {
        format!("{}{}", self.public_url, self.environment_path(name))
    }

    /// The same without the server.
    pub fn environment_path(&self, name: &EnvironmentName) -> String {
        let target =
            if name.is_production() { "production".to_owned() } else { format!("environments/{name}") };
        format!("/model/{}/{target}/predict", self.model.id)
    }

    /// Where a deployment is called.
    pub fn deployment_address(&self, deployment: &Deployment) -> String {
        let target = if deployment.is_development() {
            "development".to_owned()
        } else {
            format!("deployment/{}", deployment.id)
        };
        format!("{}/model/{}/{target}/predict", self.public_url, self.model.id)
    }

    pub fn brief(&self, promotion: &Promotion) -> PromotionBrief {
        PromotionBrief {
            phase: promotion.phase,
            percent: promotion.percent().min(100) as u8,
            next_stage_at: next_stage_at(promotion),
            sentence: self.promotion_sentence(promotion),
        }
    }

    /// What a promotion does or waits for, or how it ended.
    pub fn promotion_sentence(&self, promotion: &Promotion) -> String {
        let candidate = self.name(&promotion.candidate);
        let back = || match &promotion.previous {
            Some(previous) => format!("all traffic is with {}", self.name(previous)),
            None => format!("{} serves nothing", promotion.environment),
        };
        match promotion.phase {
            Phase::Succeeded => format!("{candidate} took over all traffic"),
            Phase::Failed => {
                format!(
                    "failed: {}; {}",
                    promotion.reason.as_deref().unwrap_or("the reason is not known"),
                    back()
                )
            }
            Phase::Canceled => match &promotion.signal_by {
                Some(person) => format!("canceled by {person}; {}", back()),
                None => format!("canceled; {}", back()),
            },
            Phase::RampingDown => "moving traffic back as fast as ready replicas permit".into(),
            _ => match &promotion.hold {
                Some(Hold::Paused) => format!(
                    "paused by {}: {} % of traffic goes to {candidate} until somebody resumes it",
                    promotion.signal_by.as_deref().unwrap_or("somebody"),
                    promotion.percent()
                ),
                Some(hold) => hold.sentence(),
                None if promotion.phase == Phase::Releasing => {
                    format!("preparing {candidate}; no traffic has moved")
                }
                None => {
                    format!("{}: {} % of traffic goes to {candidate}", promotion.step(), promotion.percent())
                }
            },
        }
    }

    /// What an environment does, in one sentence.
    pub fn environment_sentence(&self, environment: &Environment) -> String {
        if let Some(promotion) = self.promotion(&environment.name) {
            return self.promotion_sentence(promotion);
        }
        match environment.current.as_ref().and_then(|id| self.served(id)) {
            Some(served) => format!("{} serves all traffic: {}", served.deployment.name, served.sentence),
            None => "nothing is promoted here yet; requests answer 404".into(),
        }
    }
}

fn replicas(deployment: &Deployment, standing: &Standing) -> Replicas {
    Replicas { ready: standing.ready, starting: standing.starting, wanted: deployment.target }
}

/// Whether time counts for a rollout now.
fn counts(promotion: &Promotion) -> bool {
    promotion.phase == Phase::RampingUp && promotion.hold.is_none()
}

/// When a rollout has counted so much of its window, if nothing holds it.
fn due(promotion: &Promotion, elapsed: impl Fn(i64) -> i64) -> Option<Timestamp> {
    let Strategy::Canary { window_ms } = promotion.strategy else { return None };
    counts(promotion)
        .then(|| promotion.counted_at.plus((elapsed(window_ms) - promotion.position.elapsed_ms).max(0)))
}

/// When the next stage begins; nothing while it is held, and in the last one.
pub fn next_stage_at(promotion: &Promotion) -> Option<Timestamp> {
    let stage = i64::from(promotion.position.stage);
    (promotion.position.stage < STAGES)
        .then(|| due(promotion, |window| (window.saturating_mul(stage) + 9) / i64::from(STAGES)))
        .flatten()
}

/// When it will have succeeded if nothing holds it.
pub fn finishes_at(promotion: &Promotion) -> Option<Timestamp> {
    due(promotion, |window| window)
}
