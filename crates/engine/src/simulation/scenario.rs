//! Plays a scenario: a text of one command a line, whose transcript is the test's golden file.
//!
//! ```text
//! deploy v1 memory 4 gpus 1         each replica holds 4 GiB and a card; the machine has 16 GiB and 2 cards
//! deploy v1 ready-after 3s          a push arrives (also: build-fails, load-fails, never-ready, crash-after 20s,
//!                                   fails-every 10: each tenth answer is an error)
//! deploy dev development            the development deployment
//! change dev                        its code changes (also: hot, fails, refused: no process can be started from it)
//! receive dev                       the same, but it is only received; `sync dev` puts the newest into service
//! promote v2 canary 120s            or: direct
//! promote v2 rolling surge 25       replica by replica; also: unavailable 25, settle 10, extra 50
//! cancel                            the running promotion; also: force-cancel, pause, resume, roll-forward
//! scale min 2 max 4 target 1        production's autoscaling
//! stop-on-errors off                for promotions to production that begin from now on; or: on
//! fail v2 every 10                  each tenth answer of it is an error from now on; 0 for none
//! traffic 5                         concurrent requests at production's address
//! requests every 1s                 one after the other, each over at once; `requests stop` for none any more
//! long-requests 5m                  from now on each replica finishes a request for so long after it left the routes; 0s for none
//! update v1                         its code is replaced in place, as by a push to the development slot that is built at once
//! push dev                          the development deployment is pushed again
//! crash v2                          one of its replicas dies
//! terminate v2                      a person ends one of its replicas
//! down v2                           all of them, and they stay down; `up v2` lets them start again
//! deactivate v1 / activate v1 / delete v1
//! restart                           the server dies and starts
//! reboot                            the server ends with all replicas, and starts
//! blind / see                       the machine stops, starts answering
//! run 30s
//! show routes / promotion / status / events
//! show changes                      which change is known to run, which serve, and what one that starts goes back to
//! show told                         which environment the code of each replica was told it serves
//! show demand                       requests in flight and held
//! show scaling v1                   its counts of replicas, and how long each start took
//! show decisions v1                 why it should have another number of replicas, each time
//! ```

use std::fmt::Write;

use domain::{
    ArtifactId, AutoscalingPatch, EventKind, Lifecycle, ReplicaCount, RollingConfig, RollingPatch, Runtime,
    STAGES, Seen, Signal, StartOutcome, Strategy, Traffic,
};

use super::{Script, World};

/// Moments in a rolling promotion of four steps.
const STEPS: [&str; 6] = ["0s", "1s", "6s", "9s", "14s", "18s"];

/// Performs a scenario and returns its transcript; broken promises stand at its end.
///
/// A text with the word `STAGE` is performed once for each stage of a canary, with that stage's number and, for `BEFORE`,
/// the moment in the middle of that stage for a window of 100 s. One with the word `STEP` is performed for moments in a rolling
/// promotion, each in place of `WITHIN`: while steps settle, while replicas start, and when all have moved.
pub async fn perform(text: &str) -> Result<String, String> {
    let times: Vec<String> = if text.contains("STAGE") {
        (1..=STAGES).map(|stage| format!("{}s", stage * 10 - 5)).collect()
    } else if text.contains("STEP") {
        STEPS.map(str::to_owned).to_vec()
    } else {
        return perform_once(text).await;
    };
    let mut parts = Vec::new();
    for (index, time) in times.iter().enumerate() {
        let number = (index + 1).to_string();
        let once = text.replace("STAGE", &number).replace("BEFORE", time);
        let once = once.replace("STEP", &number).replace("WITHIN", time);
        parts.push(perform_once(&once).await.map_err(|error| format!("{number}: {error}"))?);
    }
    Ok(parts.join("\n"))
}

async fn perform_once(text: &str) -> Result<String, String> {
    let mut world = World::new(1).await.map_err(|error| error.to_string())?;
    let mut out = String::new();
    let mut shown = 0;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with('#') {
            let _ = writeln!(out, "{line}");
            continue;
        }
        let _ = writeln!(out, "> {line}");
        step(&mut world, line, &mut out, &mut shown).await.map_err(|error| format!("{line}: {error}"))?;
    }
    world.check_decisions().await.map_err(|error| error.to_string())?;
    let _ = match world.violations.as_slice() {
        [] => writeln!(out, "# every promise kept"),
        broken => writeln!(out, "# BROKEN: {}", broken.join("; ")),
    };
    Ok(out)
}

