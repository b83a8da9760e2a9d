//! One deployment's page.

use app::view::{CallSnippet, DeploymentPage, Permit, ReplicaRow};
use domain::{Action, Deployment, Lifecycle, ObservedReplica, ReplicaState, ReplicaUse};
use serde_json::Value;

use crate::picture::Picture;

pub fn deployment_page(
    picture: &Picture,
    deployment: &Deployment,
    copies: Vec<ReplicaRow>,
) -> DeploymentPage {
    let row = picture.row(deployment);
    let address = picture.deployment_address(deployment);
    let example_input = example(deployment);
    let may_change_autoscaling = picture.permit_attached(deployment, Ok(()));
    let try_it = if !picture.role.permits(Action::Invoke) {
        Permit::Refused("your key may not call models".into())
    } else if deployment.lifecycle == Lifecycle::Inactive {
        Permit::Refused("it is inactive; activate it first".into())
    } else if !deployment.is_built() {
        Permit::Refused("it is not built yet".into())
    } else {
        Permit::Allowed
    };
    DeploymentPage {
        as_of: picture.now,
        model_id: picture.model.id.to_string(),
        model_name: picture.model.name.to_string(),
        id: row.id,
        name: row.name,
        is_development: deployment.is_development(),
        headline: format!("{}.", row.sentence),
        status: row.status,
        sentence: row.sentence,
        environment: row.environment,
        replicas: row.replicas,
        created_at: row.created_at,
        created_by: row.created_by,
        actions: row.actions,
        making: row.making,
        choices: picture.choices(),
        copies,
        snippets: snippets(&address, &example_input),
        address,
        example_input,
        try_it,
        autoscaling: deployment
            .is_built()
            .then(|| deployment.effective_autoscaling(&picture.environments).clone()),
        may_change_autoscaling,
        instance_type: String::new(),
        holds: String::new(),
    }
}

/// One replica; `used` and `percent` of a core are nothing where the machine does not tell.
pub fn replica_row(
    picture: &Picture,
    deployment: &Deployment,
    replica: &ObservedReplica,
    in_flight: u32,
    used: Option<ReplicaUse>,
    percent: Option<f64>,
) -> ReplicaRow {
    let leaving = deployment.terminating.contains(&replica.id) || replica.state == ReplicaState::Stopping;
    let terminate = if leaving { Err("it is on its way out".into()) } else { Ok(()) };
    ReplicaRow {
        id: replica.id.to_string(),
        // What was asked for is shown at once, though it may still finish requests.
        state: if leaving { ReplicaState::Stopping } else { replica.state.clone() },
        started_at: replica.started_at,
        ready_at: replica.ready_at,
        in_flight: Some(in_flight),
        pid: replica.pid,
        memory: used.map(|used| used.memory),
        cpu_percent: percent,
        terminate: picture.permit_attached(deployment, terminate),
    }
}

/// The example input that the model's author left in the configuration, as JSON text.
pub fn example(deployment: &Deployment) -> String {
    let example = &deployment.config["model_metadata"]["example_model_input"];
    let example = if example.is_null() { Value::Object(serde_json::Map::new()) } else { example.clone() };
    serde_json::to_string_pretty(&example).unwrap_or_else(|_| "{}".into())
}

fn snippets(address: &str, input: &str) -> Vec<CallSnippet> {
    let compact =
        serde_json::from_str::<Value>(input).map_or_else(|_| "{}".to_owned(), |input| input.to_string());
    let quoted = compact.replace('\'', "'\\''");
    vec![
        CallSnippet {
            language: "curl".into(),
            code: format!(
                "curl -X POST {address} \\\n  -H 'Authorization: Bearer YOUR_API_KEY' \\\n  -d '{quoted}'"
            ),
        },
        CallSnippet {
            language: "Python".into(),
            code: format!(
                "import json\n\nimport requests\n\nanswer = requests.post(\n    \"{address}\",\n    \
                 headers={{\"Authorization\": \"Bearer YOUR_API_KEY\"}},\n    json=json.loads({}),\n)\n\
                 print(answer.json())",
                serde_json::to_string(&compact).unwrap_or_default()
            ),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_in_the_example_does_not_end_the_shells_string() {
        let curl = &snippets("http://localhost:8000/x", r#"{"text": "it's"}"#)[0].code;
        assert!(curl.contains(r#"{"text":"it'\''s"}"#), "{curl}");
    }
}
