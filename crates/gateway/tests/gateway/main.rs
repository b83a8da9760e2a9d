//! The gateway over real sockets, with toy replicas.

#![allow(clippy::unwrap_used)] // helpers of tests are tests, too

mod addresses;
mod application;
mod crowd;
mod errors;
mod first_answer;
mod full;
mod grpc;
mod holding;
mod hostile;
mod http2;
mod moving;
mod overload;
mod passing;
mod places;
mod routing;
mod sides;
mod sizes;
mod slow;
mod stage;
mod statuses;
mod stopping;
mod tls;
mod websocket;
mod wire;
