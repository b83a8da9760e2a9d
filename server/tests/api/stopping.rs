//! A server that is told to stop.

use std::cell::Cell;
use std::time::Duration;

use domain::{DeploymentId, Traffic};
use serde_json::json;
use server::handover::Predecessor;

use crate::support::{Call, World, archive, client, config, pushed, with_key};

#[tokio::test]
async fn nobody_is_let_in_any_more_and_who_waits_for_a_model_gets_it() {
    let mut world = World::start().await;
    let key = world.upload(archive()).await;
    let (model, deployment) =
        pushed(&world.ask(client::create_model("Late", &key, &config("slow"), "")).await);
    world.reaches(&model, &deployment, "LOADING_MODEL").await;
    let path = format!("/model/{model}/deployment/{deployment}/predict");
    let (address, call) = (world.address, with_key(Call::new("POST", path)).json(&json!({})));
    let waits = tokio::spawn(call.send(address));
    let server = world.take_server();
    let gateway = server.gateway();
    let waiting = || gateway.deployment(&DeploymentId::new(deployment.as_str())).demand.held;
    while waiting() == 0 {
        assert!(!waits.is_finished(), "it was answered before the model was there");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let has_stopped = Cell::new(false);
    let stops = async {
        server.stop().await;
        has_stopped.set(true);
    };
    let meanwhile = async {
        while std::net::TcpStream::connect(address).is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!has_stopped.get(), "a request waits");
        assert!(Predecessor::find(world.data()).unwrap().is_none(), "it can't be taken over from any more");
        let answer = waits.await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    tokio::join!(stops, meanwhile);
    assert!(!world.data().join("handover.sock").exists() && !world.data().join("local.json").exists());
}
