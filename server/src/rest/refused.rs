//! Routes that clients know and that can't be had here. They say why.

use super::*;

pub fn routes() -> Vec<Route> {
    vec![
        Route::post("/models/{model_id}/deployments/{deployment_id}/ssh/sign", ssh, "Sign a key for a shell")
            .says("Never here: replicas are processes of this machine, without a shell of their own.")
            .refuses(),
        Route::post("/token", token, "Make a token for sandboxes")
            .says("Never here: there are no sandboxes.")
            .refuses(),
    ]
}

async fn ssh() -> Answer {
    Err(not_here(
        "replicas are processes of this machine and have no shell of their own; sign in to the machine",
    ))
}

async fn token() -> Answer {
    Err(not_here("there are no sandboxes, which is all that such tokens are for; create an API key instead"))
}

fn not_here(message: &str) -> Response {
    answer::error(StatusCode::NOT_FOUND, "NOT_SERVED", message)
}
