//! Where a request goes that hyper has read: to a model or to the application.

use http::header::HOST;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::body::Answer;
use crate::conversation::Client;
use crate::{address, app, forward, grpc};

/// Answers a request; `due` is told by when the client must have read the answer, if a model gives it.
pub(crate) async fn dispatch(
    client: &Client,
    request: Request<Incoming>,
    due: impl FnOnce(Instant),
) -> Response<Answer> {
    let worker = &client.worker;
    let config = &worker.gateway.config;
    let uri = request.uri().clone();
    let host = uri.host().or_else(|| request.headers().get(HOST).and_then(|host| host.to_str().ok()));
    let (domain, host) = (config.domain.as_deref(), host.unwrap_or_default());
    let address = match grpc::is_call(&request) {
        true => match grpc::address(domain, host, request.headers(), uri.path()) {
            Ok(address) => Some(address),
            Err(refusal) => return grpc::refuse(&refusal),
        },
        false => address::parse(domain, host, uri.path()),
    };
    match address {
        Some(address) => {
            // A client that does not read its answer is not asked for it any more, so nothing else would end this.
            due(Instant::now() + config.predict_timeout * 2);
            forward::call(worker, request, address, uri.query(), &client.from).await
        }
        None => {
            app::ask(&worker.app, worker.runtime.as_ref(), request, client.peer, config.body_timeout).await
        }
    }
}
