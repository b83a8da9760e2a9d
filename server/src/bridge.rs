//! From the gateway's threads to the application's runtime.

use axum::Router;
use axum::body::Body;
use gateway::AppRequest;
use http::StatusCode;
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tower::ServiceExt;

use crate::answer;

/// Answers what the gateway passes on, until it passes no more.
///
/// Each request has a task of its own: what somebody asked for is done, even if they don't wait for the answer.
pub async fn carry(mut requests: mpsc::Receiver<AppRequest>, router: Router) {
    while let Some(AppRequest { request, reply, .. }) = requests.recv().await {
        let router = router.clone();
        tokio::spawn(async move {
            // `CONNECT host:1` and the like name a host and no path: there is nothing here to ask.
            let response = if request.uri().path_and_query().is_some() {
                let Ok(response) = router.oneshot(request.map(Body::new)).await;
                response
            } else {
                answer::error(StatusCode::BAD_REQUEST, "INVALID_REQUEST", "the request names no path")
            };
            // Whoever asked may be gone.
            let _ = reply.send(response.map(|body| body.map_err(Into::into).boxed_unsync()));
        });
    }
}
