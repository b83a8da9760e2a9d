//! What a key that calls or measures may be limited to (semantics: Roles).

use domain::{EnvironmentName, Invalid, ModelId, parse_id};

use crate::{ControlPlane, Error};

/// The most models, and environments, a key may be limited to.
const MOST: usize = 100;

/// What a new key is to be limited to, as typed. `None` is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyLimits {
    /// Ids of models.
    pub models: Option<Vec<String>>,
    /// Names of environments: such a key calls by their addresses only.
    pub environments: Option<Vec<String>>,
}

/// The same, known to be there, each once.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    pub models: Option<Vec<String>>,
    pub environments: Option<Vec<EnvironmentName>>,
}

impl ControlPlane {
    /// Checks limits, which only some keys may have.
    pub(crate) async fn known(&self, limits: KeyLimits, may_be_limited: bool) -> Result<Limits, Error> {
        for (field, list) in [("model_ids", &limits.models), ("environment_names", &limits.environments)] {
            if list.is_some() && !may_be_limited {
                let problem = "only keys that call models or read metrics can be limited";
                return Err(Invalid::new(field, problem).into());
            }
        }
        Ok(Limits {
            models: match limits.models {
                Some(ids) => Some(self.known_models(ids).await?),
                None => None,
            },
            environments: match limits.environments {
                Some(names) => Some(self.known_environments(names).await?),
                None => None,
            },
        })
    }

    async fn known_models(&self, ids: Vec<String>) -> Result<Vec<String>, Error> {
        let ids = each_once("model_ids", ids)?;
        let known = self.parts.store.all_model_ids().await?;
        for id in &ids {
            parse_id("model_ids", id)?;
            if !known.contains(&ModelId::new(id)) {
                return Err(Invalid::new("model_ids", format!("there is no model `{id}`")).into());
            }
        }
        Ok(ids)
    }

    async fn known_environments(&self, names: Vec<String>) -> Result<Vec<EnvironmentName>, Error> {
        const FIELD: &str = "environment_names";
        let known = self.parts.store.environment_names().await?;
        let mut found = Vec::new();
        for text in each_once(FIELD, names)? {
            let name = EnvironmentName::new(text).map_err(|refusal| Invalid::new(FIELD, refusal.problem))?;
            if !known.contains(&name) {
                return Err(Invalid::new(FIELD, format!("no model has an environment `{name}`")).into());
            }
            found.push(name);
        }
        Ok(found)
    }
}

fn each_once(field: &str, mut list: Vec<String>) -> Result<Vec<String>, Invalid> {
    list.sort_unstable();
    list.dedup();
    if list.is_empty() || list.len() > MOST {
        let problem = format!("a key is limited to 1 to {MOST} of them; leave the list out for all");
        return Err(Invalid::new(field, problem));
    }
    Ok(list)
}
