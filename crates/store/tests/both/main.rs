//! Everything the store promises, on SQLite and on Postgres.

#![allow(clippy::unwrap_used)]

mod activity;
mod file;
mod known;
mod models;
mod own_database;
mod people;
mod records;
mod restart;
mod restrictions;

use domain::*;
use store::testing::{Scratch, postgres, sqlite};
use store::{
    Error, Holder, Invitation, KeyRow, LinkFor, LinkRow, MetricRow, MetricsOf, SecretRow, SessionRow, Store,
    UsageDelta, Vault,
};

const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

fn model(name: &str) -> Model {
    Model {
        id: ModelId::new(format!("m-{name}")),
        name: ModelName::new(name).unwrap(),
        created_at: NOW,
        next_number: 1,
        generation: 1,
        allow_download: true,
    }
}

fn deployment(model: &Model, name: &str) -> Deployment {
    Deployment {
        id: DeploymentId::new(format!("{}-{name}", model.id)),
        model: model.id.clone(),
        name: DeploymentName::new(name).unwrap(),
        kind: DeploymentKind::Published,
        created_at: NOW,
        created_by: "someone".into(),
        artifact: ArtifactId::new("artifact"),
        config: serde_json::json!({ "model_name": "iris \u{1F33C}" }),
        raw_config: None,
        labels: None,
        build: Build::Queued,
        lifecycle: Lifecycle::Active,
        environment: None,
        autoscaling: AutoscalingSettings::default(),
        target: 0,
        active_since: None,
        deadline: None,
        deploy_timeout_minutes: 30,
        failed_starts: 0,
        retry_at: None,
        last_exit: None,
        terminating: Vec::new(),
        failure: None,
        compute: Default::default(),
        waiting: None,
        backpressure: None,
        truss_hash: None,
        truss_signature: None,
        live: None,
        copied_from: None,
        deleted_at: None,
        version: 0,
    }
}

fn promotion(model: &Model, id: &str, candidate: &Deployment) -> Promotion {
    let environment = Environment::new(model.id.clone(), EnvironmentName::production(), NOW);
    let canary = Strategy::Canary { window_ms: 1000 };
    Promotion::new(PromotionId::new(id), &environment, candidate.id.clone(), canary, "someone", NOW, NOW)
}

async fn add(store: &Store, model: &Model, deployments: &[Deployment]) {
    let mut tx = store.begin().await.unwrap();
    tx.insert_model(model).await.unwrap();
    tx.insert_environment(&Environment::new(model.id.clone(), EnvironmentName::production(), NOW))
        .await
        .unwrap();
    for deployment in deployments {
        tx.insert_deployment(deployment).await.unwrap();
    }
    tx.commit().await.unwrap();
}

/// Runs a check on both databases.
macro_rules! on_both {
    ($module:ident: $($name:ident),* $(,)?) => {$(
        mod $name {
            #[tokio::test]
            async fn on_sqlite() {
                super::$module::$name(super::sqlite().await).await;
            }

            #[tokio::test]
            async fn on_postgres() {
                super::$module::$name(super::postgres().await).await;
            }
        }
    )*};
}

on_both!(
    models:
    a_model_reads_back_whole,
    an_old_version_is_not_written_over,
    names_are_unique_among_the_living,
    one_development_slot,
    a_list_of_deployments_is_read_in_pages,
    one_running_promotion,
    promotions_are_found_around_a_time,
    writers_of_one_model_wait_for_each_other,
    nothing_is_left_of_a_rollback,
    a_deleted_model_stays_until_purged,
    a_list_of_models_names_only_what_production_serves,
    the_list_of_models_begins_with_what_changed_last,
    opening_again_finds_everything,
);

on_both!(
    activity:
    events_page_newest_first,
    the_activity_pages_and_filters,
    what_was_done_with_a_persons_key_is_found_by_the_key,
    restarts_are_counted_by_deployment_and_moment,
);

on_both!(restrictions: restrictions_are_replaced_and_lifted, names_of_environments_are_told_once);

on_both!(people: keys_and_sessions, people_and_what_is_theirs, links_work_once);

on_both!(
    records:
    usage_adds_up_and_outlives,
    uploads_are_taken_once,
    settings_are_replaced,
    secrets_keep_their_id_through_new_values,
    the_record_of_scaling_is_bounded,
    what_is_attached_serves_or_is_being_promoted,
    metrics_are_kept_by_the_minute_and_by_age,
);

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let scratch = sqlite().await;
    let pool = sqlx::sqlite::SqlitePool::connect(&format!("sqlite://{}", scratch.address)).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'later', 1, x'00', 0)",
    )
    .execute(&pool)
    .await
    .unwrap();
    pool.close().await;
    let refusal = Store::open(&scratch.address).await.unwrap_err();
    assert!(matches!(refusal, Error::Newer { version: 9999 }), "{refusal}");
    assert!(refusal.to_string().contains("newer version"));
}
