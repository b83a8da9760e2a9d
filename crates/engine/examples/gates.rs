//! Does one thing so many times: `gates tick 1000`. `cargo xtask gates` counts the instructions of two numbers of times, and so those
//! of one time, without what comes before and after.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;

use domain::{
    Availability, DeploymentId, DeploymentRoute, EnvironmentName, EnvironmentRoute, ManualClock, ModelId,
    ModelName, ModelRoutes, Rewrite, Share, Strategy, Timestamp, Weight,
};
use engine::Wakes;
use engine::simulation::{Script, World};
use gateway::{Gateway, GatewayConfig};

const NAMES: [&str; 6] = ["tick", "look", "head", "route", "config", "patch"];

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some(name), Some(times)) = (arguments.first(), arguments.get(1).and_then(|text| text.parse().ok()))
    else {
        // What there is to count.
        NAMES.iter().for_each(|name| println!("{name}"));
        return ExitCode::SUCCESS;
    };
    match run(name, times) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, times: u32) -> Result<(), Failure> {
    match name {
        "tick" | "look" => {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(engine(name, times))
        }
        "head" => head(times),
        "route" => route(times),
        "config" => config(times),
        "patch" => patch(times),
        _ => Err(format!("there is no {name}").into()),
    }
}

/// Ticks of an engine that knows three hundred models and a canary: with nothing due, or with one look at the canary's model.
async fn engine(name: &str, times: u32) -> Result<(), Failure> {
    let mut world = World::new(1).await?;
    world.add_idle_models(300).await?;
    world.traffic(1);
    for deployment in ["one", "two"] {
        world.deploy(deployment, Script { ready_after_ms: 1_000, ..Script::default() }).await?;
        world.run(60_000).await?;
    }
    world.promote("two", Strategy::Canary { window_ms: 600_000 }).await??;
    world.run(90_000).await?;
    for _ in 0..times {
        if name == "look" {
            world.wake();
        }
        black_box(world.tick().await);
    }
    Ok(())
}

/// A head as a Python client sends it.
fn head(times: u32) -> Result<(), Failure> {
    let head = "POST /model/abcd1234/environments/production/predict HTTP/1.1\r\nhost: models.example.com\r\n\
                accept-encoding: gzip, deflate\r\naccept: */*\r\nconnection: keep-alive\r\nuser-agent: python-requests/2.32.3\r\n\
                authorization: Api-Key 0123456789.abcdefghijklmnopqrstuvwxyz\r\ncontent-type: application/json\r\n\
                content-length: 256\r\n\r\n";
    for _ in 0..times {
        if gateway::steps::read_head(black_box(head.as_bytes())) != Some(head.len()) {
            return Err("the head was not read".into());
        }
    }
    Ok(())
}

/// An environment in a canary, of a model beside a thousand others.
fn route(times: u32) -> Result<(), Failure> {
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(0)));
    let gateway = Gateway::new(GatewayConfig::default(), Arc::new(Wakes::default()), clock);
    for number in 0..1_000 {
        gateway.publish(routes(number)?);
    }
    for _ in 0..times {
        let path = black_box("/model/model500/environments/production/predict");
        if gateway::steps::look_up(&gateway, "localhost", path).is_none() {
            return Err("the address leads nowhere".into());
        }
    }
    Ok(())
}

fn routes(number: u32) -> Result<ModelRoutes, Failure> {
    let name = EnvironmentName::production();
    let id = |side: &str| DeploymentId::new(format!("{side}{number}"));
    let share = |side: &str, percent| Share {
        deployment: id(side),
        weight: Weight::percent(percent),
        exemption: None,
    };
    let deployment = |side: &str| DeploymentRoute {
        id: id(side),
        availability: Availability::Serving,
        concurrency_target: Some(1),
        rejects_when_full: false,
        replicas: Vec::new(),
        rewrite: Rewrite::default(),
    };
    Ok(ModelRoutes {
        model: ModelId::new(format!("model{number}")),
        name: ModelName::new(format!("model-{number}"))?,
        generation: 1,
        environments: vec![EnvironmentRoute {
            name,
            version: 1,
            shares: vec![share("a", 90), share("b", 10)],
        }],
        deployments: vec![deployment("a"), deployment("b")],
        development: None,
    })
}

const YAML: &str = "model_name: Iris\npython_version: py311\nrequirements:\n- numpy==1.26.4\n- scipy>=1\n\
    resources: {cpu: 500m, memory: 2Gi}\nsecrets: {token: null}\nenvironment_variables: {LEVEL: 3}\n\
    runtime: {predict_concurrency: 8}\nexternal_data:\n- {url: https://data.example/a, local_data_path: data/a}\n";

fn config(times: u32) -> Result<(), Failure> {
    for _ in 0..times {
        let config = truss::Config::from_yaml(black_box(YAML))?;
        black_box(truss::validate(&config));
    }
    Ok(())
}

fn patch(times: u32) -> Result<(), Failure> {
    let body = BTreeMap::from([("action", "UPDATE"), ("path", "model.py"), ("content", "class Model: ...")]);
    let value = serde_json::json!({ "type": "model_code", "body": body });
    for _ in 0..times {
        black_box(truss::patch::Op::read(black_box(&value)).map_err(|error| error.to_string())?);
    }
    Ok(())
}
