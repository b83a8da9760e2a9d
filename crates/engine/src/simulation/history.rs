//! Random histories: whatever people, machines and clocks do, in any order.

use domain::{AutoscalingPatch, Hold, Lifecycle, RollingConfig, Signal, Strategy};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Script, World};

/// Minutes within which every promotion must have ended once nothing happens any more.
const QUIET_MINUTES: u32 = 20;

/// What one history came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub seed: u64,
    /// Broken promises, each with its moment.
    pub violations: Vec<String>,
    /// Promotions that were begun.
    pub promotions: u32,
}

/// Plays the history of a seed to its end: some minutes of events, then quiet in which everything must settle.
pub async fn play(seed: u64) -> Result<Outcome, store::Error> {
    let mut world = World::new(seed).await?;
    world.timeout_minutes = 2;
    let mut chance = StdRng::seed_from_u64(seed);
    let mut names: Vec<String> = Vec::new();
    let mut promotions = 0;
    for _ in 0..2 {
        let name = format!("v{}", names.len() + 1);
        world.deploy(&name, random_script(&mut chance)).await?;
        names.push(name);
        world.run(chance.random_range(50..25_000)).await?;
    }
    for _ in 0..chance.random_range(8..24) {
        match chance.random_range(0..100) {
            0..18 => {
                let name = format!("v{}", names.len() + 1);
                let script = random_script(&mut chance);
                world.deploy(&name, script).await?;
                names.push(name);
            }
            18..42 => {
                if let Some(name) = any(&mut chance, &names) {
                    let strategy = match chance.random_range(0..5) {
                        0 => Strategy::Direct,
                        1 | 2 => Strategy::Rolling { config: random_rolling(&mut chance) },
                        _ => Strategy::Canary { window_ms: chance.random_range(5..180) * 1000 },
                    };
                    promotions += u32::from(world.promote(&name, strategy).await?.is_ok());
                }
            }
            42..54 => {
                // A refusal is a fine answer here; the world goes on.
                let signal = match chance.random_range(0..8) {
                    0..2 => Signal::Cancel,
                    2 => Signal::ForceCancel,
                    3..5 => Signal::Pause,
                    5..7 => Signal::Resume,
                    _ => Signal::RollForward,
                };
                let _ = world.signal(signal).await?;
            }
            54..61 => {
                if let Some(id) = any_id(&mut chance, &world, &names).await? {
                    world.machine.crash(&id);
                }
            }
            61..74 => {
                let count = if chance.random_bool(0.3) { 0 } else { chance.random_range(1..12) };
                world.traffic(count);
            }
            74..82 => {
                let low = chance.random_range(0..4);
                let patch = AutoscalingPatch {
                    min_replica: Some(low),
                    max_replica: Some(low.max(1) + chance.random_range(0..4)),
                    concurrency_target: Some(chance.random_range(1..4)),
                    scale_down_delay: Some(chance.random_range(0..90)),
                    autoscaling_window: Some(10),
                    ..AutoscalingPatch::default()
                };
                let _ = world.rescale("production", patch).await?;
            }
            82..85 => world.restart(),
            85..87 => world.reboot(),
            87..90 => {
                world.machine.blind(true);
                world.run(chance.random_range(100..5_000)).await?;
                world.machine.blind(false);
            }
            90..94 => {
                if let Some(id) = any_id(&mut chance, &world, &names).await? {
                    world.machine.set_down(&id, true);
                    world.run(chance.random_range(1_000..90_000)).await?;
                    world.machine.set_down(&id, false);
                }
            }
            _ => retire_or_wake(&mut chance, &mut world, &names).await?,
        }
        world.run(chance.random_range(50..25_000)).await?;
    }
    world.traffic(0);
    // What is paused stays paused for as long as nobody says otherwise.
    let _ = world.signal(Signal::Resume).await?;
    for _ in 0..QUIET_MINUTES {
        world.run(60_000).await?;
        if world.state().await?.promotions.is_empty() {
            break;
        }
    }
    if let Some(promotion) = world.state().await?.promotions.first() {
        let hold = promotion.hold.as_ref().map_or("nothing holds it".into(), Hold::sentence);
        let (phase, step) = (promotion.phase.as_str(), promotion.step());
        world.violations.push(format!("a promotion has no end: {phase}, {step}: {hold}"));
    }
    world.check_decisions().await?;
    Ok(Outcome { seed, violations: world.violations, promotions })
}

fn any(chance: &mut StdRng, names: &[String]) -> Option<String> {
    (!names.is_empty()).then(|| names[chance.random_range(0..names.len())].clone())
}

async fn any_id(
    chance: &mut StdRng,
    world: &World,
    names: &[String],
) -> Result<Option<domain::DeploymentId>, store::Error> {
    let Some(name) = any(chance, names) else { return Ok(None) };
    Ok(world.by_name(&name).await?.map(|deployment| deployment.id))
}

/// Deactivates, activates or deletes a deployment where the product permits it.
async fn retire_or_wake(
    chance: &mut StdRng,
    world: &mut World,
    names: &[String],
) -> Result<(), store::Error> {
    let Some(name) = any(chance, names) else { return Ok(()) };
    let state = world.state().await?;
    let Some(deployment) = state.deployments.iter().find(|d| d.name.as_str() == name) else { return Ok(()) };
    let now = domain::Clock::now(world.clock.as_ref());
    if deployment.deleted_at.is_some() {
        return Ok(());
    }
    if deployment.lifecycle == Lifecycle::Inactive {
        return world.change(&name, |deployment| deployment.begin_deploying(1, now)).await;
    }
    if chance.random_bool(0.5) {
        if domain::may_deactivate(deployment, &state.promotions).is_ok() {
            return world
                .change(&name, |deployment| {
                    deployment.lifecycle = Lifecycle::Inactive;
                    deployment.target = 0;
                })
                .await;
        }
    } else if domain::may_delete(deployment, &state.environments, &state.promotions).is_ok() {
        return world
            .change(&name, |deployment| {
                deployment.deleted_at = Some(now);
                deployment.target = 0;
            })
            .await;
    }
    Ok(())
}

fn random_rolling(chance: &mut StdRng) -> RollingConfig {
    let percent = chance.random_range(1..51);
    let surges = chance.random_bool(0.6);
    RollingConfig {
        max_surge_percent: if surges { percent } else { 0 },
        max_unavailable_percent: if surges { 0 } else { percent },
        stabilization_time_seconds: if chance.random_bool(0.5) { 0 } else { chance.random_range(1..40) },
        replica_overhead_percent: if chance.random_bool(0.7) { 0 } else { chance.random_range(1..120) },
    }
}

fn random_script(chance: &mut StdRng) -> Script {
    let mut script = Script { ready_after_ms: chance.random_range(50..20_000), ..Script::default() };
    if chance.random_bool(0.2) {
        script.fails_every = chance.random_range(1..40);
    }
    match chance.random_range(0..100) {
        0..8 => script.build_fails = Some("a requirement could not be installed".into()),
        8..16 => script.load_fails = Some("its process exited with code 1".into()),
        16..20 => script.never_ready = true,
        20..32 => script.crash_after_ms = Some(chance.random_range(500..120_000)),
        _ => {}
    }
    if chance.random_bool(0.3) {
        // Three of the larger ones fill the machine.
        script.needs.memory = chance.random_range(1..7) * domain::GIB;
        script.needs.gpus = u32::from(chance.random_bool(0.3));
    }
    script
}
