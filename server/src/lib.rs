//! Slipway's server: the doors, and the wiring of everything behind them.

#![recursion_limit = "512"]
#![allow(clippy::result_large_err, reason = "a refusal at a door is its answer, made once in a request")]

pub mod answer;
pub mod api;
pub mod auth;
pub mod backend;
pub mod backup;
pub mod banner;
pub mod boot;
mod bridge;
pub mod changes;
mod chaos;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
mod csv;
pub mod dashboard;
pub mod data_folder;
pub mod doctor;
mod door_threads;
pub mod graphql;
pub mod guard;
pub mod handover;
mod keys;
mod live;
pub mod load;
pub mod local;
mod log_file;
mod log_stream;
mod looks;
pub mod machine;
mod open_files;
pub mod picture;
mod prometheus;
pub mod random;
mod refusals;
pub mod rest;
pub mod restore;
pub mod rollouts;
mod room_left;
pub mod router;
mod same_database;
mod secret_key;
pub mod serve;
pub mod site;
mod strays;
pub mod telemetry;
pub mod trussrc;
mod upkeep;
pub mod uploads;
pub mod uses;
pub mod wire;
