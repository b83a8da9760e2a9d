//! Bodies and queries that nobody would send on purpose.

use bytes::Bytes;
use domain::{Invalid, SecretName, SecretValue, Timestamp};
use http::Uri;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::contract::{
    CreateDeployment, CreateEnvironment, CreateModel, LogsRequest, MetricsRequest, PrepareUpload,
    PromoteDeployment, PromoteToEnvironment, Rename, StartupsQuery, StartupsWindow, UpdateAutoscaling,
    UpdateBackpressure, UpdateEnvironment,
};
use super::{
    audit, body, deployments, extract, identity, keys, logs, models, patches, places, secrets, usage,
};

/// For all parsers of this crate.
#[global_allocator]
static ALLOCATOR: mangle::Counting = mangle::Counting;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn bodies() -> Vec<Value> {
    let promotion = json!({
        "ramp_up_while_promoting": true, "ramp_up_duration_seconds": 600, "redeploy_on_promotion": false,
        "rolling_deploy": false, "rolling_deploy_config": {"max_surge_percent": 25, "max_unavailable_percent": 0},
    });
    let autoscaling =
        json!({"min_replica": 1, "max_replica": 3, "autoscaling_window": 60, "scale_down_delay": 900});
    vec![
        json!({"name": "eu", "autoscaling_settings": autoscaling, "promotion_settings": promotion}),
        json!({"deployment_id": "d1", "scale_down_previous_deployment": true, "promotion_settings_override": promotion}),
        json!({"request_backpressure_settings": {"policy": "QUEUE_ON_FULL"}, "autoscaling_settings": autoscaling}),
        autoscaling,
        json!({"start_epoch_millis": 1, "end_epoch_millis": 2, "direction": "asc", "limit": 5, "min_level": "INFO",
               "includes": ["a"], "excludes": [], "search_pattern": "x", "replica": null}),
    ]
}

/// Bodies of pushes, of keys and of groups of environments.
fn other_bodies() -> Vec<Value> {
    let deployment = json!({
        "config": {"model_name": "Echo", "requirements": ["numpy"]}, "raw_config": "model_name: Echo\n",
        "environment_name": "staging", "deploy_timeout_minutes": 30, "labels": {"team": "search"}, "region": "local",
        "is_development": false, "autoscaling_settings": {"concurrency_target": 3},
        "promotion_settings_override": {"rolling_deploy": true},
    });
    vec![
        json!({"source": {"kind": "model_archive", "name": "Echo", "deployment": deployment, "s3_key": "k"}}),
        json!({"source": {"deployment": deployment, "s3_key": "k"}}),
        json!({"deployment": deployment, "name": "Echo", "team_id": "default", "dry_run": true}),
        json!({"type": "WORKSPACE_INVOKE", "name": "caller", "model_ids": ["m"], "environment_names": ["production"]}),
        json!({"type": "WORKSPACE_MANAGE_ALL", "role": "viewer"}),
        json!({"manage_access": {"is_restricted": true, "user_ids": ["u1"]}}),
        json!({"prev_patch_hash": "h", "patch_ops": [{"type": "model_code"}], "next_patch_point":
               {"content_hashes": {"model/model.py": "a", "model": null}, "config": "", "requirements": ["numpy"]}}),
    ]
}

/// Bodies of secrets, of new names, of choices and of changes in place.
fn small_bodies() -> Vec<Value> {
    let point = json!({"content_hashes": {"model": null, "model/model.py": "00"}, "config": "model_name: Echo\n",
                       "requirements": ["numpy"], "hash": ""});
    let op =
        json!({"type": "model_code", "body": {"action": "UPDATE", "path": "model.py", "content": "new"}});
    vec![
        json!({"name": "hf_access_token", "value": "hush"}),
        json!({"name": "Echo-2"}),
        json!({"policy": "REJECT_ON_FULL"}),
        json!({"prev_patch_hash": "h", "next_patch_point": point, "patch_ops": [op]}),
    ]
}

/// Queries of lists, of keys, of use and of a configuration.
const QUERIES: [&str; 5] = [
    "limit=5&cursor=1700000000000.d1&name=Echo",
    "limit=100&cursor=u1&email=a%40b.test",
    "type=WORKSPACE_INVOKE&created_by_me=true",
    "start_date=2026-01-01T00:00:00Z&end_date=2026-01-31",
    "output_format=parsed",
];
/// Queries of the audit log, and of a log's file.
const LONG_QUERIES: [&str; 2] = [
    "limit=5&direction=ASC&cursor=desc.1.a&search=a+b&event_type_groups=CODE&sources=UI&user_ids=u1&deployment_ids=d1\
     &chain_deployment_ids=c1&environment_names=production&start_epoch_millis=1&end_epoch_millis=2",
    "format=csv&start_epoch_millis=1&end_epoch_millis=2&min_level=ERROR&component=build&replica=a&request_id=b\
     &includes=a&includes=b%20c&excludes=d&search_pattern=x.y",
];

