//! The list of models, and one model's page.

use app::view::{AccessPerson, DevelopmentBand, EnvironmentCard, ModelPage, ModelRow};
use domain::{DeploymentStatus, Environment};

use crate::picture::{Overview, Picture};

/// One line of the list of models.
pub fn model_row(overview: &Overview) -> ModelRow {
    let picture = &overview.picture;
    let production = picture.production();
    let promotion = production.and_then(|environment| picture.promotion(&environment.name));
    ModelRow {
        id: picture.model.id.to_string(),
        name: picture.model.name.to_string(),
        serving: production
            .and_then(|environment| environment.current.as_ref())
            .and_then(|id| picture.served(id)),
        promotion: promotion.map(|promotion| picture.brief(promotion)),
        deployments: u32::try_from(picture.count).unwrap_or(u32::MAX),
        last_change_at: overview.changed_at,
    }
}

/// One sentence on all models: how many there are, and what those that are shown do.
pub fn models_headline(rows: &[ModelRow], count: u64) -> String {
    if count == 0 {
        return "No model has been pushed yet.".into();
    }
    let mut models = if count == 1 { "1 model".to_owned() } else { format!("{count} models") };
    if rows.is_empty() {
        return format!("{models}.");
    }
    if (rows.len() as u64) < count {
        models.push_str("; of those shown here");
    }
    let promoting = rows.iter().filter(|row| row.promotion.is_some()).count();
    let sick =
        rows.iter().filter(|row| row.serving.as_ref().is_some_and(|served| is_sick(served.status))).count();
    match (sick, promoting) {
        (0, 0) => format!("{models}, nothing is moving."),
        (0, n) => format!("{models}, {n} with a promotion under way."),
        (n, _) => format!("{models}, {n} with production in trouble."),
    }
}

fn is_sick(status: DeploymentStatus) -> bool {
    matches!(status, DeploymentStatus::Unhealthy | DeploymentStatus::DeployFailed | DeploymentStatus::Failed)
}

/// One model: environments first, deployments below.
/// `people` may be chosen for a new environment that is restricted, if who looks may restrict.
pub fn model_page(picture: &Picture, people: Option<Vec<AccessPerson>>) -> ModelPage {
    let deployments = picture.page.iter().filter_map(|id| picture.deployment(id));
    let development = picture.deployments.iter().find(|deployment| deployment.is_development());
    ModelPage {
        as_of: picture.now,
        id: picture.model.id.to_string(),
        name: picture.model.name.to_string(),
        headline: headline(picture),
        environments: picture
            .environments()
            .into_iter()
            .map(|environment| card(picture, environment))
            .collect(),
        deployments: deployments.map(|deployment| picture.row(deployment)).collect(),
        count: picture.count,
        cursor: String::new(),
        older: picture.next.as_ref().map(ToString::to_string),
        development: development.map(|deployment| DevelopmentBand {
            deployment: picture.row(deployment),
            address: picture.deployment_address(deployment),
            live_reload: deployment.live.as_ref().map_or_else(
                || "push it again with truss push --watch to bring changes in place".to_owned(),
                domain::LiveReload::sentence,
            ),
            patched_at: deployment.live.as_ref().and_then(|live| live.patched_at),
        }),
        choices: picture.choices(),
        delete: picture.permit_all(),
        create_environment: picture.permit(Ok(())),
        people,
    }
}

fn headline(picture: &Picture) -> String {
    if let Some(promotion) = picture.promotions.first() {
        return format!("{}: {}.", promotion.environment, picture.promotion_sentence(promotion));
    }
    match picture.production() {
        Some(production) if production.current.is_some() => {
            format!("production: {}.", picture.environment_sentence(production))
        }
        _ if picture.count == 0 => "Nothing has been pushed yet.".into(),
        _ => "Nothing serves production yet; the first deployment that becomes ready will.".into(),
    }
}

fn card(picture: &Picture, environment: &Environment) -> EnvironmentCard {
    let promotion = picture.promotion(&environment.name);
    EnvironmentCard {
        name: environment.name.to_string(),
        address: picture.environment_address(&environment.name),
        sentence: picture.environment_sentence(environment),
        current: environment.current.as_ref().and_then(|id| picture.served(id)),
        candidate: promotion.and_then(|promotion| picture.served(&promotion.candidate)),
        promotion: promotion.map(|promotion| picture.brief(promotion)),
        restricted: picture.restricted.contains_key(&environment.name),
        cancel: picture.permit_in(
            &environment.name,
            match promotion {
                Some(_) => Ok(()),
                None => Err("no promotion is under way".into()),
            },
        ),
    }
}