/// Milliseconds of `30s`, `250ms` or `10m`.
fn duration(text: &str) -> Result<i64, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: i64 = number.parse().map_err(|_| format!("{text} is no duration"))?;
    match unit {
        "ms" => Ok(number),
        "s" => Ok(number * 1000),
        "m" => Ok(number * 60_000),
        _ => Err(format!("{text} is no duration; write 30s, 250ms or 10m")),
    }
}

async fn step(world: &mut World, line: &str, out: &mut String, shown: &mut usize) -> Result<(), String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let store = |error: store::Error| error.to_string();
    match words.as_slice() {
        ["deploy", name, rest @ ..] => {
            world.deploy(name, script(rest)?).await.map_err(store)?;
        }
        ["promote", name, "direct"] => {
            tell(out, world.promote(name, Strategy::Direct).await.map_err(store)?);
        }
        ["promote", name, "canary", window] => {
            let strategy = Strategy::Canary { window_ms: duration(window)? };
            tell(out, world.promote(name, strategy).await.map_err(store)?);
        }
        ["promote", name, "rolling", rest @ ..] => {
            let strategy = Strategy::Rolling { config: rolling(rest)? };
            tell(out, world.promote(name, strategy).await.map_err(store)?);
        }
        ["force-cancel"] => tell(out, world.signal(Signal::ForceCancel).await.map_err(store)?),
        ["cancel"] => tell(out, world.signal(Signal::Cancel).await.map_err(store)?),
        ["pause"] => tell(out, world.signal(Signal::Pause).await.map_err(store)?),
        ["resume"] => tell(out, world.signal(Signal::Resume).await.map_err(store)?),
        ["roll-forward"] => tell(out, world.signal(Signal::RollForward).await.map_err(store)?),
        ["scale", rest @ ..] => {
            let mut patch = AutoscalingPatch::default();
            for pair in rest.chunks(2) {
                let [field, value] = pair else { return Err("scale takes pairs".into()) };
                let value = Some(value.parse().map_err(|_| format!("{value} is no number"))?);
                match *field {
                    "min" => patch.min_replica = value,
                    "max" => patch.max_replica = value,
                    "target" => patch.concurrency_target = value,
                    "delay" => patch.scale_down_delay = value,
                    "window" => patch.autoscaling_window = value,
                    "rate" => patch.max_scale_down_rate = value,
                    "utilization" => patch.target_utilization_percentage = value,
                    other => return Err(format!("no setting {other}")),
                }
            }
            tell(out, world.rescale("production", patch).await.map_err(store)?);
        }
        ["fail", name, "every", number] => {
            let every = number.parse().map_err(|_| format!("{number} is no number"))?;
            with_id(world, name).await.map(|id| world.load.fail(&id, every))?;
        }
        ["stop-on-errors", "on"] => world.stop_on_errors(true).await.map_err(store)?,
        ["stop-on-errors", "off"] => world.stop_on_errors(false).await.map_err(store)?,
        ["traffic", count] => {
            let count = count.parse().map_err(|_| format!("{count} is no number"))?;
            world.traffic(count);
        }
        ["requests", "every", time] => world.short_requests(Some(duration(time)?.max(1))),
        ["requests", "stop"] => world.short_requests(None),
        ["long-requests", time] => world.load.send_long(duration(time)?),
        ["push", name] => world.push_again(name).await.map_err(store)?,
        ["update", name] => {
            let artifact = world.fresh_artifact();
            world.change(name, |deployment| deployment.artifact = artifact.clone()).await.map_err(store)?;
        }
        ["crash", name] => with_id(world, name).await.map(|id| world.machine.crash(&id))?,
        ["terminate", name] => {
            let id = with_id(world, name).await?;
            let replica = world.machine.ready_one(&id).ok_or("no replica of it is ready")?;
            let ask = |deployment: &mut domain::Deployment| deployment.terminating.push(replica.clone());
            world.change(name, ask).await.map_err(store)?;
        }
        ["down", name] => with_id(world, name).await.map(|id| world.machine.set_down(&id, true))?,
        ["up", name] => with_id(world, name).await.map(|id| world.machine.set_down(&id, false))?,
        ["change", name, rest @ ..] => {
            receive(world, name, rest).await.map_err(store)?;
            world.sync_code(name).await.map_err(store)?;
        }
        ["receive", name, rest @ ..] => receive(world, name, rest).await.map_err(store)?,
        ["sync", name] => world.sync_code(name).await.map_err(store)?,
        ["show", "code"] => show_code(world, out).await.map_err(store)?,
        ["show", "changes"] => show_changes(world, out).await.map_err(store)?,
        ["deactivate", name] => world
            .change(name, |deployment| {
                deployment.lifecycle = Lifecycle::Inactive;
                deployment.target = 0;
            })
            .await
            .map_err(store)?,
        ["activate", name] => {
            let now = domain::Clock::now(world.clock.as_ref());
            world.change(name, |deployment| deployment.begin_deploying(1, now)).await.map_err(store)?;
        }
        ["delete", name] => {
            let now = domain::Clock::now(world.clock.as_ref());
            world
                .change(name, |deployment| {
                    deployment.deleted_at = Some(now);
                    deployment.target = 0;
                })
                .await
                .map_err(store)?;
        }
        ["restart"] => world.restart(),
        ["reboot"] => world.reboot(),
        ["blind"] => world.machine.blind(true),
        ["see"] => world.machine.blind(false),
        ["run", time] => world.run(duration(time)?).await.map_err(store)?,
        ["show", "status"] => {
            for line in world.standings().await.map_err(store)? {
                let _ = writeln!(out, "  {line}");
            }
        }
        ["show", "routes"] => show_routes(world, out).await.map_err(store)?,
        ["show", "promotion"] => show_promotion(world, out).await.map_err(store)?,
        ["show", "events"] => {
            let events = world.events().await.map_err(store)?;
            for event in events.iter().skip(*shown).filter(|event| event.kind != EventKind::ScalingDecision) {
                let at = event.at.millis() % 86_400_000;
                let _ = writeln!(out, "  {:>7.1} s  {}", at as f64 / 1000.0, event.sentence);
            }
            *shown = events.len();
        }
        ["show", "told"] => show_told(world, out).await.map_err(store)?,
        ["show", "demand"] => show_demand(world, out).await.map_err(store)?,
        ["show", "scaling", name] => show_scaling(world, name, out).await?,
        ["show", "decisions", name] => {
            let id = with_id(world, name).await?;
            let all = world.decisions().await.map_err(store)?;
            for event in all.into_iter().filter(|event| event.deployment.as_ref() == Some(&id)) {
                let at = event.at.millis() % 86_400_000;
                let _ = writeln!(out, "  {:>7.1} s  {}", at as f64 / 1000.0, event.sentence);
            }
        }
        _ => return Err("no such command".into()),
    }
    Ok(())
}

