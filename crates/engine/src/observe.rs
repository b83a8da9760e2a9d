//! From store, machine and gateway to one snapshot.

use std::collections::BTreeMap;

use domain::{ModelId, ModelRoutes, Seen, Snapshot};

use crate::Error;
use crate::engine::Parts;

/// Everything known about a model now; `None` if it does not exist any more.
pub(crate) async fn observe(
    parts: &Parts,
    model: &ModelId,
    published: Option<ModelRoutes>,
) -> Result<Option<Snapshot>, Error> {
    let Some(state) = parts.store.load_model(model).await? else { return Ok(None) };
    let replicas = parts.runtime.observe(model);
    let (mut demand, mut requests) = (BTreeMap::new(), BTreeMap::new());
    for deployment in &state.deployments {
        let traffic = parts.traffic.deployment(&deployment.id);
        demand.insert(deployment.id.clone(), traffic.demand);
        requests.insert(deployment.id.clone(), traffic.requests);
    }
    let in_flight = match &replicas {
        Seen::Known(list) => {
            list.iter().map(|replica| (replica.id.clone(), parts.traffic.in_flight(&replica.id))).collect()
        }
        Seen::Unknown => Default::default(),
    };
    let with_promotion = state.promotions.iter().map(|promotion| &promotion.environment);
    let sides = with_promotion
        .map(|name| (name.clone(), parts.traffic.sides(model, name).into_iter().collect()))
        .collect();
    Ok(Some(Snapshot {
        model: state.model,
        deployments: state.deployments,
        environments: state.environments,
        promotions: state.promotions,
        replicas,
        demand,
        requests,
        in_flight,
        sides,
        published,
    }))
}
