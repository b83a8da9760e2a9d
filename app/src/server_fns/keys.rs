//! API keys and secrets.

use leptos::prelude::*;
use leptos::server_fn::codec::GetUrl;

use crate::error::AppError;
use crate::view::{Done, KeysPage, SecretsPage, ShownOnce};

#[cfg(feature = "ssr")]
use {super::door::*, domain::*};

/// The keys that who asks may see: all for who manages keys, else one's own.
#[server(prefix = "/api/ui", endpoint = "keys", input = GetUrl)]
pub async fn read_keys() -> Result<KeysPage, AppError> {
    close(
        async {
            let door = door().await?;
            door.backend.keys_page(&door.session).await
        }
        .await,
    )
}

/// Makes a key: `kind` is `personal`, or the role of a key of the workspace (`invoker`, `exporter`, `keykeeper`,
/// `viewer`, `deployer`, `admin`). `models` limits the first two to these ids, and `environments` to environments of these
/// names, with commas or spaces between; no limit if it is empty. The answer has the key, once.
#[server(prefix = "/api/ui", endpoint = "create_key")]
pub async fn create_key(
    name: String,
    kind: String,
    #[server(default)] models: String,
    #[server(default)] environments: String,
) -> Result<ShownOnce, AppError> {
    close(
        async {
            let door = door().await?;
            needs_the_answer("a key")?;
            let kind = match kind.as_str() {
                "personal" => None,
                role => Some(Role::parse(role).ok_or_else(|| {
                    AppError::invalid("kind", format!("`{role}` is neither personal nor a role"))
                })?),
            };
            let (models, environments) = (listed(&models), listed(&environments));
            door.backend.create_key(&door.session, &name, kind, models, environments).await
        }
        .await,
    )
}

/// What is listed with commas or spaces between; nothing if the list is empty.
#[cfg(feature = "ssr")]
pub(super) fn listed(text: &str) -> Option<Vec<String>> {
    let parts = text.split([',', ' ', '\n']).map(str::trim).filter(|part| !part.is_empty());
    let list: Vec<String> = parts.map(str::to_owned).collect();
    (!list.is_empty()).then_some(list)
}

/// Ends a key and its sessions, at once.
#[server(prefix = "/api/ui", endpoint = "revoke_key")]
pub async fn revoke_key(prefix: String) -> Result<Done, AppError> {
    close_form(
        async {
            let door = door().await?;
            door.backend.revoke_key(&door.session, &prefix).await
        }
        .await,
    )
}

/// The names of all secrets; their values are told to nobody.
#[server(prefix = "/api/ui", endpoint = "secrets", input = GetUrl)]
pub async fn read_secrets() -> Result<SecretsPage, AppError> {
    close(
        async {
            let door = door().await?;
            door.backend.secrets_page(&door.session).await
        }
        .await,
    )
}

/// Sets a secret, or gives it another value.
#[server(prefix = "/api/ui", endpoint = "set_secret")]
pub async fn set_secret(name: String, value: String) -> Result<Done, AppError> {
    close_form(
        async {
            let door = door().await?;
            let (name, value) = (SecretName::new(name)?, SecretValue::new(value)?);
            door.backend.set_secret(&door.session, name, value).await
        }
        .await,
    )
}

/// Deletes a secret: replicas that start from then on go without.
#[server(prefix = "/api/ui", endpoint = "delete_secret")]
pub async fn delete_secret(name: String) -> Result<Done, AppError> {
    close_form(
        async {
            let door = door().await?;
            door.backend.delete_secret(&door.session, SecretName::new(name)?).await
        }
        .await,
    )
}
