use domain::{Action, Actor, Event};
use store::{EventFilter, UsageRow};

use crate::{ControlPlane, Error};

impl ControlPlane {
    /// A page of what was done, newest first, at most 200.
    pub async fn activity(&self, actor: &Actor, mut filter: EventFilter) -> Result<Vec<Event>, Error> {
        self.may(actor, Action::View)?;
        filter.limit = filter.limit.clamp(1, 200);
        Ok(self.parts.store.events(&filter).await?)
    }

    /// What was used from `first` to `last`, days since 1970, both included; at most 31 days.
    pub async fn usage(&self, actor: &Actor, first: i64, last: i64) -> Result<Vec<UsageRow>, Error> {
        self.may(actor, Action::View)?;
        if last < first || last - first >= 31 {
            return Err(domain::Invalid::new(
                "end_date",
                "a period has 1 to 31 days and ends after it begins",
            )
            .into());
        }
        Ok(self.parts.store.usage(first, last).await?)
    }
}
