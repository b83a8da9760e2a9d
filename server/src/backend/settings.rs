//! The pages of API keys and of secrets.

use app::error::AppError;
use app::view::{KeyChoice, KeyRow, KeysPage, ModelChoice, SecretRow, SecretsPage, ShownOnce};
use control::{KeyKind, KeyLimits};
use domain::{Action, Actor, Role};

use super::Dashboard;
use super::errors::told;

/// What a key of each role may, for people.
fn may(role: Role) -> &'static str {
    match role {
        Role::Invoker => "call models",
        Role::Exporter => "read metrics",
        Role::Keykeeper => "manage keys that call and measure",
        Role::Viewer => "look at everything, call models",
        Role::Deployer => "push, promote and change models",
        Role::Admin => "everything",
    }
}

impl Dashboard {
    pub(super) async fn read_keys(&self, actor: &Actor) -> Result<KeysPage, AppError> {
        let control = &self.api.control;
        let keys = control.keys(actor).await.map_err(told)?;
        // A keeper of keys makes them without looking at models.
        let models: Vec<ModelChoice> = match control.model_overviews(actor, None, u32::MAX).await {
            Ok(all) => all.into_iter().map(|found| named(&found.model)).collect(),
            Err(control::Error::Forbidden(_)) => Vec::new(),
            Err(error) => return Err(told(error)),
        };
        let environments: Vec<String> = match control.environment_groups(actor).await {
            Ok(groups) => groups.iter().map(|group| group.name.to_string()).collect(),
            Err(control::Error::Forbidden(_)) => Vec::new(),
            Err(error) => return Err(told(error)),
        };
        let ring = control.key_ring();
        let name_of = |id: &String| {
            models.iter().find(|model| &model.id == id).map_or(id.clone(), |model| model.name.clone())
        };
        let rows: Vec<KeyRow> = keys
            .into_iter()
            .map(|key| KeyRow {
                owner: key.person.as_ref().map(|id| {
                    ring.person(id).map_or("somebody".to_owned(), |person| person.shown().to_owned())
                }),
                prefix: key.prefix,
                name: key.name,
                may: may(key.role).to_owned(),
                models: key.models.map(|ids| ids.iter().map(name_of).collect()),
                environments: key.environments.map(|names| names.iter().map(ToString::to_string).collect()),
                created_at: key.created_at,
                last_used_at: key.last_used_at,
            })
            .collect();
        let own = actor.person.as_ref().map(|_| KeyChoice {
            value: "personal".into(),
            title: format!("personal: what you may ({})", actor.role.as_str()),
            limited: false,
        });
        let roles = Role::ALL.into_iter().filter(|role| actor.role.may_hand_out(*role));
        let shared = roles.map(|role| KeyChoice {
            value: role.as_str().into(),
            title: format!("{}: {}", role.as_str(), may(role)),
            limited: role.may_be_limited(),
        });
        let all = actor.role.permits(Action::ManageKeys);
        let headline = match (rows.len(), all) {
            (0, _) => "No key works yet.".to_owned(),
            (1, true) => "One key works.".to_owned(),
            (many, true) => format!("{many} keys work."),
            (1, false) => "You have one key of your own.".to_owned(),
            (many, false) => format!("You have {many} keys of your own."),
        };
        Ok(KeysPage {
            as_of: self.api.clock.now(),
            headline,
            keys: rows,
            choices: own.into_iter().chain(shared).collect(),
            models,
            environments,
        })
    }

    pub(super) async fn do_create_key(
        &self,
        actor: &Actor,
        name: &str,
        role: Option<Role>,
        models: Option<Vec<String>>,
        environments: Option<Vec<String>>,
    ) -> Result<ShownOnce, AppError> {
        let kind = role.map_or(KeyKind::Personal, KeyKind::Workspace);
        let limits = KeyLimits { models, environments };
        let made = self.api.control.create_key(actor, name, kind, limits).await.map_err(told)?;
        Ok(ShownOnce {
            sentence: "This key is shown this once; keep it like a password.".into(),
            text: made.key,
        })
    }

    pub(super) async fn read_secrets(&self, actor: &Actor) -> Result<SecretsPage, AppError> {
        let secrets = self.api.control.secrets(actor).await.map_err(told)?;
        let rows: Vec<SecretRow> = secrets
            .into_iter()
            .map(|secret| SecretRow {
                name: secret.name.to_string(),
                created_at: secret.created_at,
                updated_at: secret.updated_at,
            })
            .collect();
        let headline = match rows.len() {
            0 => "No secret is set.".to_owned(),
            1 => "One secret is set; its value is shown to nobody.".to_owned(),
            many => format!("{many} secrets are set; their values are shown to nobody."),
        };
        let may = actor.role.permits(Action::Deploy);
        Ok(SecretsPage {
            as_of: self.api.clock.now(),
            headline,
            secrets: rows,
            refused: (!may).then(|| "Only deployers and admins set secrets.".to_owned()),
        })
    }
}

fn named(model: &domain::Model) -> ModelChoice {
    ModelChoice { id: model.id.to_string(), name: model.name.to_string() }
}
