//! The start of a replica: what it is given of the machine, its process, and its place in the registry.

use std::sync::Arc;

use domain::{LogLevel, ReplicaSpec, ReplicaState, RuntimeError};
use rustix::process::Signal;

use crate::cgroup::{Controller, Given, Group, Groups};
use crate::local::LocalRuntime;
use crate::manifest::Manifest;
use crate::process::Identity;
use crate::spawn::{Share, spawn};

impl LocalRuntime {
    /// Starts a replica's process, writes it down and follows it; nothing is left if any of it fails.
    pub(crate) async fn start_replica(&self, spec: &ReplicaSpec) -> Result<(), RuntimeError> {
        let (port, cards) = {
            let mut state = self.registry.lock();
            if state.replicas.contains_key(&spec.id) {
                return Ok(());
            }
            let Some(cards) = state.take_cards(&spec.id, self.gpus, spec.reserved.gpus) else {
                return Err(RuntimeError::Retryable("the graphics cards it needs are in use".into()));
            };
            (state.ports.take(), cards)
        };
        let port = port.ok_or_else(|| {
            self.registry.lock().coming.remove(&spec.id);
            RuntimeError::Retryable("every port from 20000 to 29999 is taken".into())
        })?;
        let group = self.group(spec);
        let token = format!("{}-{port}-{}", spec.id, self.clock.now().millis());
        let (files, copy, secret) = (self.files.clone(), spec.clone(), token.clone());
        let spawned = tokio::task::spawn_blocking({
            let handle = tokio::runtime::Handle::current();
            let (given, group) = ((self.gpus > 0).then(|| cards.clone()), group.clone());
            let sandboxes = self.sandboxes.clone();
            move || {
                let _entered = handle.enter();
                let share = Share {
                    cards: given.as_deref(),
                    group: group.as_ref(),
                    sandbox: sandboxes.replicas.as_ref(),
                };
                spawn(&files, &copy, port, &secret, &share)
            }
        });
        let spawned = spawned.await.map_err(|error| RuntimeError::Retryable(error.to_string())).flatten();
        let folder = self.files.replica(&spec.id);
        let started = spawned.and_then(|spawned| {
            let pid = spawned.child.id().unwrap_or_default();
            let lost = |error: std::io::Error| {
                RuntimeError::Retryable(format!("its process ended at once: {error}"))
            };
            let identity = Identity::of(pid, spawned.inner, &token).map_err(lost)?;
            let manifest = Manifest {
                id: spec.id.clone(),
                model: spec.model.clone(),
                deployment: spec.deployment.clone(),
                identity,
                port,
                started_at: self.clock.now(),
                spawned_at: None,
                loaded_at: None,
                ready_at: None,
                endpoints: spawned.endpoints,
                reserved: spec.reserved,
                cards,
                group: group.clone().and_then(|group| held(spec, group, pid)),
                env: Some(spawned.env),
                artifact: Some(spec.artifact.clone()),
            };
            if let Err(error) = manifest.write(&folder) {
                manifest.identity.signal(Signal::KILL);
                return Err(RuntimeError::Retryable(format!(
                    "its process could not be written down: {error}"
                )));
            }
            Ok((manifest, spawned.child))
        });
        match started {
            Ok((manifest, child)) => {
                self.platform(
                    &spec.deployment,
                    LogLevel::Info,
                    &format!("replica {} starts on port {port}", spec.id),
                );
                self.watch_over(manifest, folder, ReplicaState::Starting, Some(child));
                Ok(())
            }
            Err(error) => {
                let mut state = self.registry.lock();
                state.ports.give_back(port);
                state.coming.remove(&spec.id);
                drop(state);
                if let Some(group) = group {
                    group.end();
                }
                let _ = std::fs::remove_dir_all(&folder);
                Err(error)
            }
        }
    }

    /// Makes a group that holds a replica to what it is given, as far as the host permits.
    fn group(&self, spec: &ReplicaSpec) -> Option<Group> {
        let given = Given {
            memory: spec.reserved.memory,
            processes: self.limits.processes,
            milli_cpu: spec.milli_cpu,
        };
        self.groups().make(&self.files.name_on_machine(spec.id.as_str()), &given)
    }

    /// Where replicas and builds are held to what they are given. What this host does not permit is said once.
    pub(crate) fn groups(&self) -> &Arc<Groups> {
        self.groups.get_or_init(|| {
            let groups = Groups::find();
            for controller in [Controller::Memory, Controller::Processes] {
                if let Err(reason) = groups.can(controller) {
                    tracing::warn!(%reason, "this host does not let the {} of replicas and builds be limited", controller.what());
                }
            }
            Arc::new(groups)
        })
    }
}

/// What a process entered of the group that was made for it: all, as it should be.
fn held(spec: &ReplicaSpec, group: Group, pid: u32) -> Option<Group> {
    let entered = group.clone().entered_by(pid);
    if entered.as_ref() != Some(&group) {
        tracing::warn!(replica = %spec.id, "a replica is not held to all of its limits: it could not enter its control group");
    }
    entered
}
