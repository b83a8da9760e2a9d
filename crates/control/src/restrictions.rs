//! Restricted environments: who may change those of a name, and the one check that all use cases ask.

use domain::{Access, Action, Actor, Deployment, EnvironmentName, EventKind, Person, PersonId, Restriction};
use serde_json::{Value, json};
use store::{ModelState, Tx};

use crate::keys::KeyRing;
use crate::parts::About;
use crate::{ControlPlane, Error};

/// All environments of a name.
#[derive(Debug, Clone, PartialEq)]
pub struct EnvironmentGroup {
    pub name: EnvironmentName,
    /// Who may change them beside the admins, by e-mail address; `None` if everybody whose role reaches.
    pub restricted_to: Option<Vec<Person>>,
}

impl KeyRing {
    /// Why somebody may not change the environments of a name; `None` if no restriction keeps them out.
    pub fn kept_out(&self, actor: &Actor, name: &EnvironmentName) -> Option<String> {
        let restriction = self.restriction(name).filter(|restriction| !restriction.admits(actor))?;
        let listed = self.listed(&restriction);
        let named: Vec<String> = listed.iter().map(|person| person.shown().to_owned()).collect();
        Some(restriction.sentence(&named))
    }

    /// The people on a restriction's list, by e-mail address.
    pub fn listed(&self, restriction: &Restriction) -> Vec<Person> {
        let mut listed: Vec<Person> = restriction.users.iter().filter_map(|id| self.person(id)).collect();
        listed.sort_by(|a, b| a.email.cmp(&b.email));
        listed
    }
}

impl ControlPlane {
    /// Refuses whoever an environment's restriction keeps out; asked by whatever changes one, beside the role.
    pub(crate) fn may_change(&self, actor: &Actor, name: &EnvironmentName) -> Result<(), Error> {
        match self.ring.kept_out(actor, name) {
            Some(reason) => Err(Error::Forbidden(reason)),
            None => Ok(()),
        }
    }

    /// The same for what is attached to an environment: it is part of it.
    pub(crate) fn may_change_attached(&self, actor: &Actor, deployment: &Deployment) -> Result<(), Error> {
        deployment.environment.as_ref().map_or(Ok(()), |name| self.may_change(actor, name))
    }

    /// The same for a whole model, whose environments go with it.
    pub(crate) fn may_change_all(&self, actor: &Actor, state: &ModelState) -> Result<(), Error> {
        let mut names = state.environments.iter().map(|environment| &environment.name);
        match names.find_map(|name| self.ring.kept_out(actor, name)) {
            Some(reason) => Err(Error::Forbidden(format!("{} can't be deleted: {reason}", state.model.name))),
            None => Ok(()),
        }
    }

    /// The names that environments have, and those that are restricted, by name.
    pub async fn environment_groups(&self, actor: &Actor) -> Result<Vec<EnvironmentGroup>, Error> {
        self.may(actor, Action::View)?;
        let mut names = self.parts.store.environment_names().await?;
        names.extend(self.ring.restrictions().keys().cloned());
        names.sort();
        names.dedup();
        Ok(names.into_iter().map(|name| self.group(name)).collect())
    }

    /// Those of one name.
    pub async fn environment_group(
        &self,
        actor: &Actor,
        name: &EnvironmentName,
    ) -> Result<EnvironmentGroup, Error> {
        let groups = self.environment_groups(actor).await?;
        groups.into_iter().find(|group| &group.name == name).ok_or_else(|| no_group(name))
    }

    fn group(&self, name: EnvironmentName) -> EnvironmentGroup {
        let restricted_to = self.ring.restriction(&name).map(|found| self.ring.listed(&found));
        EnvironmentGroup { name, restricted_to }
    }

    /// Says who may change the environments of a name, over all models, from now on. False if it was so already, or
    /// nothing is asked for.
    ///
    /// # Errors
    /// For whoever is no admin; if there is no such environment, nor a restriction of that name; and what
    /// [`Access::applied`] refuses.
    pub async fn restrict_environments(
        &self,
        actor: &Actor,
        name: &EnvironmentName,
        access: Option<Access>,
    ) -> Result<bool, Error> {
        self.may(actor, Action::Administer)?;
        let Some(access) = access else { return Ok(false) };
        let now = self.now();
        let mut tx = self.hold_people(now).await?;
        let Some((before, after)) = self.change_access(&mut tx, name, access).await? else {
            tx.rollback().await?;
            return Ok(false);
        };
        if before.is_none() && !tx.environment_names().await?.contains(name) {
            return Err(no_group(name));
        }
        let sentence = match &after {
            Some(after) => format!("{name} is restricted to {}", self.who(after)),
            None => format!("{name} is no longer restricted"),
        };
        let data = json!({ "settings": told(after.as_ref()), "previous_settings": told(before.as_ref()) });
        let kind = EventKind::EnvironmentAccessChanged;
        let about = About { kind, model: None, deployment: None, environment: Some(name), sentence, data };
        tx.append(&self.event(actor, now, 0, about)).await?;
        tx.commit().await?;
        self.reload_keys().await?;
        self.tell_workspace();
        self.tell_models_with(name).await?;
        Ok(true)
    }

    /// Writes who may change the environments of a name and returns what was before and what is now; `None` if nothing
    /// changes. Whoever calls it holds the people by [`ControlPlane::hold_people`].
    pub(crate) async fn change_access(
        &self,
        tx: &mut Tx,
        name: &EnvironmentName,
        access: Access,
    ) -> Result<Option<(Option<Restriction>, Option<Restriction>)>, Error> {
        let known = tx.restrictions().await?.into_iter();
        let before = known.into_iter().find(|restriction| &restriction.environment == name);
        let after = access.applied(name, before.as_ref(), &tx.people().await?)?;
        if after == before {
            return Ok(None);
        }
        match &after {
            Some(after) => tx.set_restriction(after).await?,
            None => tx.lift_restriction(name).await?,
        }
        Ok(Some((before, after)))
    }

    /// Who may change what is restricted, by name.
    pub(crate) fn who(&self, restriction: &Restriction) -> String {
        let listed = self.ring.listed(restriction);
        let named = listed.iter().map(|person| person.shown());
        ["admins"].into_iter().chain(named).collect::<Vec<_>>().join(", ")
    }

    /// Takes somebody off all lists; returns the environments' names.
    pub(crate) async fn unlist(&self, tx: &mut Tx, person: &PersonId) -> Result<Vec<EnvironmentName>, Error> {
        let mut names = Vec::new();
        for mut restriction in tx.restrictions().await? {
            if restriction.users.remove(person) {
                tx.set_restriction(&restriction).await?;
                names.push(restriction.environment);
            }
        }
        Ok(names)
    }

    /// Has browsers read the models again that have an environment of this name: what may be done there is another thing.
    async fn tell_models_with(&self, name: &EnvironmentName) -> Result<(), Error> {
        for state in self.parts.store.load_all_models().await? {
            if state.environments.iter().any(|environment| &environment.name == name) {
                self.tell(&state.model.id, state.model.generation);
            }
        }
        Ok(())
    }
}

/// What the activity keeps of who may.
pub(crate) fn told(restriction: Option<&Restriction>) -> Value {
    json!({
        "is_restricted": restriction.is_some(),
        "user_ids": restriction.map(|restriction| &restriction.users),
    })
}

fn no_group(name: &EnvironmentName) -> Error {
    Error::NotFound(format!("no model has an environment `{name}`"))
}
