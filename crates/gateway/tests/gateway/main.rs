//! The gateway over real sockets, with toy replicas.

mod addresses;
mod application;
mod errors;
mod holding;
mod passing;
mod routing;
mod stage;
mod websocket;
