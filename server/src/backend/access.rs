//! Who may change the environments of a name, as pages show it and forms say it.

use app::error::AppError;
use app::view::{AccessPerson, AccessView, Done, Permit};
use control::EnvironmentGroup;
use domain::{Access, Action, Actor, EnvironmentName, Person};

use super::Dashboard;
use super::errors::told;

impl Dashboard {
    /// Whom an admin may choose; nothing for who is none.
    pub(super) async fn choosable(&self, actor: &Actor) -> Result<Option<Vec<AccessPerson>>, AppError> {
        if !actor.role.permits(Action::Administer) {
            return Ok(None);
        }
        let found = self.api.control.people(actor).await.map_err(told)?;
        let others = found.people.iter().filter(|person| !is_admin(person));
        Ok(Some(others.map(choice).collect()))
    }

    pub(super) async fn access(&self, actor: &Actor, name: &EnvironmentName) -> Result<AccessView, AppError> {
        let group = self.api.control.environment_group(actor, name).await.map_err(told)?;
        let mut people = self.choosable(actor).await?.unwrap_or_default();
        let listed = group.restricted_to.as_deref().unwrap_or_default();
        for person in &mut people {
            person.chosen = listed.iter().any(|known| known.id.as_str() == person.id);
        }
        let may = actor.role.permits(Action::Administer);
        Ok(AccessView {
            is_restricted: group.restricted_to.is_some(),
            sentence: sentence(&group),
            people,
            permit: match may {
                true => Permit::Allowed,
                false => Permit::Refused("Only admins say who may change it.".into()),
            },
        })
    }

    pub(super) async fn do_restrict(
        &self,
        actor: &Actor,
        name: &EnvironmentName,
        access: Access,
    ) -> Result<Done, AppError> {
        let control = &self.api.control;
        let changed = control.restrict_environments(actor, name, Some(access)).await.map_err(told)?;
        let group = control.environment_group(actor, name).await.map_err(told)?;
        let said = sentence(&group);
        Ok(Done::new(if changed { said } else { format!("Nothing changed: {said}") }))
    }
}

fn is_admin(person: &Person) -> bool {
    person.role.permits(Action::Administer)
}

fn choice(person: &Person) -> AccessPerson {
    let role = person.role.as_str();
    AccessPerson { id: person.id.to_string(), name: format!("{} ({role})", person.shown()), chosen: false }
}

fn sentence(group: &EnvironmentGroup) -> String {
    let name = &group.name;
    match group.restricted_to.as_deref() {
        None => format!("Whoever may deploy changes {name}."),
        Some([]) => format!("Only admins change {name}, in every model."),
        Some(listed) => {
            let named: Vec<&str> = listed.iter().map(Person::shown).collect();
            format!("Only admins and {} change {name}, in every model.", named.join(", "))
        }
    }
}
