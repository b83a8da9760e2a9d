//! Admits the starts that a plan asks for: machine-wide, in the order in which room was asked for
//! (semantics: Instance types and room).

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Deployment, DeploymentId, Holding, Host, ModelId, Moment, ObservedReplica, PlaceRequest, Placement, Plan,
    Refusal, ReplicaId, Seen, Snapshot, StopReason, Timestamp, Wake, place,
};

use crate::Engine;

/// Since when those ask that had room before: before everybody else.
const FIRST: Timestamp = Timestamp::from_millis(0);

/// Deployments that wait for room, of all models. Losing it on a restart costs their order and nothing else.
#[derive(Default)]
pub(crate) struct WaitingRoom {
    waiting: BTreeMap<DeploymentId, Waiter>,
}

struct Waiter {
    model: ModelId,
    /// As it was last asked; `count` is what was refused, or what crashed and will start again.
    request: PlaceRequest,
}

impl WaitingRoom {
    fn since(&self, id: &DeploymentId) -> Option<Timestamp> {
        self.waiting.get(id).map(|waiter| waiter.request.since)
    }

    /// Models other than this one with somebody who waits.
    fn others(&self, model: &ModelId) -> BTreeSet<ModelId> {
        self.waiting.values().map(|waiter| waiter.model.clone()).filter(|other| other != model).collect()
    }

    /// Crashed replicas whose pause before the next start is not over: they keep their place, before all that wait.
    fn returning(&self, snapshot: &Snapshot, plan: &Plan, at: Moment) -> Vec<PlaceRequest> {
        let Seen::Known(replicas) = &snapshot.replicas else { return Vec::new() };
        let paused = |deployment: &&Deployment| {
            deployment.may_run() && deployment.retry_at.is_some_and(|retry_at| retry_at > at.now)
        };
        let all = snapshot.deployments.iter().filter_map(|stored| newest(snapshot, plan, &stored.id));
        all.filter(paused)
            .filter_map(|deployment| {
                let ended = |id: &&ReplicaId| {
                    replicas.iter().any(|gone| &&gone.id == id && gone.deployment == deployment.id)
                };
                let lost = plan.forget.iter().filter(ended).count() as u32;
                let before = self.waiting.get(&deployment.id).map(|waiter| &waiter.request);
                let before =
                    before.filter(|request| request.since == FIRST).map_or(0, |request| request.count);
                let count = (lost + before).min(deployment.target);
                let needs = deployment.compute.reserved;
                let request = PlaceRequest { deployment: deployment.id.clone(), count, needs, since: FIRST };
                (count > 0 && !needs.is_nothing()).then_some(request)
            })
            .collect()
    }

    /// Takes over who of a model waits now. True if somebody no longer does, or for less, which may leave room for
    /// others.
    fn settle(&mut self, model: &ModelId, now: Vec<PlaceRequest>) -> bool {
        let mut left = false;
        self.waiting.retain(|id, waiter| {
            let stays = &waiter.model != model || now.iter().any(|request| &request.deployment == id);
            left |= !stays;
            stays
        });
        for request in now {
            let count = request.count;
            let waiter = Waiter { model: model.clone(), request };
            let former = self.waiting.insert(waiter.request.deployment.clone(), waiter);
            left |= former.is_some_and(|former| former.request.count > count);
        }
        left
    }
}

impl Engine {
    /// Leaves in the plan the starts there is room for now, and writes to the deployments what the others wait for. True if a
    /// promotion has to be looked at again once that is saved, because it says what its candidate waits for.
    pub(crate) fn admit(&mut self, snapshot: &Snapshot, plan: &mut Plan, at: Moment) -> bool {
        let model = &snapshot.model.id;
        // Nothing is started, stopped or said on an unanswered question.
        let Seen::Known(replicas) = &snapshot.replicas else { return false };
        let own: Vec<PlaceRequest> = plan
            .start
            .iter()
            .filter_map(|start| {
                let deployment = newest(snapshot, plan, &start.deployment)?;
                Some(PlaceRequest {
                    deployment: start.deployment.clone(),
                    count: start.count,
                    needs: deployment.compute.reserved,
                    since: match leaves(replicas, plan, &start.deployment) {
                        true => FIRST,
                        false => self.room.since(&start.deployment).unwrap_or(at.now),
                    },
                })
            })
            .collect();
        let mut waiting = self.room.returning(snapshot, plan, at);
        // What everybody holds is a long list where there are many, and most looks start nothing.
        let held = if own.is_empty() { Seen::Unknown } else { self.parts.runtime.held() };
        let placement = match &held {
            Seen::Known(held) => {
                let others = self.room.waiting.values().filter(|waiter| &waiter.model != model);
                let others = others.map(|waiter| &waiter.request);
                let all: Vec<PlaceRequest> = own.iter().chain(&waiting).chain(others).cloned().collect();
                place(&all, &self.parts.host, held)
            }
            Seen::Unknown => unseen(&own, &self.parts.host),
        };
        let mine = |id: &DeploymentId| own.iter().any(|request| &request.deployment == id);
        for start in &mut plan.start {
            let admitted = placement.admitted.iter().find(|(id, _)| id == &start.deployment);
            start.count = admitted.map_or(0, |(_, count)| *count);
        }
        plan.start.retain(|start| start.count > 0);
        let refused: Vec<&Refusal> =
            placement.refused.iter().filter(|refusal| mine(&refusal.deployment)).collect();
        let concerns_promotions = tell(snapshot, plan, &refused) && !snapshot.promotions.is_empty();
        for refusal in refused {
            if let Seen::Known(held) = &held {
                self.make_room(snapshot, plan, at, refusal, held);
            }
            let request = own.iter().find(|request| request.deployment == refusal.deployment);
            waiting.extend(request.map(|request| PlaceRequest { count: refusal.count, ..request.clone() }));
        }
        if self.room.settle(model, waiting) {
            self.wake_waiting(model);
        }
        concerns_promotions
    }