async fn with_id(world: &World, name: &str) -> Result<domain::DeploymentId, String> {
    let found = world.by_name(name).await.map_err(|error| error.to_string())?;
    found.map(|deployment| deployment.id).ok_or_else(|| format!("no deployment {name}"))
}

async fn receive(world: &mut World, name: &str, words: &[&str]) -> Result<(), store::Error> {
    let artifact = world.receive_code(name, words.contains(&"hot")).await?;
    if words.contains(&"fails") {
        world.machine.breaks(&artifact, "its model failed to load: NameError: name 'x' is not defined");
    }
    if words.contains(&"refused") {
        world.machine.refuses(&artifact, "the model's folder could not be laid out");
    }
    Ok(())
}

fn tell(out: &mut String, answer: Result<(), String>) {
    if let Err(refusal) = answer {
        let _ = writeln!(out, "  refused: {refusal}");
    }
}

fn script(words: &[&str]) -> Result<Script, String> {
    let mut script = Script { ready_after_ms: 3_000, ..Script::default() };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut number = || {
            let text = words.next().ok_or("a number is missing".to_owned())?;
            text.parse::<u32>().map_err(|_| format!("{text} is no number"))
        };
        match *word {
            "memory" => {
                script.needs.memory = u64::from(number()?) * domain::GIB;
                continue;
            }
            "gpus" => {
                script.needs.gpus = number()?;
                continue;
            }
            _ => {}
        }
        let mut time =
            || words.next().ok_or("a duration is missing".to_owned()).and_then(|text| duration(text));
        match *word {
            "ready-after" => script.ready_after_ms = time()?,
            "build-fails" => script.build_fails = Some("no matching distribution for nothing==1".into()),
            "load-fails" => {
                script.load_fails = Some("its process exited with code 1: ValueError: no weights".into())
            }
            "never-ready" => script.never_ready = true,
            "development" => script.development = true,
            "crash-after" => script.crash_after_ms = Some(time()?),
            "fails-every" => {
                let number = words.next().and_then(|text| text.parse().ok());
                script.fails_every = number.ok_or("fails-every takes a number")?;
            }
            other => return Err(format!("{other} is no word of a script")),
        }
    }
    Ok(script)
}

