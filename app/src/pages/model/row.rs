//! One deployment in the list of a model's.

use domain::Timestamp;
use leptos::prelude::*;

use super::Page;
use crate::components::{
    DeploymentActions, MakingView, ReplicaDots, StatusBadge, TimeAgo, deployment_path, environment_path,
};
use crate::view::{self, DeploymentRow};

/// What a row of the list is about, and whether it is the candidate of its environment.
type Listed = (DeploymentRow, bool);

fn listed(page: &view::ModelPage, id: &str) -> Option<Listed> {
    let row = page.deployments.iter().find(|row| row.id == id)?;
    let mut candidates = page.environments.iter().filter_map(|card| card.candidate.as_ref());
    Some((row.clone(), candidates.any(|served| served.deployment.id == id)))
}

/// The deployment with this id.
#[component]
pub fn Row(page: Page, model_id: String, id: String, as_of: Signal<Timestamp>) -> impl IntoView {
    let first = page.with_untracked(|page| listed(page, &id))?;
    let key = id.clone();
    // A row that leaves keeps its last look until the table has dropped it.
    let row = Memo::new(move |before: Option<&Listed>| {
        page.with(|page| listed(page, &key)).unwrap_or_else(|| before.unwrap_or(&first).clone())
    });
    let path = deployment_path(&model_id, &id);
    Some(view! {
        <tr aria-label=move || row.with(|(row, _)| row.name.clone())>
            {move || row.with(|(row, candidate)| cells(row, *candidate, &model_id, as_of))}
            // Beside them and not of them: an open menu stays while they change.
            <td>
                <DeploymentActions
                    id=id
                    name=Signal::derive(move || row.with(|(row, _)| row.name.clone()))
                    actions=Signal::derive(move || row.with(|(row, _)| row.actions.clone()))
                    page=path
                />
            </td>
        </tr>
    })
}

/// Plain from end to end, with plain links too: a page has fifty of them.
fn cells(
    row: &DeploymentRow,
    candidate: bool,
    model_id: &str,
    as_of: Signal<Timestamp>,
) -> impl IntoView + use<> {
    let environment = row.environment.as_ref().map(|name| {
        let path = environment_path(model_id, name);
        view! {
            <a href=path class=if candidate { "chip candidate" } else { "chip" }>
                {name.clone()}
                {candidate.then_some(" candidate")}
            </a>
        }
    });
    let making = row.making.clone().map(|making| view! { <MakingView making=making as_of=as_of /> });
    let by = row.created_by.clone().map(|name| view! { <span class="by">" by " {name}</span> });
    view! {
        <th scope="row">
            <a href=deployment_path(model_id, &row.id)>{row.name.clone()}</a>
        </th>
        <td class="standing">
            <StatusBadge status=row.status />
            <span class="sentence">{row.sentence.clone()}</span>
            {making}
        </td>
        <td>{environment}</td>
        <td>
            <ReplicaDots replicas=row.replicas candidate=candidate />
        </td>
        <td>
            <TimeAgo at=row.created_at as_of=as_of />
            {by}
        </td>
    }
}