    /// Where new code of a deployment has no room beside the former, the former leaves first: an update of the development
    /// deployment may fail requests, and would otherwise wait for ever.
    fn make_room(
        &self,
        snapshot: &Snapshot,
        plan: &mut Plan,
        at: Moment,
        refusal: &Refusal,
        held: &[Holding],
    ) {
        let (Seen::Known(replicas), Some(deployment)) =
            (&snapshot.replicas, newest(snapshot, plan, &refusal.deployment))
        else {
            return;
        };
        let former = |replica: &&ObservedReplica| {
            replica.deployment == deployment.id
                && replica.is_serving_or_coming()
                && !replica.runs(&deployment.artifact)
        };
        let former: Vec<ReplicaId> =
            replicas.iter().filter(former).map(|replica| replica.id.clone()).collect();
        let needs = deployment.compute.reserved;
        let mut rest = held.to_vec();
        for _ in &former {
            let own = rest.iter().position(|holding| holding.deployment == deployment.id);
            own.map(|index| rest.swap_remove(index));
        }
        let request = PlaceRequest { deployment: deployment.id.clone(), count: 1, needs, since: FIRST };
        if former.is_empty() || place(&[request], &self.parts.host, &rest).admitted.is_empty() {
            return;
        }
        let mut leave = false;
        for replica in former {
            // One that is on its way out has been given its time already.
            if !plan.memory.draining.contains_key(&replica) && !plan.memory.stopping.contains(&replica) {
                plan.memory.draining.insert(replica, (at.monotonic, StopReason::Replaced));
                leave = true;
            }
        }
        if leave {
            let soon = at.monotonic + 1;
            plan.look_at = Some(plan.look_at.map_or(soon, |look| look.min(soon)));
        }
    }

    /// Has every other model looked at again that waits for room.
    pub(crate) fn wake_waiting(&self, model: &ModelId) {
        for other in self.room.others(model) {
            self.parts.wakes.wake(&other);
        }
    }

    /// A model that is gone waits for nothing.
    pub(crate) fn leave_room(&mut self, model: &ModelId) {
        if self.room.settle(model, Vec::new()) {
            self.wake_waiting(model);
        }
    }
}

/// Whether a replica of a deployment is on its way out: one that takes its place takes its room, too.
fn leaves(replicas: &[ObservedReplica], plan: &Plan, deployment: &DeploymentId) -> bool {
    replicas.iter().any(|replica| {
        &replica.deployment == deployment
            && replica.is_alive()
            && (!replica.is_serving_or_coming()
                || plan.memory.draining.contains_key(&replica.id)
                || plan.memory.stopping.contains(&replica.id))
    })
}

/// While nobody can say what runs, only what reserves nothing may start.
fn unseen(own: &[PlaceRequest], host: &Host) -> Placement {
    let (free, bound): (Vec<_>, Vec<_>) = own.iter().cloned().partition(|request| request.needs.is_nothing());
    let mut placement = place(&free, host, &[]);
    placement.refused.extend(bound.into_iter().map(|request| Refusal {
        deployment: request.deployment,
        count: request.count,
        sentence: "waiting for room: what runs on this machine could not be seen".into(),
    }));
    placement
}

/// A deployment as the plan leaves it.
fn newest<'a>(snapshot: &'a Snapshot, plan: &'a Plan, id: &DeploymentId) -> Option<&'a Deployment> {
    let all = plan.deployments.iter().chain(&snapshot.deployments);
    all.into_iter().find(|deployment| &deployment.id == id)
}

/// Writes what each deployment waits for; says whether it is news.
fn tell(snapshot: &Snapshot, plan: &mut Plan, refused: &[&Refusal]) -> bool {
    let mut news = false;
    for stored in &snapshot.deployments {
        let refusal = refused.iter().find(|refusal| refusal.deployment == stored.id);
        let waiting = refusal.map(|refusal| refusal.sentence.clone());
        news |= stored.waiting != waiting;
        match plan.deployments.iter_mut().find(|changed| changed.id == stored.id) {
            Some(changed) => changed.waiting = waiting,
            None if stored.waiting != waiting => {
                plan.deployments.push(Deployment { waiting, ..stored.clone() });
            }
            None => {}
        }
    }
    news
}