fn rolling(words: &[&str]) -> Result<RollingConfig, String> {
    let mut patch = RollingPatch::default();
    for pair in words.chunks(2) {
        let [field, value] = pair else { return Err("rolling takes pairs".into()) };
        let value = Some(value.parse().map_err(|_| format!("{value} is no number"))?);
        match *field {
            "surge" => patch.max_surge_percent = value,
            "unavailable" => {
                patch.max_unavailable_percent = value;
                patch.max_surge_percent = Some(0);
            }
            "settle" => patch.stabilization_time_seconds = value,
            "extra" => patch.replica_overhead_percent = value,
            other => return Err(format!("no setting {other}")),
        }
    }
    RollingConfig::default().patched(&patch).map_err(|refusal| refusal.to_string())
}

async fn show_routes(world: &World, out: &mut String) -> Result<(), store::Error> {
    let state = world.state().await?;
    let name = |id: &domain::DeploymentId| {
        state.deployments.iter().find(|d| &d.id == id).map_or_else(|| id.to_string(), |d| d.name.to_string())
    };
    let Some(routes) = world.table.of(&world.model) else {
        let _ = writeln!(out, "  nothing is published");
        return Ok(());
    };
    for environment in &routes.environments {
        let shares: Vec<String> = environment
            .shares
            .iter()
            .map(|share| {
                let ready = routes.deployments.iter().find(|route| route.id == share.deployment);
                let ready = ready.map_or(0, |route| route.replicas.len());
                let exempt = share.exemption.map(|e| format!(", {e:?}")).unwrap_or_default();
                format!("{} {} % ({ready} ready{exempt})", name(&share.deployment), share.weight.as_percent())
            })
            .collect();
        let shares = if shares.is_empty() { "nobody".to_owned() } else { shares.join(", ") };
        let _ = writeln!(out, "  {}: {shares}", environment.name);
    }
    Ok(())
}

/// How live reload stands, and which code the routed replicas run.
async fn show_code(world: &World, out: &mut String) -> Result<(), store::Error> {
    let state = world.state().await?;
    let Some(draft) = state.deployments.iter().find(|deployment| deployment.is_development()) else {
        return Ok(());
    };
    let Some(live) = &draft.live else { return Ok(()) };
    let routes = world.table.of(&world.model);
    let route = routes.and_then(|routes| routes.deployments.into_iter().find(|route| route.id == draft.id));
    let newest = live.staged.as_ref().map(|staged| &staged.revision.artifact);
    let serving: Vec<&str> = route
        .into_iter()
        .flat_map(|route| route.replicas)
        .map(|address| match world.machine.code_of(&address.id) {
            code if code.as_ref() == newest => "the newest code",
            Some(_) => "former code",
            None => "nobody knows what",
        })
        .collect();
    let _ = writeln!(out, "  {}; serving: {}", live.sentence(), serving.join(", "));
    Ok(())
}

