//! A deployment by the name of what it is: `production` and `development` in the place of an id.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{World, archive, client, config, pushed};

/// What can be read of a deployment.
const READS: [&str; 9] = [
    "",
    "/config",
    "/config?output_format=raw",
    "/logs",
    "/logs?direction=asc&limit=1",
    "/logs/download",
    "/startups?start_epoch_millis=0&end_epoch_millis=4000000000000",
    "/startups/summary?start_epoch_millis=0&end_epoch_millis=4000000000000",
    "/patches/state",
];

/// A deployment by its alias and by its id.
struct Named<'a> {
    world: &'a World,
    alias: String,
    id: String,
}

impl Named<'_> {
    async fn by_alias(&self, method: &str, rest: &str, body: Value) -> Value {
        self.world.rest(method, &format!("{}{rest}", self.alias), body).await.ok()
    }

    async fn by_id(&self, method: &str, rest: &str, body: Value) -> Value {
        self.world.rest(method, &format!("{}{rest}", self.id), body).await.ok()
    }

    /// That a call is answered the same by both; what happens in between may be seen by one of them first.
    async fn same(&self, method: &str, rest: &str, body: Value) -> Value {
        let (mut by_alias, mut by_id) = (String::new(), String::new());
        for _ in 0..40 {
            let alias = self.world.rest(method, &format!("{}{rest}", self.alias), body.clone()).await;
            let id = self.world.rest(method, &format!("{}{rest}", self.id), body.clone()).await;
            let is_same = alias.status == id.status && alias.body == id.body;
            (by_alias, by_id) = (alias.text(), id.text());
            if is_same {
                return serde_json::from_str(&by_id).unwrap_or_default();
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{method} {rest}: {by_alias}\nby id: {by_id}");
    }

    async fn reaches(&self, status: &str) {
        self.world.until(&self.alias, |seen| seen["status"] == status).await;
    }

    /// Every call that both aliases take, but for those that take the deployment away.
    async fn all(&self) {
        for read in READS {
            self.same("GET", read, json!({})).await;
        }
        self.same("POST", "/logs", json!({ "limit": 2 })).await;
        let metrics = async |by: &str| {
            let answer = self
                .world
                .get(&format!("{by}/metrics?mode=SERIES&metrics=baseten_replicas_active"))
                .await
                .ok();
            answer["metric_descriptors"].clone()
        };
        assert_eq!(metrics(&self.alias).await, metrics(&self.id).await);
        let archive = async |by: &str| {
            let link = self.world.get(&format!("{by}/download")).await.ok()["download_url"].clone();
            let path = link.as_str().unwrap().split_once("/v1/").unwrap().1.to_owned();
            self.world.get(&format!("/v1/{path}")).await.body
        };
        let pushed = archive(&self.alias).await;
        assert!(!pushed.is_empty());
        assert_eq!(pushed, archive(&self.id).await);
        let retried = self.same("POST", "/retry", json!({})).await;
        assert_eq!(retried["retried"], false, "{retried}");

        let settings = json!({ "concurrency_target": 5 });
        let changed = self.by_alias("PATCH", "/autoscaling_settings", settings.clone()).await;
        assert_eq!(changed["status"], "ACCEPTED");
        assert_eq!(self.by_id("PATCH", "/autoscaling_settings", settings).await["status"], "UNCHANGED");
        assert_eq!(self.by_id("GET", "", json!({})).await["autoscaling_settings"]["concurrency_target"], 5);
        let choice = json!({ "policy": "REJECT_ON_FULL" });
        let chosen = self.by_alias("PATCH", "/request_backpressure_settings", choice.clone()).await;
        assert_eq!(chosen, choice);
        assert_eq!(self.by_id("GET", "", json!({})).await["request_backpressure_settings"], choice);

        assert_eq!(self.by_alias("POST", "/deactivate", json!({})).await["no_op"], false);
        assert_eq!(self.by_id("POST", "/deactivate", json!({})).await["no_op"], true);
        self.reaches("INACTIVE").await;
        assert_eq!(self.by_alias("POST", "/activate", json!({})).await["no_op"], false);
        assert_eq!(self.by_id("POST", "/activate", json!({})).await["no_op"], true);
        self.reaches("ACTIVE").await;
    }

    /// Ends the replica that runs.
    async fn terminate(&self, model: &str, deployment: &str) {
        let path = format!("/api/ui/replicas?model_id={model}&deployment_id={deployment}");
        let running = |seen: &Value| seen["copies"].as_array().is_some_and(|all| all.len() == 1);
        let seen = self.world.until(&path, running).await;
        let replica = seen["copies"][0]["id"].as_str().unwrap().to_owned();
        let ended = self.by_alias("DELETE", &format!("/replicas/{replica}"), json!({})).await;
        assert_eq!(ended, json!({ "success": true }));
        let another = |seen: &Value| running(seen) && seen["copies"][0]["id"] != replica.as_str();
        self.world.until(&path, another).await;
        self.reaches("ACTIVE").await;
    }
}

#[tokio::test]
async fn every_call_answers_by_an_alias_as_it_does_by_the_id() {
    let world = World::start().await;
    let (model, first) = world.push(Ok("Aliases"), "").await;
    world.reaches(&model, &first, "ACTIVE").await;
    let of = format!("/v1/models/{model}/deployments");
    world.until(&format!("/v1/models/{model}"), |model| model["production_deployment_id"].is_string()).await;
    let missing = world.get(&format!("{of}/development")).await;
    assert_eq!(missing.status, 404);
    assert!(missing.text().contains("--watch"), "{}", missing.text());

    let key = world.upload(archive()).await;
    let (_, draft) = pushed(&world.ask(client::deploy_draft("Aliases", &key, &config(""))).await);
    world.reaches(&model, &draft, "ACTIVE").await;
    let named = |alias: &str, id: &str| Named {
        world: &world,
        alias: format!("{of}/{alias}"),
        id: format!("{of}/{id}"),
    };
    let production = named("production", &first);
    production.all().await;
    production.terminate(&model, &first).await;
    let renamed = production.by_alias("PATCH", "", json!({ "name": "better" })).await;
    assert_eq!((&renamed["name"], &renamed["id"]), (&json!("better"), &json!(first)));
    let promoted = production.same("POST", "/promote", json!({})).await;
    assert_eq!(promoted["id"], first.as_str(), "it is the current one already");
    let refused = production.same("POST", "/patches", json!({})).await;
    assert!(refused["message"].is_string(), "{refused}");
    let refused = production.same("DELETE", "", json!({})).await;
    assert!(refused["message"].as_str().unwrap().contains("production"), "{refused}");

    let development = named("development", &draft);
    development.all().await;
    development.terminate(&model, &draft).await;
    let refused = development.same("PATCH", "", json!({ "name": "better" })).await;
    assert_eq!(refused["code"], "VALIDATION_ERROR", "{refused}");
    let synced = development.same("POST", "/patches/sync", json!({})).await;
    assert_eq!(synced["needs_full_deploy_reason"], Value::Null, "{synced}");
    let copy = development.by_alias("POST", "/promote", json!({})).await["id"].as_str().unwrap().to_owned();
    assert_ne!(copy, draft, "the slot stays as it is");
    world.until(&format!("{of}/production"), |seen| seen["id"] == copy.as_str()).await;
    let gone = development.by_alias("DELETE", "", json!({})).await;
    assert_eq!(gone, json!({ "id": draft, "deleted": true, "model_id": model }));
    assert_eq!(world.get(&development.alias).await.status, 404);
    world.stop().await;
}
