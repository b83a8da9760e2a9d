//! How long a deployment may take to become ready.

use std::time::Duration;

use domain::ModelId;

use crate::support::{World, archive, client, config, pushed};

#[tokio::test]
async fn a_push_says_how_many_minutes_its_deployment_may_take() {
    let world = World::start().await;
    for (name, said, minutes) in [("Patient", "deploy_timeout_minutes: 45", 45), ("Usual", "", 30)] {
        let key = world.upload(archive()).await;
        let (model, deployment) =
            pushed(&world.ask(client::create_model(name, &key, &config("slow"), said)).await);
        world.reaches(&model, &deployment, "LOADING_MODEL").await;
        let state = world.store().load_model(&ModelId::new(model.as_str())).await.unwrap().unwrap();
        let found = state.deployments.iter().find(|one| one.id.as_str() == deployment).unwrap();
        assert_eq!(found.deploy_timeout_minutes, minutes);
        // From the moment it begins to deploy, which is soon after the push.
        let allowed = Duration::from_millis(found.deadline.unwrap().since(found.created_at).unsigned_abs());
        let wanted = Duration::from_secs(u64::from(minutes) * 60);
        assert!((wanted..wanted + Duration::from_secs(60)).contains(&allowed), "{name}: {allowed:?}");
        world.reaches(&model, &deployment, "ACTIVE").await;
    }
    world.stop().await;
}
