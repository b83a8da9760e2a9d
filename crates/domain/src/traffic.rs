//! Load as the gateway counts it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Counted, DeploymentId, EnvironmentName, ModelId, ReplicaId, SideCounts};

/// How long a request may be held, and then how long a replica may take until its answer is complete. Only websockets stay open
/// for longer.
pub const PREDICT_TIMEOUT: Duration = Duration::from_secs(1200);

/// Load on one address now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Demand {
    /// Requests being served by replicas.
    pub in_flight: u32,
    /// Requests waiting for a replica.
    pub held: u32,
}

impl Demand {
    pub fn total(self) -> u32 {
        self.in_flight + self.held
    }
}

/// What the gateway counted for one deployment since it first saw it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DeploymentTraffic {
    pub demand: Demand,
    /// Requests routed here, whatever came of them.
    pub requests: u64,
    /// Answers 500 to 599 and requests that broke off, counted at the gateway.
    pub errors: u64,
    /// Requests in flight on a replica when its process died.
    pub lost: u64,
    /// Microseconds of all finished requests together, for a mean.
    pub total_micros: u64,
    /// Median and 95th percentile of recent answers in microseconds; 0 when there were none.
    pub p50_micros: u64,
    pub p95_micros: u64,
    /// How long the request that waits longest has waited, in milliseconds; 0 if none waits.
    #[serde(default)]
    pub longest_wait_ms: i64,
}

/// How the requests fared that a replica found waiting when it was routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstAnswer {
    /// None waited for it.
    NoneWaited,
    /// It has some, and no answer has begun.
    Awaited,
    /// The first answer began so long after the replica was routed, in milliseconds.
    After(i64),
}

/// Reads the gateway's counters. They live in memory; nothing in the request path writes to a database.
pub trait Traffic: Send + Sync {
    fn deployment(&self, deployment: &DeploymentId) -> DeploymentTraffic;

    /// [`DeploymentTraffic::requests`] alone.
    fn requests(&self, deployment: &DeploymentId) -> u64 {
        self.deployment(deployment).requests
    }

    /// Whether nothing has come to a deployment since it had had so many requests, and nothing is under way there or waits.
    fn is_quiet(&self, deployment: &DeploymentId, requests: u64) -> bool {
        let traffic = self.deployment(deployment);
        traffic.requests == requests && traffic.demand.total() == 0
    }

    /// Requests that came by an environment's address, by the deployment they were routed to, since the
    /// environment's shares last changed and in all.
    fn routed(&self, model: &ModelId, environment: &EnvironmentName) -> Vec<(DeploymentId, u64, u64)>;

    /// Answers of each deployment that came by an environment's address, and how many were errors. They only grow while
    /// the deployment has a part in the environment, and begin anew with the gateway.
    fn sides(&self, model: &ModelId, environment: &EnvironmentName) -> Vec<(DeploymentId, SideCounts)> {
        let _ = (model, environment);
        Vec::new()
    }

    /// The counters of every deployment that has had a request.
    fn counted(&self) -> Vec<Counted> {
        Vec::new()
    }

    /// Requests in flight on one replica.
    fn in_flight(&self, replica: &ReplicaId) -> u32;

    /// How those fared that a replica found waiting when it was routed.
    fn first_answer(&self, replica: &ReplicaId) -> FirstAnswer {
        let _ = replica;
        FirstAnswer::NoneWaited
    }
}

/// Asks for a look at a model, now. Carries nothing else; many wakes are one.
pub trait Wake: Send + Sync {
    fn wake(&self, model: &ModelId);
}
