//! What the dashboard asks of the server.

pub mod pages;
pub mod picture;
