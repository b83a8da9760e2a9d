//! The one port: inference goes to replicas, everything else to the application.
//!
//! Routing obeys the tables that are [published](Gateway::publish) per model; each is replaced whole behind an
//! atomic pointer. `docs/semantics.md` tells the rules, in "Routing" and "Holding and waking".

mod address;
mod admission;
mod admit;
mod alarm;
mod answer_head;
mod app;
#[cfg(test)]
mod bad_input;
mod body;
mod buffers;
mod channels;
mod chunks;
mod config;
mod conversation;
mod dispatch;
mod exchange;
mod forward;
mod gateway;
mod grpc;
mod headers;
mod held;
mod http2;
mod incoming;
mod keys;
mod leaving;
mod links;
mod listen;
mod metrics;
mod outgoing;
mod patience;
mod places;
mod pool;
mod presence;
mod prompt;
mod replica;
mod request_head;
mod respond;
mod seldom;
mod sent;
mod serve;
mod split;
mod statuses;
#[doc(hidden)]
pub mod steps;
mod table;
mod tls;
mod traffic;
mod transfer;
mod underway;
mod upgrade;
mod whole;
mod wire;

pub use address::{Action, Address, Form, Target, parse as parse_address};
pub use app::{AppAnswer, AppBody, AppRequest};
pub use body::BoxError;
pub use config::GatewayConfig;
pub use gateway::Gateway;
pub use keys::{KeyGrant, KeySnapshot};
pub use listen::{BindError, Listeners, SharedSocket, bind};
pub use serve::{Adopter, HELD_BODY, Moved, ServeHandle, serve};
pub use split::sequence as split_sequence;
pub use tls::{Tls, TlsError};
