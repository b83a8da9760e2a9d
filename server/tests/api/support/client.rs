//! The query texts that truss 0.18.35 sends, with the same spacing, order and inlining.

use serde_json::{Value, json};

/// A body for `POST /graphql/`.
pub fn query(text: &str) -> Value {
    json!({ "query": text })
}

pub const WHOAMI: &str = "query{organization{workspace_name}user{email}}";

pub const TEAMS: &str = "
        query Teams {
            teams {
                id
                name
                default
            }
        }
        ";

pub const MODELS: &str = "
        {
            models(all: true) {
                id,
                name
                team {
                    id
                    name
                }
            }
        }
        ";

pub const CREDENTIALS: &str = "
        {
            model_s3_upload_credentials {
                s3_bucket
                s3_key
                aws_access_key_id
                aws_secret_access_key
                aws_session_token
            }
        }
        ";

pub const INSTANCES: &str = "
        query Instances {
            listedInstances: listed_instances {
                id
                name
                millicpuLimit: millicpu_limit
                memoryLimit: memory_limit
                gpuCount: gpu_count
                gpuType: gpu_type
                gpuMemory: gpu_memory
                default
                displayName: display_name
                nodeCount: node_count
                price
                limitedCapacity: limited_capacity
            }
        }
        ";

/// `truss push`'s check of a configuration, which is base64 of JSON.
pub fn validation(config: &str) -> Value {
    let text = format!(
        "
        query ($trussUserEnv: String) {{
            truss_validation(
                truss_user_env: $trussUserEnv
                config: \"{config}\"
            ) {{
                success
                details
            }}
        }}
        "
    );
    json!({ "query": text, "variables": { "trussUserEnv": user_env() } })
}

/// The first push of a model.
pub fn create_model(name: &str, s3_key: &str, config: &str, extra: &str) -> Value {
    let text = format!(
        "
            mutation ($trussUserEnv: String, $userDeployMetadata: JSONString, $rawConfig: String) {{
                create_model_from_truss(
                    name: \"{name}\"
                    s3_key: \"{s3_key}\"
                    config: \"{config}\"
                    semver_bump: \"MINOR\"
                    truss_user_env: $trussUserEnv
                    allow_truss_download: true
                    {extra}
                    user_deploy_metadata: $userDeployMetadata
                    raw_config: $rawConfig
                ) {{
                    model_version {{
                        id
                        oracle {{
                            id
                            name
                            hostname
                        }}
                        instance_type {{
                            name
                        }}
                    }}
                }}
            }}
        "
    );
    json!({ "query": text, "variables": variables() })
}

/// A further push of a model.
pub fn create_version(model: &str, s3_key: &str, config: &str, extra: &str) -> Value {
    let text = format!(
        "
            mutation ($trussUserEnv: String, $userDeployMetadata: JSONString, $rawConfig: String) {{
                create_model_version_from_truss(
                    model_id: \"{model}\"
                    s3_key: \"{s3_key}\"
                    config: \"{config}\"
                    semver_bump: \"MINOR\"
                    truss_user_env: $trussUserEnv
                    scale_down_old_production: true
                    preserve_env_instance_type: true
                    {extra}
                    user_deploy_metadata: $userDeployMetadata
                    raw_config: $rawConfig
                ) {{
                    model_version {{
                        id
                        oracle {{
                            id
                            name
                            hostname
                        }}
                        instance_type {{
                            name
                        }}
                    }}
                }}
            }}
        "
    );
    json!({ "query": text, "variables": variables() })
}

/// A push to the development deployment.
pub fn deploy_draft(name: &str, s3_key: &str, config: &str) -> Value {
    let text = format!(
        "
            mutation ($trussUserEnv: String, $userDeployMetadata: JSONString, $rawConfig: String) {{
                deploy_draft_truss(name: \"{name}\"
                    s3_key: \"{s3_key}\"
                    config: \"{config}\"
                    truss_user_env: $trussUserEnv
                    allow_truss_download: true
                    user_deploy_metadata: $userDeployMetadata
                    raw_config: $rawConfig
                ) {{
                    model_version {{
                        id
                        oracle {{
                            id
                            name
                            hostname
                        }}
                        instance_type {{
                            name
                        }}
                    }}
                }}
            }}
        "
    );
    json!({ "query": text, "variables": variables() })
}

/// What `truss predict --published` asks to find the model.
pub fn model_by_name(name: &str) -> Value {
    query(&format!(
        "
        {{
            model(name: \"{name}\") {{
                id
                name
                hostname
                team {{
                    id
                    name
                }}
                versions {{
                    id
                    semver
                    truss_hash
                    truss_signature
                    is_draft
                    is_primary
                    current_model_deployment_status {{
                        status
                    }}
                }}
            }}
        }}
        "
    ))
}

/// What `truss predict --model` asks.
pub fn model_by_id(id: &str) -> Value {
    query(&format!(
        "
        {{
            model(id: \"{id}\") {{
                id
                name
                hostname
                primary_version{{
                    id
                    semver
                    truss_hash
                    truss_signature
                    is_draft
                    current_model_deployment_status {{
                        status
                    }}
                }}
            }}
          }}
        "
    ))
}

/// What `truss predict --model-deployment` asks.
pub fn version(id: &str) -> Value {
    query(&format!(
        "
        {{
            model_version(id: \"{id}\") {{
                id
                is_draft
                truss_hash
                truss_signature
                oracle{{
                    id
                    name
                    hostname
                }}
            }}
          }}
        "
    ))
}

/// What `truss watch` asks before each change.
pub fn watch_state(model: &str) -> Value {
    query(&format!(
        "
        {{
            truss_watch_state(id: \"{model}\") {{
                is_container_built_from_push
                django_patch_state {{
                    current_hash
                    current_signature
                }}
                container_patch_state {{
                    current_hash
                    current_signature
                }}
            }}
        }}
        "
    ))
}

/// A live patch.
pub fn stage_patch(model: &str, patch: &str) -> Value {
    let text = format!(
        "
        mutation ($trussUserEnv: String) {{
            stage_patch_for_draft_truss(
                id: \"{model}\"
                truss_user_env: $trussUserEnv
                patch: \"{patch}\"
            ) {{
                id
                name
                version_id
                succeeded
                needs_full_deploy
                error
            }}
        }}
        "
    );
    json!({ "query": text, "variables": { "trussUserEnv": user_env() } })
}

fn variables() -> Value {
    json!({ "trussUserEnv": user_env(), "userDeployMetadata": "{\"team\": \"a\"}", "rawConfig": Value::Null })
}

fn user_env() -> String {
    json!({ "truss_client_version": "0.18.35", "python_version": "3.11.7" }).to_string()
}