/// Which change is known to run, which ones the routed replicas run, and what one that starts goes back to.
async fn show_changes(world: &World, out: &mut String) -> Result<(), store::Error> {
    let state = world.state().await?;
    let Some(draft) = state.deployments.iter().find(|deployment| deployment.is_development()) else {
        return Ok(());
    };
    let Some(live) = &draft.live else { return Ok(()) };
    let routes = world.table.of(&world.model);
    let route = routes.and_then(|routes| routes.deployments.into_iter().find(|route| route.id == draft.id));
    let named = |code: Option<ArtifactId>| {
        let place = world.changes.iter().position(|change| Some(change) == code.as_ref());
        place.map_or("pushed".to_owned(), |place| format!("change {}", place + 1))
    };
    let serving = route.into_iter().flat_map(|route| route.replicas);
    let serving: Vec<String> = serving.map(|address| named(world.machine.code_of(&address.id))).collect();
    let before = live.fallback.as_ref().map_or("nothing", |before| before.point.hash.as_str());
    let _ = writeln!(
        out,
        "  runs: {}; serving: {}; goes back to: {before}",
        live.running.hash,
        serving.join(", ")
    );
    Ok(())
}

/// Which environment the code of each living replica was told it serves.
async fn show_told(world: &World, out: &mut String) -> Result<(), store::Error> {
    let Seen::Known(replicas) = world.machine.observe(&world.model) else { return Ok(()) };
    for deployment in world.state().await?.deployments {
        for replica in replicas.iter().filter(|one| one.deployment == deployment.id && one.is_alive()) {
            let told = replica.environment.as_ref().map_or("nothing", |name| name.as_str());
            let _ = writeln!(out, "  {}: {told}", deployment.name);
        }
    }
    Ok(())
}

async fn show_demand(world: &World, out: &mut String) -> Result<(), store::Error> {
    for deployment in world.state().await?.deployments {
        let demand = world.load.deployment(&deployment.id).demand;
        let _ = writeln!(out, "  {}: {} in flight, {} held", deployment.name, demand.in_flight, demand.held);
    }
    Ok(())
}

async fn show_scaling(world: &World, name: &str, out: &mut String) -> Result<(), String> {
    let id = with_id(world, name).await?;
    let scaling = world.scaling(&id).await.map_err(|error| error.to_string())?;
    let seconds = |at: domain::Timestamp| (at.millis() % 86_400_000) as f64 / 1000.0;
    for count in &scaling.counts {
        let ReplicaCount { wanted, starting, ready, .. } = count;
        let _ = writeln!(
            out,
            "  {:>7.1} s  {wanted} wanted, {starting} starting, {ready} ready",
            seconds(count.at)
        );
    }
    let mut starts: Vec<(usize, String)> = Vec::new();
    for start in &scaling.cold_starts {
        let first =
            start.first_byte_ms.map_or("nobody waited".to_owned(), |ms| format!("first byte {ms} ms"));
        let phases = format!(
            "queue {} ms, spawn {} ms, load {} ms, ready {} ms, {first}",
            start.queue_ms, start.spawn_ms, start.load_ms, start.ready_ms
        );
        let phases = match &start.outcome {
            StartOutcome::Ready => format!("started: {phases}"),
            StartOutcome::Failed { reason } => format!("failed to start: {reason}; {phases}"),
            StartOutcome::Stalled => format!("stalled: {phases}"),
        };
        match starts.last_mut().filter(|(_, last)| *last == phases) {
            Some((count, _)) => *count += 1,
            None => starts.push((1, phases)),
        }
    }
    for (count, phases) in starts {
        let _ = writeln!(out, "  {count} {phases}");
    }
    Ok(())
}

async fn show_promotion(world: &World, out: &mut String) -> Result<(), store::Error> {
    let Some(promotion) = world.last_promotion().await? else {
        let _ = writeln!(out, "  no promotion");
        return Ok(());
    };
    let step = match promotion.moved() {
        Some((moved, total)) => format!("{moved} of {total} moved"),
        None => format!("stage {}", promotion.position.stage),
    };
    let _ = write!(out, "  {} {step} at {} %", promotion.phase.as_str(), promotion.percent());
    if let Some(hold) = &promotion.hold {
        let _ = write!(out, "; {}", hold.sentence());
    }
    if let Some(reason) = &promotion.reason {
        let _ = write!(out, "; {reason}");
    }
    let _ = writeln!(out);
    Ok(())
}
