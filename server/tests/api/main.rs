//! The whole server in this process, asked over real HTTP. Only the machine that runs models is replaced.

#![allow(clippy::unwrap_used, reason = "a test that panics says where")]

mod access;
mod activity;
mod aliases;
mod audit;
mod backup;
mod controls;
mod dashboard;
mod deadlines;
mod doors;
mod environment_logs;
mod full_disk;
mod handover;
mod hostile;
mod life;
mod lists;
mod logs;
mod management;
mod metrics;
mod metrics_more;
mod people;
mod promotions;
mod purge;
mod push;
mod pushes;
mod restrictions;
mod roles;
mod rolling;
mod room;
mod secrets;
mod spec;
mod startups;
mod stopping;
mod strangers;
mod support;
mod uploads;
mod watch;
mod writes;
