//! Bodies and queries that nobody would send on purpose.

use bytes::Bytes;
use domain::{Invalid, Timestamp};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::body;
use super::contract::{
    CreateEnvironment, LogsRequest, MetricsRequest, PromoteDeployment, PromoteToEnvironment,
    UpdateAutoscaling, UpdateEnvironment,
};

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
    fn any_query_is_read_or_refused_with_a_field(pairs in prop::collection::vec((
        mangle::mangled_text(&["start_epoch_millis", "limit", "min_level", "includes", "mode", "metrics", "end_epoch_millis"]),
        mangle::mangled_text(&["1700000000000", "0", "SERIES", "ERROR", "baseten_replicas_active", "-9223372036854775808"]),
    ), 0..6)) {
        let asked = LogsRequest::from_pairs(pairs.clone()).and_then(|request| request.query(NOW));
        if let Err(invalid) = asked {
            prop_assert!(pairs.iter().any(|(name, _)| *name == invalid.field), "{}", invalid.field);
        }
        if let Ok(request) = MetricsRequest::from_pairs(pairs)
            && let Err(invalid) = request.window(NOW)
        {
            prop_assert!(!invalid.field.is_empty());
        }
    }
}