/// What a query asks for, as the doors read it.
fn asked<T: DeserializeOwned>(address: &Uri) -> Result<T, Invalid> {
    let read = axum::extract::Query::try_from_uri(address);
    read.map(|axum::extract::Query(asked)| asked).map_err(|rejection| extract::of_query(&rejection))
}

/// Reads what a list is asked for, and where its page begins.
fn page(list: &models::Listing) -> Result<(), Invalid> {
    list.page()?;
    list.cursor.as_deref().map(str::parse::<store::Place>).transpose().map(|_| ())
}

fn secret(body: secrets::Upsert) -> Result<(), Invalid> {
    SecretName::new(body.name)?;
    SecretValue::new(body.value).map(|_| ())
}

/// The bytes of a query.
fn size(pairs: &[(String, String)]) -> usize {
    pairs.iter().map(|(name, value)| name.len() + value.len() + 2).sum()
}

fn read<T: DeserializeOwned>(text: &Bytes) -> Result<(), Invalid> {
    body::read::<T>(text).map(|_| ())
}

proptest! {
    #![proptest_config(mangle::config())]

    #[test]
    fn any_body_is_read_or_refused_with_a_field(value in mangle::mangled_json(bodies()), text in mangle::mangled_text(&[
        r#"{"name": "eu", "promotion_settings": {"ramp_up_duration_seconds": 600}}"#,
    ])) {
        for text in [Bytes::from(value.to_string()), Bytes::from(text)] {
            let all = mangle::bounded(text.len(), 100, || [
                read::<CreateEnvironment>(&text),
                read::<UpdateEnvironment>(&text),
                read::<PromoteDeployment>(&text),
                read::<PromoteToEnvironment>(&text),
                read::<UpdateAutoscaling>(&text),
            ]);
            for invalid in all.into_iter().filter_map(Result::err) {
                prop_assert!(!invalid.field.is_empty() && !invalid.problem.is_empty());
            }
            if let Ok(request) = body::read::<LogsRequest>(&text)
                && let Err(invalid) = request.query(NOW)
            {
                prop_assert!(!invalid.field.is_empty());
            }
        }
    }

    #[test]
    fn any_body_of_a_push_a_key_or_a_group_is_read_or_refused_with_a_field(value in mangle::mangled_json(other_bodies())) {
        let text = Bytes::from(value.to_string());
        let all = mangle::bounded(text.len(), 200, || [
            read::<CreateModel>(&text),
            read::<CreateDeployment>(&text),
            read::<PrepareUpload>(&text),
            read::<keys::Create>(&text),
            read::<places::UpdateGroup>(&text),
            read::<patches::NewPatch>(&text),
        ]);
        for invalid in all.into_iter().filter_map(Result::err) {
            prop_assert!(!invalid.field.is_empty() && !invalid.problem.is_empty());
        }
        if let Ok(push) = body::read::<PrepareUpload>(&text)
            && let Err(invalid) = push.deployment.check()
        {
            prop_assert!(!invalid.field.is_empty());
        }
    }

    #[test]
    fn any_body_of_a_secret_a_name_or_a_change_is_read_or_refused_with_a_field(
        value in mangle::mangled_json(small_bodies()),
        text in mangle::mangled_text(&[r#"{"name": "hf_access_token", "value": "hush"}"#, r#"{"policy": null}"#]),
    ) {
        for text in [Bytes::from(value.to_string()), Bytes::from(text)] {
            let all = mangle::bounded(text.len(), 200, || [
                body::read::<secrets::Upsert>(&text).and_then(secret),
                read::<Rename>(&text),
                body::read::<UpdateBackpressure>(&text).and_then(|update| update.choice().map(|_| ())),
                body::read::<patches::NewPatch>(&text).map(|patch| {
                    assert!(!patch.next_patch_point.into_point().hash.is_empty());
                }),
            ]);
            for invalid in all.into_iter().filter_map(Result::err) {
                prop_assert!(!invalid.field.is_empty() && !invalid.problem.is_empty());
            }
        }
    }

    #[test]
    fn any_type_of_a_key_is_known_or_refused_with_a_field(
        category in mangle::mangled_text(&["PERSONAL", "ROUTES", "WORKSPACE_INVOKE", "WORKSPACE_MANAGE_ALL"]),
        role in prop::option::of(mangle::mangled_text(&["viewer", "deployer", "admin"])),
    ) {
        let size = category.len() + role.as_ref().map_or(0, String::len);
        if let Err(invalid) = mangle::bounded(size, 64, || keys::key_kind(&category, role.as_deref())) {
            prop_assert!(["type", "role"].contains(&invalid.field.as_str()), "{}", invalid.field);
        }
    }

    #[test]
    fn any_query_of_a_list_is_read_or_refused_with_a_field(query in mangle::mangled_text(&QUERIES)) {
        // What can't stand in an address can't be sent.
        let Ok(address) = format!("/?{query}").parse::<Uri>() else { return Ok(()) };
        let all = mangle::bounded(query.len(), 64, || [
            asked::<models::Listing>(&address).and_then(|list| page(&list)),
            asked::<models::ByName>(&address).map(|_| ()),
            asked::<identity::PeopleQuery>(&address).map(|_| ()),
            asked::<keys::KeysQuery>(&address).map(|_| ()),
            asked::<deployments::ConfigForm>(&address).map(|_| ()),
            asked::<usage::Period>(&address).and_then(|period| usage::days(&period, 20_000).map(|_| ())),
        ]);
        for invalid in all.into_iter().filter_map(Result::err) {
            prop_assert!(!invalid.field.is_empty() && !invalid.problem.is_empty());
        }
    }

    #[test]
    fn any_query_of_the_audit_log_or_of_a_file_is_read_or_refused_with_a_field(
        query in mangle::mangled_text(&LONG_QUERIES),
    ) {
        let Ok(address) = format!("/?{query}").parse::<Uri>() else { return Ok(()) };
        // Each pair is two texts, however short it is.
        let all = mangle::bounded(query.len(), 200, || [
            asked(&address).and_then(audit::read).map(|_| ()),
            asked(&address).and_then(logs::file_query).map(|_| ()),
        ]);
        let pairs: Vec<(String, String)> = asked(&address).unwrap_or_default();
        for invalid in all.into_iter().filter_map(Result::err) {
            prop_assert!(pairs.iter().any(|(name, _)| *name == invalid.field), "{}", invalid.field);
        }
    }

    #[test]
    fn any_query_of_startups_is_read_or_refused_with_a_field(pairs in prop::collection::vec((
        mangle::mangled_text(&["start_epoch_millis", "end_epoch_millis", "min_duration_ms", "limit", "outcomes", "phase",
                               "sort_by", "direction", "cursor", "search"]),
        mangle::mangled_text(&["1700000000000", "0", "100", "FAILED", "READINESS", "IMAGE_PULL", "DURATION", "asc"]),
    ), 0..8)) {
        let missing = ["start_epoch_millis", "end_epoch_millis"];
        mangle::bounded(size(&pairs), 64, || {
            for read in [StartupsQuery::read(pairs.clone()), StartupsWindow::read(pairs.clone())] {
                if let Err(invalid) = read {
                    let is_said = pairs.iter().any(|(name, _)| *name == invalid.field);
                    assert!(is_said || missing.contains(&invalid.field.as_str()), "{}", invalid.field);
                }
            }
        });
    }

    #[test]
    fn any_query_is_read_or_refused_with_a_field(pairs in prop::collection::vec((
        mangle::mangled_text(&["start_epoch_millis", "limit", "min_level", "includes", "mode", "metrics", "end_epoch_millis"]),
        mangle::mangled_text(&["1700000000000", "0", "SERIES", "ERROR", "baseten_replicas_active", "-9223372036854775808"]),
    ), 0..6)) {
        let asked = mangle::bounded(size(&pairs), 64, || {
            LogsRequest::from_pairs(pairs.clone()).and_then(|request| request.query(NOW))
        });
        if let Err(invalid) = asked {
            prop_assert!(pairs.iter().any(|(name, _)| *name == invalid.field), "{}", invalid.field);
        }
        let asked = mangle::bounded(size(&pairs), 64, || {
            MetricsRequest::from_pairs(pairs.clone()).map(|request| request.window(NOW).err())
        });
        if let Ok(Some(invalid)) = asked {
            prop_assert!(!invalid.field.is_empty());
        }
    }
}
