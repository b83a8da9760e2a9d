//! Ten thousand requests wait for one replica, and each gets its answer.
//!
//! Both ends of ten thousand connections are more files than a process may have open, so the clients are a process of
//! their own: this program, started again for its one ignored test.

use domain::DeploymentRoute;
use gateway::GatewayConfig;
use std::net::SocketAddr;
use std::time::Duration;

use crate::stage::{Client, PRODUCTION, Stage, Toy, deployment, plain, predict, routes, text, until};

const CROWD: u32 = 10_000;
/// Where the crowd finds the gateway, and which address it asks.
const ADDRESS: &str = "CROWD_ADDRESS";
const ROUTE: &str = "CROWD_ROUTE";

/// As many open files as the machine permits.
pub fn more_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

#[test]
#[ignore = "the crowd; another test starts it"]
fn the_crowd() {
    more_files();
    let address: SocketAddr = std::env::var(ADDRESS).unwrap().parse().unwrap();
    let route = std::env::var(ROUTE).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut crowd = tokio::task::JoinSet::new();
        for number in 0..CROWD {
            let route = route.clone();
            crowd.spawn(async move {
                let mut client = Client::connect(address).await;
                let answer = client.send(predict(&route, &number.to_string())).await;
                assert_eq!(answer.status(), 200);
                assert!(answer.headers().contains_key("x-cold-start-ms"));
                assert_eq!(text(answer).await, number.to_string());
            });
        }
        let mut answered = 0;
        while let Some(ended) = crowd.join_next().await {
            ended.unwrap();
            answered += 1;
        }
        assert_eq!(answered, CROWD);
    });
}

fn asleep(version: u64, replicas: &[(&str, u16)]) -> domain::ModelRoutes {
    let pool: DeploymentRoute = deployment("a", replicas, Some(64));
    let mut routes = routes(version, &[("a", 100)], vec![pool]);
    routes.development = Some(domain::DeploymentId::new("a"));
    routes
}

/// One crowd at a time: two have more connections than a process may.
pub static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn all_are_answered(route: &str) {
    let _one = ONE.lock().await;
    more_files();
    let stage = Stage::with(GatewayConfig::default());
    stage.gateway.publish(asleep(1, &[]));
    let crowd = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crowd::the_crowd", "--ignored"])
        .env(ADDRESS, stage.addr.to_string())
        .env(ROUTE, route)
        .kill_on_drop(true)
        .output();
    let crowd = tokio::spawn(crowd);
    let all_held = async {
        while stage.held("a") < CROWD && !crowd.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all_held).await.unwrap();
    assert_eq!(stage.held("a"), CROWD, "{crowd:?}");
    // One more finds the queue full.
    let late = stage.client().await.send(predict(route, "late")).await;
    assert_eq!(late.status(), 429);
    let toy = Toy::start(|request| async move {
        use http_body_util::BodyExt;
        let body = request.into_body().collect().await.unwrap().to_bytes();
        plain(String::from_utf8(body.to_vec()).unwrap())
    })
    .await;
    stage.gateway.publish(asleep(2, &[("r1", toy.port)]));
    let crowd = tokio::time::timeout(Duration::from_secs(60), crowd).await.unwrap().unwrap().unwrap();
    assert!(crowd.status.success(), "{}", String::from_utf8_lossy(&crowd.stdout));
    until("nothing is left", || stage.held("a") == 0 && stage.traffic("a").demand.in_flight == 0).await;
    let traffic = stage.traffic("a");
    assert_eq!((traffic.errors, traffic.lost), (0, 0));
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_that_wait_for_a_published_deployment_are_answered() {
    all_are_answered(PRODUCTION).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_that_wait_for_a_development_deployment_are_answered() {
    all_are_answered("/model/model1/development/predict").await;
}
